package predictionlog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/errs"
)

// flaky is a bucket that is away when told so.
type flaky struct {
	blob.Bucket
	mu    sync.Mutex
	away  bool
	tries int
}

func (f *flaky) Write(ctx context.Context, name string, r io.Reader, o blob.WriteOptions) (blob.Attrs, error) {
	f.mu.Lock()
	f.tries++
	away := f.away
	f.mu.Unlock()
	if away {
		return blob.Attrs{}, fmt.Errorf("connection refused: %w", errs.Unavailable)
	}
	return f.Bucket.Write(ctx, name, r, o)
}

func (f *flaky) set(away bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = away
}

func start(t *testing.T, s Store, change func(*Options)) *Logger {
	t.Helper()
	o := Options{Instance: "litter-v1-abcd", Policy: DefaultPolicy(), Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	o.Policy.Photos = Sampling{}
	if change != nil {
		change(&o)
	}
	l, err := NewLogger(s, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// account fails unless every accepted row is written, waiting or dropped.
func account(t *testing.T, l *Logger, written, waiting, dropped uint64) {
	t.Helper()
	a := l.Stats()
	if a.Accepted != a.Written+a.Waiting+a.Dropped {
		t.Errorf("account does not add up: %+v", a)
	}
	if a.Written != written || a.Waiting != waiting || a.Dropped != dropped {
		t.Errorf("%d written, %d waiting, %d dropped; want %d, %d, %d", a.Written, a.Waiting, a.Dropped, written, waiting, dropped)
	}
}

func names(t *testing.T, b blob.Bucket, prefix string) (out []string) {
	t.Helper()
	for a, err := range b.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a.Name)
	}
	return out
}

func ids(t *testing.T, b blob.Bucket) (out []string) {
	t.Helper()
	for r, err := range Read(t.Context(), b, time.Unix(0, 0).AddDate(29, 0, 0), time.Unix(0, 0).AddDate(31, 0, 0)) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r.ID)
	}
	return out
}

func add(l *Logger, n int) {
	for i := range n {
		l.Add(row(fmt.Sprintf("p%05d", i), time.Now()), nil)
	}
}

func TestLogger_flushesByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := blobmem.New("predictions")
		l := start(t, b, nil)
		add(l, 3)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		account(t, l, 0, 3, 0)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		account(t, l, 3, 0, 0)
		want := Dir(time.Now()) + "litter-v1-abcd-000001.parquet"
		if got := names(t, b, Prefix); len(got) != 1 || got[0] != want {
			t.Errorf("files %q, want %q", got, want)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLogger_flushesBySize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := blobmem.New("predictions")
		l := start(t, b, func(o *Options) { o.Policy.FlushRows = 10 })
		add(l, 10)
		synctest.Wait()
		account(t, l, 10, 0, 0)
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLogger_closeWritesWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := blobmem.New("predictions")
		l := start(t, b, nil)
		add(l, 7)
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		account(t, l, 7, 0, 0)
		l.Add(row("late", time.Now()), nil)
		account(t, l, 7, 0, 1)
		if got := len(names(t, b, Prefix)); got != 1 {
			t.Errorf("%d files, want 1", got)
		}
	})
}

func TestLogger_bucketAwayThenBack(t *testing.T) {
	for _, spool := range []string{"", "spool"} {
		t.Run("spool="+spool, func(t *testing.T) {
			dir := ""
			if spool != "" {
				dir = filepath.Join(t.TempDir(), spool)
			}
			synctest.Test(t, func(t *testing.T) {
				f := &flaky{Bucket: blobmem.New("predictions"), away: true}
				l := start(t, f, func(o *Options) { o.Spool = dir })
				for range 5 { // five minutes without a bucket
					add(l, 4)
					time.Sleep(time.Minute)
				}
				synctest.Wait()
				account(t, l, 0, 20, 0)
				if f.tries > 30 {
					t.Errorf("%d tries in five minutes: no back-off", f.tries)
				}
				f.set(false)
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				account(t, l, 20, 0, 0)
				if left := spooled(t, dir); len(left) > 0 {
					t.Errorf("the spool still holds %q", left)
				}
				if err := l.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

func spooled(t *testing.T, dir string) (out []string) {
	t.Helper()
	if dir == "" {
		return nil
	}
	return spooledIn(dir)
}

func spooledIn(dir string) []string {
	files, _ := filepath.Glob(filepath.Join(dir, "*", "*.parquet")) // the pattern is a good one
	return files
}

var quiet = slog.New(slog.DiscardHandler)

func TestLogger_dropsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{Bucket: blobmem.New("predictions"), away: true}
		l := start(t, f, func(o *Options) {
			o.Policy.FlushRows, o.Policy.WaitingRows, o.Policy.WaitingBytes = 5, 8, 0 // no room for a file
		})
		add(l, 5)
		synctest.Wait()
		account(t, l, 0, 0, 5)
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		account(t, l, 0, 0, 5)
	})
}

func TestLogger_closeWithoutBucketReportsTheLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{Bucket: blobmem.New("predictions"), away: true}
		l := start(t, f, nil)
		add(l, 3)
		if err := l.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "3 predictions") {
			t.Errorf("error %v, want one that counts 3 predictions", err)
		}
		account(t, l, 0, 0, 3)
	})
}

func TestLogger_nextProcessTakesUpTheSpool(t *testing.T) {
	dir := t.TempDir()
	b := blobmem.New("predictions")
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{Bucket: b, away: true}
		l := start(t, f, func(o *Options) { o.Spool = dir })
		add(l, 3)
		if err := l.Close(t.Context()); err != nil {
			t.Fatalf("with a spool nothing is lost: %v", err)
		}
		if len(spooled(t, dir)) != 1 {
			t.Fatalf("spool holds %q, want one file", spooled(t, dir))
		}
		next := start(t, b, func(o *Options) { o.Spool, o.Instance = dir, "litter-v1-efgh" })
		synctest.Wait()
		if got := ids(t, b); len(got) != 3 {
			t.Errorf("the log holds %q, want three rows", got)
		}
		if err := next.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left := spooled(t, dir); len(left) > 0 {
			t.Errorf("the spool still holds %q", left)
		}
	})
}

// Two processes may be given one spool: neither takes what the other still has.
func TestLogger_spoolIsShared(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{Bucket: blobmem.New("predictions"), away: true}
		first := start(t, f, func(o *Options) { o.Spool, o.Instance = dir, "a" })
		add(first, 2)
		time.Sleep(2 * time.Minute) // its file lies in the spool now
		synctest.Wait()
		other := blobmem.New("other")
		second := start(t, other, func(o *Options) { o.Spool, o.Instance = dir, "b" })
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := names(t, other, ""); len(got) > 0 {
			t.Errorf("the second process delivered the first one's %q", got)
		}
		f.set(false)
		for _, l := range []*Logger{first, second} {
			if err := l.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		account(t, first, 2, 0, 0)
	})
}

// A try that failed for the client may have arrived: the file is there once.
func TestLogger_conflictMeansWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := blobmem.New("predictions")
		name := Dir(time.Now()) + "litter-v1-abcd-000001.parquet"
		if _, err := b.Write(t.Context(), name, strings.NewReader("arrived before"), blob.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		l := start(t, b, nil)
		add(l, 1)
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		account(t, l, 1, 0, 0)
	})
}

func TestLogger_manyCallers(t *testing.T) {
	b := blobmem.New("predictions")
	l := start(t, b, func(o *Options) { o.Policy.FlushRows, o.Policy.FlushAge = 50, 10*time.Millisecond })
	var wg sync.WaitGroup
	for c := range 16 {
		wg.Go(func() {
			for i := range 200 {
				l.Add(row(fmt.Sprintf("%d-%d", c, i), noon), nil)
			}
		})
	}
	wg.Wait()
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	account(t, l, 3200, 0, 0)
	seen := map[string]bool{}
	for r, err := range Read(t.Context(), b, noon, noon.Add(time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		seen[r.ID] = true
	}
	if len(seen) != 3200 {
		t.Errorf("%d different rows in the log, want 3200", len(seen))
	}
}

func TestLogger_keepsSampledPhotosWithoutTheirPosition(t *testing.T) {
	photo, err := os.ReadFile("../imaging/testdata/orientation6.jpg")
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte("Exif\x00\x00GPS 52.52 N")
	photo = append(photo[:2:2], append(append([]byte{0xff, 0xe1, 0, byte(len(secret) + 2)}, secret...), photo[2:]...)...)
	synctest.Test(t, func(t *testing.T) {
		b := blobmem.New("predictions")
		l := start(t, b, func(o *Options) { o.Policy.Photos = Sampling{LowConfidence: 0.5, PerHour: 2} })
		sure, unsure := row("sure", time.Now()), row("unsure", time.Now())
		unsure.Boxes[0].Confidence = 0.4
		unsure.Boxes[1].Confidence = 0.3
		none := row("none", time.Now())
		none.Boxes = nil
		over := none
		over.ID = "over the quota"
		for _, r := range []Row{sure, unsure, none, over} {
			l.Add(r, photo)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		dir := "photos/dt=" + time.Now().UTC().Format("2006-01-02") + "/"
		got := names(t, b, "photos/")
		if want := []string{dir + "none.jpg", dir + "unsure.jpg"}; strings.Join(got, " ") != strings.Join(want, " ") {
			t.Fatalf("photos %q, want %q", got, want)
		}
		kept, _, err := blob.ReadAll(t.Context(), b, got[0])
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(kept, []byte("GPS")) {
			t.Error("the kept photo still holds its position")
		}
		byID := map[string]string{}
		for r, err := range Read(t.Context(), b, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)) {
			if err != nil {
				t.Fatal(err)
			}
			byID[r.ID] = r.Photo
		}
		if byID["none"] != dir+"none.jpg" || byID["sure"] != "" || byID["over the quota"] != "" {
			t.Errorf("rows name photos %q", byID)
		}
	})
}

func TestSampling_shareIsEven(t *testing.T) {
	s := Sampling{Share: 0.1}
	n := 0
	for i := range 20_000 {
		r := row(fmt.Sprintf("0198c0de-0000-7000-8000-%012d", i), noon)
		if first, again := s.wants(r), s.wants(r); first != again {
			t.Fatal("the same id is decided differently")
		}
		if s.wants(r) {
			n++
		}
	}
	if n < 1800 || n > 2200 {
		t.Errorf("%d of 20000 wanted at a share of 0.1", n)
	}
}

func TestSampling_classes(t *testing.T) {
	s := Sampling{Classes: []string{"can"}}
	rare, other := row("a", noon), row("b", noon)
	other.Boxes = other.Boxes[1:]
	if !s.wants(rare) || s.wants(other) {
		t.Errorf("with a can: %v, without: %v", s.wants(rare), s.wants(other))
	}
}

func TestPolicy_reportsEveryFault(t *testing.T) {
	if err := DefaultPolicy().Validate(); err != nil {
		t.Errorf("the default is refused: %v", err)
	}
	err := Policy{FlushRows: 0, FlushAge: 0, WaitingRows: -1, WaitingBytes: -1, Photos: Sampling{Share: 2, LowConfidence: -1, PerHour: -1}}.Validate()
	for _, want := range []string{"flush_rows", "flush_age", "waiting_rows", "waiting_bytes", "photos.share", "photos.low_confidence", "photos.per_hour"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %s: %v", want, err)
		}
	}
}

func TestDirectory_storesBelowItself(t *testing.T) {
	dir := t.TempDir()
	l := start(t, Directory(dir), nil)
	l.Add(row("a", noon), nil)
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(Dir(noon)), "litter-v1-abcd-000001.parquet")); err != nil {
		t.Error(err)
	}
}
