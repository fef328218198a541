package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
)

// gather finds out about the photos of a batch and brings their content into
// the datasets bucket. known are photos by MD5 that a version has: they are
// neither read nor copied.
func (in *Intake) gather(ctx context.Context, photos []blob.Attrs, known map[string]dataset.Seen) (map[string]dataset.Seen, error) {
	var mu sync.Mutex
	seen := make(map[string]dataset.Seen, len(photos))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2*runtime.GOMAXPROCS(0) + 2) // some wait for the bucket while others decode
	for _, a := range photos {
		if s, ok := known[a.MD5]; ok {
			mu.Lock()
			seen[a.Name] = s
			mu.Unlock()
			continue
		}
		g.Go(func() error {
			s, err := in.fetch(ctx, a)
			if err != nil {
				return fmt.Errorf("photo %q: %w", a.Name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			seen[a.Name] = s
			return nil
		})
	}
	return seen, g.Wait()
}

// fetch reads and inspects a photo, and has it copied to its content address.
func (in *Intake) fetch(ctx context.Context, a blob.Attrs) (dataset.Seen, error) {
	if limit := in.o.Policy.MaxPhotoBytes; a.Size > limit {
		s := dataset.Seen{Size: a.Size, Fault: errs.Permanentf(photoTooLarge, "it has %d bytes, %d are allowed", a.Size, limit)}
		s.MD5 = a.MD5
		return s, nil
	}
	data, _, err := blob.ReadAll(ctx, in.incoming, a.Name)
	if errors.Is(err, errs.NotFound) {
		return dataset.Seen{}, errGone
	}
	if err != nil {
		return dataset.Seen{}, err
	}
	s := in.o.Inspect(data)
	if s.Fault != nil {
		return s, nil
	}
	return s, in.store(ctx, a.Name, s.MD5, data)
}

// errGone: a photo was deleted since it was listed. It is not errs.NotFound,
// which may also mean that a whole bucket is missing.
var errGone = errors.New("the photo is gone")

// photoTooLarge is the code that imaging has for too many pixels.
const photoTooLarge errs.Code = "photo-too-large"

// store puts a photo's content at its address, by a copy inside the storage
// service. The copy is of whatever the name holds by then, so it is checked,
// and so is what lies there already: an earlier check may never have come.
func (in *Intake) store(ctx context.Context, name, md5 string, data []byte) error {
	object := dataset.ContentObject(md5)
	a, err := in.datasets.Copy(ctx, object, in.incoming, name, blob.WriteOptions{IfGeneration: blob.Absent})
	if errors.Is(err, errs.Conflict) {
		a, err = in.datasets.Stat(ctx, object)
	}
	if err != nil && !errors.Is(err, errs.NotFound) {
		return err
	}
	if a.MD5 == md5 {
		return nil
	}
	_, err = in.datasets.Write(ctx, object, bytes.NewReader(data), blob.WriteOptions{IfGeneration: a.Generation})
	return err
}
