// Package dvcrepo writes a DVC repository for a data set version: the stock
// client's `dvc pull` in it fetches the version from the datasets bucket.
package dvcrepo

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
)

// Foreign: the directory has a DVC configuration that this package did not
// write, and that it will not overwrite.
const Foreign errs.Code = "dvc-config-foreign"

// remote is the name of the remote in the repository's configuration.
const remote = `['remote "litterloop"']`

// Data is the directory of the repository that the version is pulled into.
const Data = "dataset"

// Remote is where a version's files are.
type Remote struct {
	Bucket string
	// Endpoint is the URL of a storage service that stands in for Google's and
	// asks for no credentials; empty for Google's own.
	Endpoint string
}

// Files are the files of the repository, by slash-separated path. It works with
// and without git; what DVC fetches and caches is ignored by git.
func Files(v dataset.Version, r Remote) map[string][]byte {
	return map[string][]byte{
		".dvc/config":     config(r),
		".dvc/.gitignore": []byte("/config.local\n/tmp\n/cache\n"),
		".gitignore":      []byte("/" + Data + "\n"),
		Data + ".dvc":     dataset.DVCPointer(v.DirMD5, v.Bytes, v.Files, Data),
	}
}

func config(r Remote) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "[core]\n    remote = litterloop\n    no_scm = true\n%s\n    url = gs://%s\n    verify = true\n", remote, r.Bucket)
	if r.Endpoint != "" {
		fmt.Fprintf(&out, "    endpointurl = %s\n    allow_anonymous_login = true\n", strings.TrimSuffix(r.Endpoint, "/"))
	}
	return out.Bytes()
}

// Write writes the repository into dir, or turns the one that was written there
// before to this version. Files that people may have changed (.gitignore) are
// left as they are; a DVC configuration of another kind is a permanent error,
// Foreign.
func Write(dir string, v dataset.Version, r Remote) (err error) {
	defer errs.Wrap(&err, "write a DVC repository into %s", dir)
	if err := os.MkdirAll(filepath.Join(dir, ".dvc"), 0o777); err != nil {
		return err
	}
	have, err := os.ReadFile(filepath.Join(dir, ".dvc", "config"))
	if err == nil && len(bytes.TrimSpace(have)) > 0 && !strings.Contains(string(have), remote) {
		return errs.Permanentf(Foreign, ".dvc/config is there and has no remote \"litterloop\": name another directory, or move it away")
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for name, data := range Files(v, r) {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if filepath.Base(name) == ".gitignore" {
			if _, err := os.Lstat(name); err == nil {
				continue
			}
		}
		if err := os.WriteFile(name, data, 0o666); err != nil {
			return err
		}
	}
	return nil
}
