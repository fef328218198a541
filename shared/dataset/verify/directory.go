package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
)

// Directory checks a directory that files of a version were pulled into: each
// must be there with its bytes, and images/ and labels/ must hold nothing else,
// because trainers read whatever lies there.
func Directory(ctx context.Context, files []dataset.File, dir string, progress func(done, total int)) (r Report, err error) {
	defer errs.Wrap(&err, "verify %s", dir)
	r.Damage = []Damage{}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return r, err
	}
	defer root.Close()
	extra, err := Extras(root, files)
	if err != nil {
		return r, err
	}
	for _, name := range extra {
		r.Damage = append(r.Damage, Damage{Path: name, Code: Extra, Note: "the version has no such file"})
	}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, f := range files {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			size, damage := File(root, f)
			mu.Lock()
			defer mu.Unlock()
			r.Files++
			r.Bytes += size
			if damage != nil {
				r.Damage = append(r.Damage, *damage)
			}
			if progress != nil {
				progress(r.Files, len(files))
			}
			return nil
		})
	}
	err = g.Wait()
	r.sort()
	return r, err
}

// File checks one file below root; damage is nil when it is as it must be.
func File(root *os.Root, f dataset.File) (size int64, damage *Damage) {
	bad := func(code errs.Code, note string) (int64, *Damage) {
		return size, &Damage{Path: f.Path, Code: code, Note: note}
	}
	name := filepath.FromSlash(f.Path)
	info, err := root.Lstat(name) // opening a pipe would wait for ever
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return bad(Missing, "is not there")
	case err != nil:
		return bad(Unreadable, err.Error())
	case !info.Mode().IsRegular():
		return bad(NotRegular, fmt.Sprintf("is no regular file: %v", info.Mode()))
	}
	if size = info.Size(); f.Size != dataset.SizeUnknown && size != f.Size {
		return bad(judge(f, size, "")) // without reading it
	}
	r, err := root.Open(name)
	if err != nil {
		return bad(Unreadable, err.Error())
	}
	defer r.Close()
	sum, size, err := digest(r)
	if err != nil {
		return bad(Unreadable, err.Error())
	}
	if code, note := judge(f, size, sum); code != "" {
		return bad(code, note)
	}
	return size, nil
}

// Extras are the files in images/ and labels/ below root that are not among
// files. What Ultralytics caches there (.cache) is none.
func Extras(root *os.Root, files []dataset.File) ([]string, error) {
	known := make(map[string]bool, len(files))
	for _, f := range files {
		known[f.Path] = true
	}
	var extra []string
	for _, top := range []string{"images", "labels"} {
		err := fs.WalkDir(root.FS(), top, func(name string, d fs.DirEntry, err error) error {
			switch {
			case name == top && errors.Is(err, fs.ErrNotExist):
				return fs.SkipDir
			case err != nil:
				return err
			case !d.IsDir() && !known[name] && path.Ext(name) != ".cache":
				extra = append(extra, name)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return extra, nil
}
