package dvcrepo

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
)

var update = flag.Bool("update", false, "rewrite the goldens")

func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		files[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

var version = dataset.Version{ID: "6d45140a70f639ef", DirMD5: "d096ca8c0fb1aa4501295e02f70830d5", Bytes: 43377142, Files: 203}

func TestWrite(t *testing.T) {
	for name, remote := range map[string]Remote{
		"cloud": {Bucket: "project-datasets"},
		"local": {Bucket: "local-datasets", Endpoint: "http://127.0.0.1:4443/"},
	} {
		t.Run(name, func(t *testing.T) {
			golden := filepath.Join("testdata", name)
			if *update {
				if err := Write(golden, version, remote); err != nil {
					t.Fatal(err)
				}
			}
			dir := t.TempDir()
			for range 2 { // the second changes nothing
				if err := Write(dir, version, remote); err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(tree(t, golden), tree(t, dir)); d != "" {
					t.Error(d)
				}
			}
		})
	}
}

func TestWrite_anotherVersionKeepsWhatPeopleWrote(t *testing.T) {
	dir := t.TempDir()
	if err := Write(dir, version, Remote{Bucket: "b"}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("mine\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	next := version
	next.DirMD5 = "00000000000000000000000000000000"
	if err := Write(dir, next, Remote{Bucket: "b"}); err != nil {
		t.Fatal(err)
	}
	files := tree(t, dir)
	if files[".gitignore"] != "mine\n" || files["dataset.dvc"] != string(dataset.DVCPointer(next.DirMD5, next.Bytes, next.Files, "dataset")) {
		t.Errorf("%v", files)
	}
}

func TestWrite_refusesSomebodyElsesRepository(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, ".dvc", "config")
	if err := os.Mkdir(filepath.Dir(config), 0o777); err != nil {
		t.Fatal(err)
	}
	const theirs = "[core]\n    remote = s3\n"
	if err := os.WriteFile(config, []byte(theirs), 0o666); err != nil {
		t.Fatal(err)
	}
	err := Write(dir, version, Remote{Bucket: "b"})
	if code, _ := errs.Reason(err); code != Foreign {
		t.Error(err)
	}
	if d := cmp.Diff(map[string]string{".dvc/config": theirs}, tree(t, dir)); d != "" {
		t.Error(d)
	}
}
