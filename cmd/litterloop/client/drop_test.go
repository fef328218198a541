package client

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob/blobmem"
)

func TestDrop_interruptedGoesOnAndCorrectionsReplace(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("annotations.json", "{}")
	write("a b/é.jpg", "photo")
	write(".DS_Store", "no")
	b := blobmem.New("incoming")
	drop := func() Dropped {
		t.Helper()
		files, err := Directory(dir)
		if err != nil {
			t.Fatal(err)
		}
		d, err := Drop(t.Context(), b, "march", files, func(int, int) {})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, want := range []Dropped{{"march", 2, 2, 0}, {"march", 2, 0, 2}} {
		if d := cmp.Diff(want, drop()); d != "" {
			t.Error(d)
		}
	}
	write("annotations.json", `{"images":[]}`)
	if d := cmp.Diff(Dropped{"march", 2, 1, 1}, drop()); d != "" {
		t.Error(d)
	}
	if a, err := b.Stat(t.Context(), "march/a b/é.jpg"); err != nil || a.Size != 5 {
		t.Errorf("photo: %+v, %v", a, err)
	}
}

func TestDrop_refusesBatchNamesThatAreNotOneSegment(t *testing.T) {
	for _, name := range []string{"", "..", ".", "a/b", `a\b`} {
		if _, err := Drop(t.Context(), blobmem.New("incoming"), name, nil, func(int, int) {}); err == nil {
			t.Errorf("batch %q was taken", name)
		}
	}
}
