package store

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func openDir(t testing.TB, dir string) *Store {
	t.Helper()
	return openOptions(t, Options{Dir: dir})
}

func openOptions(t testing.TB, o Options) *Store {
	t.Helper()
	o.Now, o.Log = time.Now, slog.New(slog.DiscardHandler)
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// withBucket opens an empty store with a bucket "b" that announces everything.
func withBucket(t testing.TB, dir string) *Store {
	t.Helper()
	s := openDir(t, dir)
	addBucket(t, s)
	return s
}

func addBucket(t testing.TB, s *Store) {
	t.Helper()
	if _, err := s.CreateBucket(&Bucket{Name: "b"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddNotification(Notification{Bucket: "b", Topic: "t"}, false); err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, s *Store, name, content string) *Object {
	t.Helper()
	c := s.NewContent()
	if _, err := io.WriteString(c, content); err != nil {
		t.Fatal(err)
	}
	o, err := s.Put(&Object{Bucket: "b", Name: name, Metadata: map[string]string{"k": name}}, c, Conditions{}, "upload-"+name)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// state is everything a store holds, in a form to compare.
type state struct {
	Buckets       []*Bucket
	Notifications []*Notification
	Objects       []*Object
	Contents      map[string]string
	Uploads       map[string]int64
	Undelivered   []Event
	Last          [3]int64
}

func (s *Store) state(t testing.TB) state {
	t.Helper()
	st := state{Buckets: s.Buckets(), Contents: map[string]string{}, Uploads: map[string]int64{}}
	for _, b := range st.Buckets {
		n, err := s.Notifications(b.Name)
		if err != nil {
			t.Fatal(err)
		}
		st.Notifications = append(st.Notifications, n...)
		page, err := s.List(b.Name, Query{Limit: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		st.Objects = append(st.Objects, page.Objects...)
	}
	for _, o := range st.Objects {
		_, r, err := s.Open(o.Bucket, o.Name, 0, Conditions{})
		if err != nil {
			t.Fatal(err)
		}
		p, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		st.Contents[o.Name] = string(p)
	}
	for id, o := range s.uploads {
		st.Uploads[id] = o.Generation
	}
	st.Undelivered = s.undeliveredInOrder()
	st.Last = [3]int64{s.lastGeneration, s.lastEvent, s.lastNotificationID}
	return st
}

func sameState(t *testing.T, want, got state) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Object{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("after opening again (-before +after):\n%s", diff)
	}
}

// fill makes some of everything, and returns the events that came of it.
func fill(t testing.TB, s *Store) {
	t.Helper()
	put(t, s, "small", "1")
	put(t, s, "empty", "")
	put(t, s, "large", strings.Repeat("x", 3*inlineLimit))
	put(t, s, "edge", strings.Repeat("y", inlineLimit))
	put(t, s, "small", "2")
	put(t, s, "gone", strings.Repeat("z", 2*inlineLimit))
	for _, name := range []string{"small", "large"} {
		if _, err := s.Patch("b", name, 0, Conditions{}, func(o *Object) error { o.ContentType = "text/plain"; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Delete("b", "gone", 0, Conditions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateBucket(&Bucket{Name: "c"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PatchBucket("c", Conditions{}, func(b *Bucket) error { b.Fields = nil; return nil }); err != nil {
		t.Fatal(err)
	}
	s.Delivered([]int64{1, 3})
	if _, err := s.CreateBucket(&Bucket{Name: "d"}); err != nil { // and Delivered is done
		t.Fatal(err)
	}
	if err := s.DeleteBucket("d", Conditions{}); err != nil {
		t.Fatal(err)
	}
}

func TestOpen_bringsEverythingBack(t *testing.T) {
	dir := t.TempDir()
	s := withBucket(t, dir)
	fill(t, s)
	before := s.state(t)
	s.Close()
	s = openDir(t, dir)
	sameState(t, before, s.state(t))
	if o := put(t, s, "next", "x"); o.Generation <= before.Last[0] {
		t.Errorf("generation %d follows %d", o.Generation, before.Last[0])
	}
	if n, err := filepath.Glob(filepath.Join(dir, "blobs", "*", "*")); err != nil || len(n) != 1 {
		t.Errorf("files of contents: %q, %v, want the one of \"large\"", n, err)
	}
}

func TestOpen_fsync(t *testing.T) {
	dir := t.TempDir()
	s := openOptions(t, Options{Dir: dir, Fsync: true})
	addBucket(t, s)
	fill(t, s)
	before := s.state(t)
	s.Close()
	sameState(t, before, openOptions(t, Options{Dir: dir, Fsync: true}).state(t))
}

func TestCompact_keepsEverything(t *testing.T) {
	dir := t.TempDir()
	s := withBucket(t, dir)
	fill(t, s)
	before := s.state(t)
	number := s.number
	if _, err := s.do("", func() (*record, []byte, error) { return nil, nil, s.compact() }); err != nil {
		t.Fatal(err)
	}
	sameState(t, before, s.state(t))
	s.Close()
	s = openDir(t, dir)
	sameState(t, before, s.state(t))
	if s.number != number+1 {
		t.Errorf("journal %d follows %d", s.number, number)
	}
}

// Overwriting one object again and again does not grow the journal for ever.
func TestCompact_ofItself(t *testing.T) {
	s := withBucket(t, t.TempDir())
	content := strings.Repeat("x", inlineLimit)
	var biggest int64
	for range 3 * compactAbove / inlineLimit {
		put(t, s, "o", content)
		info, err := os.Stat(s.journalPath(s.number))
		if err == nil {
			biggest = max(biggest, info.Size())
		}
	}
	if limit := int64(compactAbove + 4*inlineLimit + 1<<20); biggest > limit {
		t.Errorf("the journal grew to %d bytes, want %d at most", biggest, limit)
	}
	if s.state(t).Contents["o"] != content {
		t.Error("the content differs")
	}
}

// Wherever a crash cuts the last append off, all before it is there, the change
// itself is wholly there or not at all, and writing goes on.
func TestOpen_tornJournal(t *testing.T) {
	dir := t.TempDir()
	s := withBucket(t, dir)
	put(t, s, "first", "1")
	whole := s.size
	put(t, s, "second", "2")
	s.Close()
	journal, err := os.ReadFile(s.journalPath(0))
	if err != nil {
		t.Fatal(err)
	}
	tails := map[string][]byte{
		"zeros after":          append(bytes.Clone(journal[:whole]), make([]byte, 9000)...),
		"zeros over the end":   append(bytes.Clone(journal[:len(journal)-20]), make([]byte, 20)...),
		"garbled last record":  append(bytes.Clone(journal[:len(journal)-1]), 'X'),
		"half a header":        journal[:whole+5],
		"a header only":        journal[:whole+frameHeader],
		"nothing of it":        journal[:whole],
		"all but the last":     journal[:len(journal)-1],
		"in the record's JSON": journal[:whole+frameHeader+30],
	}
	for name, tail := range tails {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "journal.00000000"), tail, 0o600); err != nil {
				t.Fatal(err)
			}
			s := openDir(t, dir)
			put(t, s, "third", "3")
			want := map[string]string{"first": "1", "third": "3"}
			if diff := cmp.Diff(want, s.state(t).Contents); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			s.Close()
			if diff := cmp.Diff(want, openDir(t, dir).state(t).Contents); diff != "" {
				t.Errorf("opened again (-want +got):\n%s", diff)
			}
		})
	}
}

// Damage in the middle is no torn end: what follows was acknowledged.
func TestOpen_damagedJournal(t *testing.T) {
	dir := t.TempDir()
	s := withBucket(t, dir)
	put(t, s, "first", "1")
	at := s.size - 10
	put(t, s, "second", "2")
	s.Close()
	f, err := os.OpenFile(s.journalPath(0), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("damage"), at); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir, Now: time.Now, Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "is damaged at byte") {
		t.Errorf("got error %v", err)
	}
}

func TestOpen_afterCrashDuringCompaction(t *testing.T) {
	dir := t.TempDir()
	s := withBucket(t, dir)
	fill(t, s)
	before := s.state(t)
	s.Close()
	for name, content := range map[string]string{"journal.00000001.tmp": "half a snapsh", "blobs/A/AAORPHAN": "an upload that never ended"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				t.Errorf("%s is still there: %v", name, err)
			}
		}()
	}
	sameState(t, before, openDir(t, dir).state(t))
}

func TestOpen_twice(t *testing.T) {
	dir := t.TempDir()
	openDir(t, dir)
	if _, err := Open(Options{Dir: dir, Now: time.Now, Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("got error %v", err)
	}
}

// A full disk refuses the change and nothing else: what was there is there, and
// when there is room again, writing goes on.
func TestPut_diskFull(t *testing.T) {
	s := withBucket(t, t.TempDir())
	put(t, s, "before", "1")
	good := s.journal
	readOnly, err := os.Open(good.Name())
	if err != nil {
		t.Fatal(err)
	}
	s.journal = readOnly
	c := s.NewContent()
	c.Write([]byte("x"))
	if _, err := s.Put(&Object{Bucket: "b", Name: "o"}, c, Conditions{}, ""); err == nil {
		t.Error("the put succeeded")
	}
	if got := s.state(t).Contents; len(got) != 1 {
		t.Errorf("after the failed put: %v", got)
	}
	// A file that can't be cut back either may hold half a record: no more.
	s.journal = good
	if _, err := s.CreateBucket(&Bucket{Name: "x"}); err == nil {
		t.Error("a change succeeded after the journal broke")
	}
	readOnly.Close()
}

func TestClose_refusesChanges(t *testing.T) {
	s := withBucket(t, t.TempDir())
	s.Close()
	if _, err := s.CreateBucket(&Bucket{Name: "x"}); err == nil {
		t.Error("a change succeeded after Close")
	}
	for range s.Events() { // closed, whatever was left
	}
}

func FuzzReplay(f *testing.F) {
	buf, _, err := appendFrame(nil, &record{Bucket: &Bucket{Name: "b"}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(buf)
	buf, _, _ = appendFrame(buf, &record{Object: &Object{Bucket: "b", Name: "o"}}, []byte("content"))
	f.Add(buf)
	f.Add(buf[:len(buf)-3])
	f.Add(append(buf, make([]byte, 40)...))
	f.Fuzz(func(t *testing.T, journal []byte) {
		path := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(path, journal, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		whole, err := replay(file, func(*record, int64) {})
		if whole > int64(len(journal)) || err == nil && whole != int64(len(journal)) {
			t.Errorf("%d of %d bytes are whole, %v", whole, len(journal), err)
		}
	})
}

// BenchmarkOpen is what `up` waits for: a store of 10,000 small objects.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s := withBucket(b, dir)
	for i := range 10_000 {
		put(b, s, fmt.Sprintf("photos/%06d.jpg", i), strings.Repeat("x", 1000))
	}
	var ids []int64
	for _, e := range s.undeliveredInOrder() {
		ids = append(ids, e.ID)
	}
	s.Delivered(ids)
	s.Close()
	for b.Loop() {
		s, err := Open(Options{Dir: dir, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}
