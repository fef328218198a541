package verify

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
)

// Options of Bucket.
type Options struct {
	// Quick believes the checksums that the bucket itself keeps, and reads no
	// content but the version's documents.
	Quick bool
	// Progress, when set, is told how many of all files are done.
	Progress func(done, total int)
}

// readers read at the same time.
const readers = 16

// Bucket checks that a version is what it was when it was made, and that every
// object it needs is in the bucket with the right bytes. An error means that
// the check itself could not be made.
func Bucket(ctx context.Context, b blob.Bucket, v dataset.Version, o Options) (r Report, err error) {
	defer errs.Wrap(&err, "verify data set version %q", v.ID)
	c := check{bucket: b, quick: o.Quick, report: Report{Dataset: v.ID, Damage: []Damage{}}}
	files, err := c.documents(ctx, v)
	if err != nil {
		return c.report, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	of := byContent(files)
	done := 0
	for _, same := range of {
		g.Go(func() error {
			size, damage, err := c.object(ctx, same[0])
			if err != nil {
				return err
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			for _, f := range same {
				c.report.Files++
				c.report.Bytes += size
				if damage != nil {
					c.report.Damage = append(c.report.Damage, Damage{f.Path, damage.Name, damage.Code, damage.Note})
				}
			}
			done += len(same)
			if o.Progress != nil {
				o.Progress(done, len(files))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return c.report, err
	}
	if c.report.Sound() && (c.report.Files != v.Files || c.report.Bytes != v.Bytes) {
		c.damage(dataset.SummaryFile, dataset.VersionObject(v.ID, dataset.SummaryFile), Altered,
			fmt.Sprintf("says %d files of %d bytes; there are %d of %d", v.Files, v.Bytes, c.report.Files, c.report.Bytes))
	}
	c.report.sort()
	return c.report, nil
}

func byContent(files []dataset.File) map[string][]dataset.File {
	of := make(map[string][]dataset.File, len(files))
	for _, f := range files {
		of[f.MD5] = append(of[f.MD5], f)
	}
	return of
}

// check is one run of Bucket.
type check struct {
	bucket blob.Bucket
	quick  bool

	mu     sync.Mutex
	report Report
}

func (c *check) damage(path, object string, code errs.Code, note string) {
	c.report.Damage = append(c.report.Damage, Damage{Path: path, Name: "gs://" + c.bucket.Name() + "/" + object, Code: code, Note: note})
}

// documents checks what tells of the version, and returns its files as far as
// that still does.
func (c *check) documents(ctx context.Context, v dataset.Version) ([]dataset.File, error) {
	// bad records the damage that an error tells of; others are returned.
	bad := func(path, object string, err error) error {
		if err == nil {
			return nil
		}
		code, ok := fault(err)
		if !ok {
			return err
		}
		if _, permanent := errs.Reason(err); permanent {
			code = Altered
		}
		c.damage(path, object, code, err.Error())
		return nil
	}
	photosObject := dataset.VersionObject(v.ID, dataset.PhotosFile)
	if err := bad(dataset.PhotosFile, photosObject, dataset.CheckID(ctx, c.bucket, v)); err != nil {
		return nil, err
	}
	if err := c.pointer(ctx, v, bad); err != nil {
		return nil, err
	}
	photos, err := dataset.Photos(ctx, c.bucket, v.ID)
	if err != nil && c.report.Sound() {
		if err := bad(dataset.PhotosFile, photosObject, err); err != nil {
			return nil, err
		}
	}
	files, listing := dataset.Listing(ctx, c.bucket, v)
	if listing != nil {
		if err := bad("listing of files", dataset.ListingObject(v), listing); err != nil {
			return nil, err
		}
		for _, p := range photos {
			files = append(files, dataset.File{Path: p.Path, MD5: p.MD5, Size: p.Size})
		}
		return files, nil
	}
	at := make(map[string]int, len(files))
	for i, f := range files {
		at[f.Path] = i
	}
	for _, p := range photos {
		if i, ok := at[p.Path]; !ok || files[i].MD5 != p.MD5 {
			c.damage(p.Path, dataset.ListingObject(v), Unlisted, "the listing has no such photo of MD5 "+p.MD5)
		} else {
			files[i].Size = p.Size
		}
		if _, ok := at[dataset.LabelPath(p.Path)]; !ok {
			c.damage(dataset.LabelPath(p.Path), dataset.ListingObject(v), Unlisted, "the listing has no labels of "+p.Path)
		}
	}
	return files, nil
}

// pointer checks the file that DVC finds the version by.
func (c *check) pointer(ctx context.Context, v dataset.Version, bad func(path, object string, err error) error) error {
	object := dataset.VersionObject(v.ID, dataset.DVCFile)
	have, _, err := blob.ReadAll(ctx, c.bucket, object)
	if err == nil && !bytes.Equal(have, dataset.DVCPointer(v.DirMD5, v.Bytes, v.Files, "dataset")) {
		err = errs.Permanentf(Altered, "does not point at the version's files")
	}
	return bad(dataset.DVCFile, object, err)
}

// object checks the bytes that a file of the version is made of.
func (c *check) object(ctx context.Context, f dataset.File) (size int64, damage *Damage, err error) {
	if !c.quick {
		return Copy(ctx, c.bucket, f, io.Discard)
	}
	a, err := c.bucket.Stat(ctx, dataset.ContentObject(f.MD5))
	return judgeObject(ctx, c.bucket, f, a.Size, a.MD5, err)
}

// Copy writes a file's bytes from the bucket to w and tells how many they were
// and what is wrong with them. An error says nothing about the file: the bucket
// is away, w refused, or ctx ended.
func Copy(ctx context.Context, b blob.Bucket, f dataset.File, w io.Writer) (size int64, damage *Damage, err error) {
	r, _, err := b.Open(ctx, dataset.ContentObject(f.MD5), 0, -1)
	if err != nil {
		return judgeObject(ctx, b, f, 0, "", err)
	}
	defer r.Close()
	out := &writer{Writer: w}
	sum, size, err := digest(io.TeeReader(r, out))
	if out.err != nil {
		return size, nil, out.err
	}
	return judgeObject(ctx, b, f, size, sum, err)
}

// writer remembers its own failure, to tell it from the reader's.
type writer struct {
	io.Writer
	err error
}

func (w *writer) Write(p []byte) (n int, err error) {
	n, w.err = w.Writer.Write(p)
	return n, w.err
}

// judgeObject is judge for an object, and for the error of reading it. Where
// the bucket tells of an object and yet cannot give its content, the object is
// damaged, not the bucket away.
func judgeObject(ctx context.Context, b blob.Bucket, f dataset.File, size int64, sum string, err error) (int64, *Damage, error) {
	damage := &Damage{Path: f.Path, Name: "gs://" + b.Name() + "/" + dataset.ContentObject(f.MD5)}
	if err != nil {
		code, ok := fault(err)
		if !ok {
			if _, away := b.Stat(ctx, dataset.ContentObject(f.MD5)); away != nil {
				return size, nil, err
			}
			code = Unreadable
		}
		damage.Code, damage.Note = code, err.Error()
		return size, damage, nil
	}
	if damage.Code, damage.Note = judge(f, size, sum); damage.Code != "" {
		return size, damage, nil
	}
	return size, nil, nil
}

func digest(r io.Reader) (sum string, size int64, err error) {
	h := md5.New()
	size, err = io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// judge compares what was found with what a file must be.
func judge(f dataset.File, size int64, sum string) (errs.Code, string) {
	switch {
	case f.Size != dataset.SizeUnknown && size != f.Size:
		return SizeWrong, fmt.Sprintf("has %d bytes, must have %d", size, f.Size)
	case sum != f.MD5:
		return Corrupt, fmt.Sprintf("has MD5 %s, must have %s", sum, f.MD5)
	}
	return "", ""
}
