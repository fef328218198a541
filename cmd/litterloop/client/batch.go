package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/archive"
	"github.com/litterloop/litterloop/shared/dataset/labelformat"
)

// Batch returns the files of a batch and its name: a directory with photos and
// labels, or an archive of one.
func Batch(path string) (name string, files []File, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return "", nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", nil, err
	}
	base := filepath.Base(path)
	if info.IsDir() {
		files, err = Directory(path)
		return base, files, err
	}
	if _, ok := archive.FormatOf(base); !ok {
		return "", nil, fmt.Errorf("%s is neither a directory nor an archive (zip, tar, tar.gz, tar.zst)", path)
	}
	name, _, _ = strings.Cut(base, ".")
	return name, []File{{base, func() (io.ReadCloser, error) { return os.Open(path) }}}, nil
}

// Kind is the form of the labels among a batch's files, "" when there are none.
func Kind(files []File) labelformat.Kind {
	kind, _, _ := labelformat.Find(names(files))
	return kind
}

// Packed tells whether a batch is an archive.
func Packed(files []File) bool {
	return slices.ContainsFunc(files, func(f File) bool {
		_, ok := archive.FormatOf(f.Name)
		return ok && !strings.Contains(f.Name, "/")
	})
}

func names(files []File) (all []string) {
	for _, f := range files {
		all = append(all, f.Name)
	}
	return all
}

// DropBatch is Drop in the order that a batch needs: a class map before the
// labels that it changes, and after YOLO labels, when any of them was sent, the
// marker that says that they are all there.
func DropBatch(ctx context.Context, b blob.Bucket, batch string, files []File, progress func(done, total int)) (Dropped, error) {
	first := func(f File) bool { return f.Name == dataset.ClassMapFile }
	last := func(f File) bool { return f.Name == dataset.MarkerFile }
	var total Dropped
	for _, some := range [][]File{
		slices.DeleteFunc(slices.Clone(files), func(f File) bool { return !first(f) }),
		slices.DeleteFunc(slices.Clone(files), func(f File) bool { return first(f) || last(f) }),
	} {
		before := total.Sent + total.Already
		d, err := Drop(ctx, b, batch, some, func(done, _ int) { progress(before+done, len(files)) })
		total.Batch, total.Files = batch, total.Files+d.Files
		total.Sent, total.Already = total.Sent+d.Sent, total.Already+d.Already
		if err != nil {
			return total, err
		}
	}
	switch Kind(files) {
	case "", labelformat.COCO:
		return total, nil
	}
	if _, err := b.Stat(ctx, batch+"/"+dataset.MarkerFile); err == nil && total.Sent == 0 {
		return total, nil
	}
	_, err := b.Write(ctx, batch+"/"+dataset.MarkerFile, bytes.NewReader(nil), blob.WriteOptions{IfGeneration: blob.Any, ContentType: "text/plain"})
	return total, err
}
