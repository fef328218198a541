package library

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/filelock"
)

// Progress is told how many bytes of a download have arrived, of about total.
// It may be called from another goroutine, never after Fetch returned.
type Progress func(done, total int64)

// Fetch returns the library that Find finds, or else downloads it into the
// cache with `pip download`, or with `npm pack` where there is no pip. Several
// processes may call it at once: one downloads, the others wait. progress may
// be nil.
func Fetch(ctx context.Context, o Options, progress Progress) (Library, error) {
	o, err := o.withDefaults()
	if err != nil {
		return Library{}, err
	}
	if lib, err := Find(ctx, o); err == nil || !errors.Is(err, errs.NotFound) {
		return lib, err
	}
	if len(sources()) == 0 {
		return Library{}, fmt.Errorf("no packaged ONNX Runtime is known for %s/%s: build or install release %s and set %s to the library", runtime.GOOS, runtime.GOARCH, Version, Env)
	}
	if err := os.MkdirAll(o.Cache, 0o755); err != nil {
		return Library{}, fmt.Errorf("make the cache directory: %w", err)
	}
	unlock, err := filelock.Acquire(ctx, filepath.Join(o.Cache, ".lock"))
	if err != nil {
		return Library{}, err
	}
	defer unlock()
	if lib, err := Find(ctx, o); err == nil || !errors.Is(err, errs.NotFound) {
		return lib, err // another process fetched it while this one waited
	}
	var failures []error
	for _, s := range sources() {
		path, err := s.fetch(ctx, o.Cache, progress)
		if err == nil {
			return Library{Path: path, From: "fetched"}, nil
		}
		if ctx.Err() != nil {
			return Library{}, ctx.Err()
		}
		failures = append(failures, err)
	}
	return Library{}, fmt.Errorf("fetch ONNX Runtime (pip or npm with a reachable package index is needed; or set %s to the library): %w", Env, errors.Join(failures...))
}

// fetch downloads, unpacks, verifies and only then renames into the cache, so
// that the cache never holds half a library.
func (s source) fetch(ctx context.Context, cache string, progress Progress) (string, error) {
	dir, err := os.MkdirTemp(cache, ".fetch-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	stop := watch(dir, s.bytes, progress)
	err = s.download(ctx, dir)
	stop()
	if err != nil {
		return "", err
	}
	unpacked := filepath.Join(dir, "library")
	if err := s.unpack(dir, unpacked); err != nil {
		return "", fmt.Errorf("unpack %s from the %s package: %w", s.member, s.tool, err)
	}
	if err := verify(unpacked, s.sha256); err != nil {
		return "", fmt.Errorf("the %s package %s is not the one this release was tested with: %w", s.tool, s.version, err)
	}
	path := filepath.Join(cache, s.file())
	return path, os.Rename(unpacked, path)
}

func (s source) download(ctx context.Context, dir string) error {
	var commands [][]string
	switch s.tool {
	case "pip":
		args := []string{"download", "--quiet", "--no-deps", "--no-cache-dir", "--disable-pip-version-check",
			"--only-binary=:all:", "--python-version", "3.13", "--implementation", "cp", "--platform", s.platform,
			"--dest", dir, "onnxruntime==" + s.version}
		commands = [][]string{append([]string{"pip3"}, args...), append([]string{"pip"}, args...), append([]string{"python3", "-m", "pip"}, args...)}
	case "npm":
		commands = [][]string{{"npm", "pack", "--silent", "--pack-destination", dir, "onnxruntime-node@" + s.version}}
	}
	for _, c := range commands {
		if _, err := exec.LookPath(c[0]); err != nil {
			continue
		}
		cmd := exec.CommandContext(ctx, c[0], c[1:]...)
		cmd.Env = append(os.Environ(), "TMPDIR="+dir) // unfinished bytes show in the progress, and go with the directory
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(c[:2], " "), err, strings.TrimSpace(string(out)))
		}
		return nil
	}
	return fmt.Errorf("%s is not installed", s.tool)
}

// watch reports the size of what lies in dir until the returned function runs.
func watch(dir string, total int64, progress Progress) (stop func()) {
	if progress == nil {
		return func() {}
	}
	ticker, done, stopped := time.NewTicker(100*time.Millisecond), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				progress(total, total)
				return
			case <-ticker.C:
				progress(min(size(dir), total), total)
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(done)
		<-stopped
	}
}

func size(dir string) (n int64) {
	// Files come and go while pip works: what cannot be read counts as nothing.
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

// unpack writes the member of the one archive in dir to path.
func (s source) unpack(dir, path string) error {
	archives, err := filepath.Glob(filepath.Join(dir, "onnxruntime*"))
	if err != nil || len(archives) != 1 {
		return fmt.Errorf("expected one archive, found %q (%v)", archives, err)
	}
	if s.tool == "pip" {
		z, err := zip.OpenReader(archives[0])
		if err != nil {
			return err
		}
		defer z.Close()
		member, err := z.Open(s.member)
		if err != nil {
			return err
		}
		defer member.Close()
		return write(path, member)
	}
	f, err := os.Open(archives[0])
	if err != nil {
		return err
	}
	defer f.Close()
	gz, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for t := tar.NewReader(gz); ; {
		h, err := t.Next()
		if err != nil {
			return fmt.Errorf("find %s: %w", s.member, err)
		}
		if h.Name == s.member {
			return write(path, t)
		}
	}
}

func write(path string, r io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Sync(), f.Close())
}
