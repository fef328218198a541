// Package pull fetches a data set version into a directory, as trainers read
// it: what is there and right stays, the rest is fetched, whole files only.
package pull

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/verify"
	"github.com/litterloop/litterloop/shared/errs"
)

// Incomplete: some files could not be fetched; Result.Failed names them.
const Incomplete errs.Code = "pull-incomplete"

// partDir holds files that are being fetched. It is in the directory itself,
// so that a rename puts them in place.
const partDir = ".litterloop-pull"

// workers fetch at the same time: small files wait for the network, not for
// the processor.
const workers = 16

// Options of Pull.
type Options struct {
	// Prune removes files in images/ and labels/ that the version does not have.
	Prune bool
	// Progress, when set, is told how many of all files are done.
	Progress func(done, total int)
}

// Result counts what Pull did.
type Result struct {
	Dataset  string          `json:"dataset"`
	Dir      string          `json:"dir"`
	Files    int             `json:"files"`
	Kept     int             `json:"kept"`     // there, and right
	Fetched  int             `json:"fetched"`  // were not there
	Repaired int             `json:"repaired"` // were there, and wrong
	Bytes    int64           `json:"bytes"`    // that came from the bucket
	Extra    []string        `json:"extra"`    // in images/ and labels/, not in the version
	Pruned   int             `json:"pruned"`   // of them, removed
	Failed   []verify.Damage `json:"failed"`
}

// Pull makes dir hold a version's files. It may be killed at any point: each
// file is there whole or not at all, and the next Pull goes on. Nothing outside
// dir is ever written, whatever the bucket says or dir links to. Files that the
// bucket lacks or has damaged are gathered in Result.Failed and the error is
// Incomplete, permanent; any other error is worth a repetition.
func Pull(ctx context.Context, b blob.Bucket, v dataset.Version, dir string, o Options) (r Result, err error) {
	defer errs.Wrap(&err, "pull data set version %q into %s", v.ID, dir)
	r = Result{Dataset: v.ID, Dir: dir, Extra: []string{}, Failed: []verify.Damage{}}
	files, err := dataset.Files(ctx, b, v)
	if err != nil {
		return r, err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return r, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return r, err
	}
	defer root.Close()
	extra, err := verify.Extras(root, files)
	if err != nil {
		return r, err
	}
	r.Extra = append(r.Extra, extra...)
	if o.Prune { // first: a file may stand where the version has a directory
		for _, name := range extra {
			if err := prune(root, name); err != nil {
				return r, err
			}
			r.Pruned++
		}
	}
	if err := fill(ctx, b, root, files, o.Progress, &r); err != nil {
		return r, err
	}
	if err := root.RemoveAll(partDir); err != nil {
		return r, err
	}
	if n := len(r.Failed); n > 0 {
		return r, errs.Permanentf(Incomplete, "%d of %d files could not be fetched, the first %s: %s", n, r.Files, r.Failed[0].Path, r.Failed[0].Note)
	}
	return r, nil
}

// prune removes a file, and the directories that become empty by that.
func prune(root *os.Root, name string) error {
	if err := root.Remove(filepath.FromSlash(name)); err != nil {
		return err
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if root.Remove(filepath.FromSlash(dir)) != nil {
			break // not empty
		}
	}
	return nil
}

// fill looks at every file, and fetches those that are not right.
func fill(ctx context.Context, b blob.Bucket, root *os.Root, files []dataset.File, progress func(done, total int), r *Result) error {
	if err := root.MkdirAll(partDir, 0o777); err != nil {
		return err
	}
	var mu sync.Mutex
	looking := make(chan struct{}, runtime.GOMAXPROCS(0)) // hashing is the processor's work
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	for _, f := range files {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			looking <- struct{}{}
			_, wrong := verify.File(root, f)
			<-looking
			var size int64
			var failed *verify.Damage
			if wrong != nil {
				var err error
				if size, failed, err = fetch(ctx, b, root, f); err != nil {
					return err
				}
			}
			mu.Lock()
			defer mu.Unlock()
			r.Files++
			r.Bytes += size
			switch {
			case wrong == nil:
				r.Kept++
			case failed != nil:
				r.Failed = append(r.Failed, *failed)
			case wrong.Code == verify.Missing:
				r.Fetched++
			default:
				r.Repaired++
			}
			if progress != nil {
				progress(r.Files, len(files))
			}
			return nil
		})
	}
	return g.Wait()
}

// fetch puts one file in place, or tells what is wrong with it in the bucket.
func fetch(ctx context.Context, b blob.Bucket, root *os.Root, f dataset.File) (size int64, failed *verify.Damage, err error) {
	part, err := newPart(root)
	if err != nil {
		return 0, nil, err
	}
	defer part.discard()
	size, failed, err = verify.Copy(ctx, b, f, part)
	if err != nil || failed != nil {
		return size, failed, err
	}
	if err := part.place(root, f.Path); err != nil {
		return size, nil, fmt.Errorf("put %s in place: %w", f.Path, err)
	}
	return size, nil, nil
}
