package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/localcloud/pubsub/internal/journal"
)

// reopen returns the journal in dir and everything it replays.
func reopen(t testing.TB, dir string) (*journal.Journal, []string, int64) {
	t.Helper()
	var frames []string
	j, dropped, err := journal.Open(dir, journal.Options{}, func(p []byte) error {
		frames = append(frames, string(p))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return j, frames, dropped
}

func write(t testing.TB, j *journal.Journal, frames ...string) {
	t.Helper()
	for _, f := range frames {
		if err := j.Commit(j.Append([]byte(f))); err != nil {
			t.Fatal(err)
		}
	}
}

func files(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func seq(frames ...string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, f := range frames {
			if !yield([]byte(f), nil) {
				return
			}
		}
	}
}

func TestOpen_replaysInOrder(t *testing.T) {
	dir := t.TempDir()
	j, _, _ := reopen(t, dir)
	write(t, j, "a", "", "c")
	// No Close: the process died here.
	j, got, dropped := reopen(t, dir)
	if diff := cmp.Diff([]string{"a", "", "c"}, got); diff != "" || dropped != 0 {
		t.Errorf("dropped %d, frames (-want +got):\n%s", dropped, diff)
	}
	write(t, j, "d")
	_, got, _ = reopen(t, dir)
	if diff := cmp.Diff([]string{"a", "", "c", "d"}, got); diff != "" {
		t.Errorf("after another start (-want +got):\n%s", diff)
	}
}

func TestOpen_cutsOffATornTail(t *testing.T) {
	dir := t.TempDir()
	j, _, _ := reopen(t, dir)
	write(t, j, "first", "second")
	path := filepath.Join(dir, files(t, dir)[0])
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	end := len(whole) - len("second") - 8 // where the first frame ends
	for cut := end + 1; cut < len(whole); cut++ {
		if err := os.WriteFile(path, whole[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		j, got, dropped := reopen(t, dir)
		if diff := cmp.Diff([]string{"first"}, got); diff != "" || dropped != int64(cut-end) {
			t.Fatalf("cut at %d: dropped %d, frames (-want +got):\n%s", cut, dropped, diff)
		}
		write(t, j, "third")
		if _, got, _ = reopen(t, dir); !slices.Equal(got, []string{"first", "third"}) {
			t.Fatalf("cut at %d, then appended: %q", cut, got)
		}
	}
}

func TestOpen_refusesDamageInTheMiddle(t *testing.T) {
	dir := t.TempDir()
	j, _, _ := reopen(t, dir)
	write(t, j, "old")
	if _, err := j.Rotate(); err != nil {
		t.Fatal(err)
	}
	write(t, j, "new")
	path := filepath.Join(dir, files(t, dir)[0])
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p[len(p)-1] ^= 1
	if err := os.WriteFile(path, p, 0o644); err != nil {
		t.Fatal(err)
	}
	_, _, err = journal.Open(dir, journal.Options{}, func([]byte) error { return nil })
	if err == nil {
		t.Fatal("opened, although a segment that is not the last is damaged")
	}
}

func TestSnapshot_replacesWhatCameBefore(t *testing.T) {
	dir := t.TempDir()
	j, _, _ := reopen(t, dir)
	write(t, j, "a", "b")
	n, err := j.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	write(t, j, "c") // while the snapshot is being written
	if err := j.Snapshot(n, seq("ab")); err != nil {
		t.Fatal(err)
	}
	write(t, j, "d")
	if got := files(t, dir); len(got) != 2 {
		t.Errorf("files after a snapshot: %q, want a segment and a snapshot", got)
	}
	_, got, _ := reopen(t, dir)
	if diff := cmp.Diff([]string{"ab", "c", "d"}, got); diff != "" {
		t.Errorf("frames (-want +got):\n%s", diff)
	}
}

func TestSnapshot_interruptedLeavesTheSegments(t *testing.T) {
	dir := t.TempDir()
	j, _, _ := reopen(t, dir)
	write(t, j, "a")
	n, err := j.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	failure := errors.New("cannot encode")
	err = j.Snapshot(n, func(yield func([]byte, error) bool) {
		_ = yield([]byte("half"), nil) && yield(nil, failure)
	})
	if !errors.Is(err, failure) {
		t.Fatalf("Snapshot = %v, want %v", err, failure)
	}
	write(t, j, "b")
	_, got, _ := reopen(t, dir)
	if diff := cmp.Diff([]string{"a", "b"}, got); diff != "" {
		t.Errorf("frames (-want +got):\n%s", diff)
	}
}

func TestCommit_manyCallersKeepOrder(t *testing.T) {
	dir := t.TempDir()
	j, _, _ := reopen(t, dir)
	var mu sync.Mutex
	var want []string
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 100 {
				mu.Lock()
				f := fmt.Sprint(w, i)
				want = append(want, f)
				at := j.Append([]byte(f))
				var rotateErr error
				if i == 50 && w == 0 {
					_, rotateErr = j.Rotate()
				}
				mu.Unlock()
				if err := errors.Join(rotateErr, j.Commit(at)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	_, got, _ := reopen(t, dir)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("frames (-want +got):\n%s", diff)
	}
}

func TestCommit_afterClose(t *testing.T) {
	j, _, _ := reopen(t, t.TempDir())
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Commit(j.Append([]byte("late"))); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("Commit = %v, want %v", err, journal.ErrClosed)
	}
	if err := j.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// FuzzOpen: whatever the last segment holds, opening it neither panics nor
// invents frames, and what is appended then is read back.
func FuzzOpen(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 'x'})
	f.Add(bytes.Repeat([]byte{0xff}, 20))
	f.Add(make([]byte, 24)) // zero pages: what a lost write leaves
	f.Fuzz(func(t *testing.T, p []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "segment-0000000000000001"), p, 0o644); err != nil {
			t.Fatal(err)
		}
		j, first, _ := reopen(t, dir)
		write(t, j, "after")
		_, second, _ := reopen(t, dir)
		if diff := cmp.Diff(append(first, "after"), second); diff != "" {
			t.Errorf("frames (-first +second):\n%s", diff)
		}
	})
}

func BenchmarkCommit(b *testing.B) {
	for _, fsync := range []bool{false, true} {
		b.Run(fmt.Sprintf("fsync=%t", fsync), func(b *testing.B) {
			j, _, err := journal.Open(b.TempDir(), journal.Options{Fsync: fsync}, func([]byte) error { return nil })
			if err != nil {
				b.Fatal(err)
			}
			frame := make([]byte, 300)
			b.SetBytes(int64(len(frame)))
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := j.Commit(j.Append(frame)); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
