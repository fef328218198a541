// Package cloud does what the command line does with a Google Cloud project
// before and beside the loop: checks it, packs the functions' source, and has
// Terraform make and unmake what terraform/ declares.
package cloud

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// goPackage is what is needed of `go list -json`.
type goPackage struct {
	Dir                 string
	GoFiles, EmbedFiles []string
	Module              *struct {
		Main bool
		Dir  string
	}
}

// WriteSource writes the source of the functions as a zip: the module's root
// package in dir and what it imports of the module, without tests, and without
// what functions do not link. The same source gives the same bytes.
func WriteSource(ctx context.Context, w io.Writer, dir string) error {
	files, err := sourceFiles(ctx, dir)
	if err != nil {
		return fmt.Errorf("source of the functions: %w", err)
	}
	z := zip.NewWriter(w)
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return fmt.Errorf("source of the functions: %w", err)
		}
		// Zip's earliest time: that of the file would change the bytes.
		f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)})
		if err != nil {
			return err
		}
		if _, err := f.Write(text); err != nil {
			return err
		}
	}
	return z.Close()
}

// sourceFiles are the files by slash-separated name, in order.
func sourceFiles(ctx context.Context, dir string) ([]string, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-json=Dir,GoFiles,EmbedFiles,Module", ".")
	cmd.Dir, cmd.Stderr = root, &stderr
	// What the functions' builder builds, whatever this machine is.
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list in %s: %w\n%s", dir, err, &stderr)
	}
	files := []string{"go.mod", "go.sum"}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if p.Module == nil || !p.Module.Main {
			continue
		}
		for _, f := range slices.Concat(p.GoFiles, p.EmbedFiles) {
			name, err := filepath.Rel(p.Module.Dir, filepath.Join(p.Dir, f))
			if err != nil {
				return nil, err
			}
			files = append(files, filepath.ToSlash(name))
		}
	}
	if !slices.Contains(files, "loop.go") {
		return nil, fmt.Errorf("%s is not the root of the repository: run this there, or name it with --source", dir)
	}
	slices.Sort(files)
	return files, nil
}

// SourceIn writes the zip to path, whole or not at all; what is there and the
// same stays as it is.
func SourceIn(ctx context.Context, path, dir string) (files int, err error) {
	var b bytes.Buffer
	if err := WriteSource(ctx, &b, dir); err != nil {
		return 0, err
	}
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		return 0, err
	}
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, b.Bytes()) {
		return len(z.File), nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return 0, err
	}
	tmp := path + ".new"
	if err := errors.Join(os.WriteFile(tmp, b.Bytes(), 0o644), os.Rename(tmp, path)); err != nil {
		return 0, fmt.Errorf("write %s: %w", path, err)
	}
	return len(z.File), nil
}

// join is a list as people read it.
func join(list []string) string { return strings.Join(list, " ") }
