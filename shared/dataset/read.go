package dataset

import (
	"bufio"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

// Load returns the summary of a complete version; errs.NotFound when there is
// no such version, or it is not complete.
func Load(ctx context.Context, b blob.Bucket, id string) (v Version, err error) {
	defer errs.Wrap(&err, "load data set version %q", id)
	_, err = blob.ReadJSON(ctx, b, VersionObject(id, SummaryFile), &v)
	return v, err
}

// List returns the complete versions, oldest first.
func List(ctx context.Context, b blob.Bucket) ([]Version, error) {
	var all []Version
	for a, err := range b.List(ctx, versionsPrefix) {
		if err != nil {
			return nil, fmt.Errorf("list data set versions: %w", err)
		}
		if id, ok := VersionOf(a.Name, SummaryFile); ok {
			v, err := Load(ctx, b, id)
			if err != nil {
				return nil, err
			}
			all = append(all, v)
		}
	}
	slices.SortFunc(all, func(x, y Version) int { return int(x.Sequence - y.Sequence) })
	return all, nil
}

// Photos returns a version's photos in Path order.
func Photos(ctx context.Context, b blob.Bucket, id string) (_ []Photo, err error) {
	defer errs.Wrap(&err, "photos of data set version %q", id)
	return readLines[Photo](ctx, b, VersionObject(id, PhotosFile))
}

// readLines decodes an object of one JSON value a line.
func readLines[T any](ctx context.Context, b blob.Bucket, name string) ([]T, error) {
	r, _, err := b.Open(ctx, name, 0, -1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var all []T
	for d := json.NewDecoder(bufio.NewReaderSize(r, 1<<20)); ; {
		var v T
		if err := d.Decode(&v); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("decode gs://%s/%s, line %d: %w", b.Name(), name, len(all)+1, err)
		}
		all = append(all, v)
	}
}

// OpenPhoto returns a photo's bytes, checked against its MD5. A mismatch is a
// permanent error, "photo-corrupt": the object was damaged in the bucket.
func OpenPhoto(ctx context.Context, b blob.Bucket, p Photo) (_ []byte, err error) {
	defer errs.Wrap(&err, "open photo %q", p.Path)
	data, _, err := blob.ReadAll(ctx, b, ContentObject(p.MD5))
	if err != nil {
		return nil, err
	}
	if sum := md5.Sum(data); hex.EncodeToString(sum[:]) != p.MD5 {
		return nil, errs.Permanentf("photo-corrupt", "gs://%s/%s does not hold the bytes of MD5 %s; put the original back", b.Name(), ContentObject(p.MD5), p.MD5)
	}
	return data, nil
}

// Pointer is CurrentObject: the newest version that passed.
type Pointer struct {
	ID       string    `json:"id"`
	Sequence int64     `json:"sequence"`
	Updated  time.Time `json:"updated"`
}

// Current returns the newest version that passed validation; errs.NotFound when
// none has.
func Current(ctx context.Context, b blob.Bucket) (Version, error) {
	var p Pointer
	if _, err := blob.ReadJSON(ctx, b, CurrentObject, &p); err != nil {
		return Version{}, fmt.Errorf("current data set version: %w", err)
	}
	return Load(ctx, b, p.ID)
}

// Pass makes v the current version unless a newer one already is. The same
// version twice, or two in the wrong order, ends in the same state.
func Pass(ctx context.Context, b blob.Bucket, v Version, now time.Time) error {
	_, err := blob.Update(ctx, b, CurrentObject, func(p *Pointer) error {
		if p.Sequence >= v.Sequence {
			return blob.ErrUnchanged
		}
		*p = Pointer{ID: v.ID, Sequence: v.Sequence, Updated: now.UTC()}
		return nil
	})
	errs.Wrap(&err, "make %q the current data set version", v.ID)
	return err
}
