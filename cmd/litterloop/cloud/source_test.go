package cloud

import (
	"archive/zip"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestWriteSource_holdsAllThatItImportsAndNoMore(t *testing.T) {
	var first, second bytes.Buffer
	for _, w := range []*bytes.Buffer{&first, &second} {
		if err := WriteSource(t.Context(), w, "../../.."); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same source gives two zips: functions would be built again for nothing")
	}
	z, err := zip.NewReader(bytes.NewReader(first.Bytes()), int64(first.Len()))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, z); err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		for _, unwanted := range []string{"cmd/", "localcloud/", "terraform/", "_test.go", "onnxruntime"} {
			if strings.Contains(f.Name, unwanted) {
				t.Errorf("%s is of no use to a function", f.Name)
			}
		}
	}
	// Every import and embedded file is found, in what was unpacked alone.
	cmd := exec.CommandContext(t.Context(), "go", "list", "-mod=readonly", "-deps", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("what is in the zip does not hold together: %v\n%s", err, out)
	}
}

func TestSourceIn_leavesWhatIsTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "build", "functions.zip")
	if _, err := SourceIn(t.Context(), path, "../../.."); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := SourceIn(t.Context(), path, "../../.."); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("the zip was written again: %v", err)
	}
}

func TestWriteSource_refusesAnotherDirectory(t *testing.T) {
	err := WriteSource(t.Context(), &bytes.Buffer{}, ".")
	if err == nil || !strings.Contains(err.Error(), "root of the repository") {
		t.Errorf("the functions' source was found in a sub-package: %v", err)
	}
}
