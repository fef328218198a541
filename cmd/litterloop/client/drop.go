package client

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/telemetry"
)

// File is one file of a batch.
type File struct {
	Name string // slash-separated, below the batch
	Open func() (io.ReadCloser, error)
}

// Directory lists the files of a batch in a directory, in name order, leaving
// out hidden ones.
func Directory(dir string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != dir && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		files = append(files, File{filepath.ToSlash(rel), func() (io.ReadCloser, error) { return os.Open(path) }})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the batch in %s: %w", dir, err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s holds no files: a batch is photos and an annotations.json that names them", dir)
	}
	return files, nil
}

// Dropped counts what Drop did.
type Dropped struct {
	Batch   string `json:"batch"`
	Files   int    `json:"files"`
	Sent    int    `json:"sent"`
	Already int    `json:"already"` // there with the same content
}

// Drop uploads files below batch/ of the incoming bucket, eight at a time, in
// the order given. A file that is there with the same content is not sent
// again, so a drop that was interrupted goes on; one with other content is
// replaced, which corrects the batch.
func Drop(ctx context.Context, b blob.Bucket, batch string, files []File, progress func(done, total int)) (_ Dropped, err error) {
	ctx, span := telemetry.Start(ctx, "drop", attribute.String("batch", batch), attribute.Int("files", len(files)))
	defer span.End(&err)
	if batch == "" || strings.ContainsAny(batch, "/\\") || batch == "." || batch == ".." {
		return Dropped{}, fmt.Errorf("batch name %q: give one path segment, as in --batch march-2026", batch)
	}
	var sent, done atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for f := range slices.Values(files) {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			new, err := put(ctx, b, batch+"/"+f.Name, f)
			if err != nil {
				return fmt.Errorf("drop %s: %w", f.Name, err)
			}
			if new {
				sent.Add(1)
			}
			progress(int(done.Add(1)), len(files))
			return nil
		})
	}
	err = g.Wait()
	n := int(sent.Load())
	return Dropped{Batch: batch, Files: len(files), Sent: n, Already: int(done.Load()) - n}, err
}

func put(ctx context.Context, b blob.Bucket, name string, f File) (sent bool, err error) {
	live, err := b.Stat(ctx, name)
	if err != nil && !errors.Is(err, errs.NotFound) {
		return false, err
	}
	r, err := f.Open()
	if err != nil {
		return false, err
	}
	defer r.Close()
	if live.Generation != 0 {
		sum := md5.New()
		if _, err := io.Copy(sum, r); err != nil {
			return false, err
		}
		if hex.EncodeToString(sum.Sum(nil)) == live.MD5 {
			return false, nil
		}
		again, err := f.Open()
		if err != nil {
			return false, err
		}
		defer again.Close()
		r = again
	}
	kind := mime.TypeByExtension(filepath.Ext(f.Name))
	_, err = b.Write(ctx, name, r, blob.WriteOptions{IfGeneration: live.Generation, ContentType: kind})
	return err == nil, err
}
