package progress

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBoard_aFileGetsALineForEachStage(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	b := New(out)
	clock := time.Unix(0, 0)
	b.now = func() time.Time { clock = clock.Add(500 * time.Millisecond); return clock }
	s := b.Stage("convert")
	s.Set(1, 2, "half")
	s.Done("%d photos", 2)
	s.Fail(errors.New("too late"))
	b.Stage("train").Fail(errors.New("no memory"))
	b.Stage("deploy").Fail(fmt.Errorf("wait: %w", context.Canceled))
	b.Close()
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	var words [][]string
	for line := range strings.Lines(string(text)) {
		words = append(words, strings.Fields(line))
	}
	want := [][]string{{"convert", "done", "0.5s", "2", "photos"}, {"train", "FAILED", "0.5s", "no", "memory"}, {"deploy", "stopped", "0.5s"}}
	if d := cmp.Diff(want, words); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]Spent{{"convert", 0.5}, {"train", 0.5}, {"deploy", 0.5}}, b.Spent()); d != "" {
		t.Error(d)
	}
}
