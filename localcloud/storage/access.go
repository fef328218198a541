package storage

import (
	"errors"

	"github.com/litterloop/litterloop/localcloud/storage/internal/store"
)

// Resources as IAM names them. Buckets belong to the one project there is.
const inProject = "projects/_"

func onBucket(bucket string) string { return inProject + "/buckets/" + bucket }

func onObject(bucket, object string) string { return onBucket(bucket) + "/objects/" + object }

// may returns *iam.Denied when the caller lacks a permission.
func (s *Server) may(r *request, permission, resource string) error {
	return s.opts.Access.Check(r.Context(), permission, resource)
}

// mayCreate checks the right to make an object, and has the store ask for the
// right to delete where one of that name would be replaced.
func (s *Server) mayCreate(r *request, o *store.Object, c *store.Conditions) error {
	resource := onObject(o.Bucket, o.Name)
	c.Replace = func() error { return s.may(r, "storage.objects.delete", resource) }
	return s.may(r, "storage.objects.create", resource)
}

// concealed is err for a caller who may list the bucket; another is not told
// that an object is not there.
func (s *Server) concealed(r *request, err error) error {
	if !errors.Is(err, store.ErrNoObject) {
		return err
	}
	if denied := s.may(r, "storage.objects.list", onBucket(r.bucket)); denied != nil {
		return denied
	}
	return err
}
