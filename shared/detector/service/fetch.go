package service

import (
	"context"
	"slices"
	"strings"

	"github.com/litterloop/litterloop/shared/errs"
)

// fetch reads the photo at a URI: with the service's own rights from a bucket,
// with none from a web server that is allowed.
func (s *server) fetch(ctx context.Context, uri string) ([]byte, error) {
	if strings.HasPrefix(strings.ToLower(uri), "https:") {
		if s.remote == nil {
			return nil, errs.Permanentf(uriRefused, "https:// is not read by this service (PHOTO_HOSTS): send the photo itself, or gs://BUCKET/OBJECT")
		}
		return s.remote.Fetch(ctx, uri, s.c.MaxBody)
	}
	path, ok := strings.CutPrefix(uri, "gs://")
	bucket, name, ok2 := strings.Cut(path, "/")
	if !ok || !ok2 || bucket == "" || name == "" {
		return nil, errs.Permanentf(uriRefused, "only gs://BUCKET/OBJECT is read, and https:// where PHOTO_HOSTS allows it")
	}
	if s.d.Bucket == nil || !slices.Contains(s.c.PhotoBuckets, "*") && !slices.Contains(s.c.PhotoBuckets, bucket) {
		return nil, errs.Permanentf(uriRefused, "bucket %s is not among those that this service reads photos from (PHOTO_BUCKETS)", bucket)
	}
	b, err := s.d.Bucket(ctx, bucket)
	if err != nil {
		return nil, err
	}
	r, a, err := b.Open(ctx, name, 0, -1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if a.Size > s.c.MaxBody {
		return nil, s.oversize()
	}
	return readAll(r, a.Size)
}
