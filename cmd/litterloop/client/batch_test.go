package client

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/dataset"
)

// A YOLO directory ends with its marker, which is written again when, and only
// when, something changed: that is what takes the batch up.
func TestDropBatch_markerFollowsYOLO(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "march")
	write := func(name, content string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("data.yaml", "names: [a]")
	write("images/a.jpg", "photo")
	write("labels/a.txt", "0 .5 .5 .1 .1")
	write("classes.yaml", "drop: [b]")
	b := blobmem.New("incoming")
	drop := func() (Dropped, int64) {
		t.Helper()
		name, files, err := Batch(dir)
		if err != nil {
			t.Fatal(err)
		}
		d, err := DropBatch(t.Context(), b, name, files, func(int, int) {})
		if err != nil {
			t.Fatal(err)
		}
		marker, err := b.Stat(t.Context(), "march/"+dataset.MarkerFile)
		if err != nil {
			t.Fatal(err)
		}
		return d, marker.Generation
	}
	d, first := drop()
	if diff := cmp.Diff(Dropped{"march", 4, 4, 0}, d); diff != "" {
		t.Error(diff)
	}
	classes, err := b.Stat(t.Context(), "march/classes.yaml")
	if err != nil || classes.Generation != 1 {
		t.Errorf("the class map was not the first: %+v %v", classes, err)
	}
	if _, again := drop(); again != first {
		t.Error("the marker was written again though nothing changed")
	}
	write("labels/a.txt", "0 .5 .5 .2 .2")
	if d, again := drop(); again == first || d.Sent != 1 {
		t.Errorf("a correction: %+v", d)
	}
}

func TestBatch_archives(t *testing.T) {
	file := filepath.Join(t.TempDir(), "march.2026.tar.gz")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	name, files, err := Batch(file)
	if err != nil || name != "march" || len(files) != 1 || files[0].Name != "march.2026.tar.gz" || !Packed(files) {
		t.Errorf("%q %v %v", name, files, err)
	}
	other := strings.TrimSuffix(file, ".tar.gz") + ".rar"
	if err := os.WriteFile(other, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Batch(other); err == nil {
		t.Error("an archive of another kind was taken")
	}
}
