package storage

import (
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/litterloop/litterloop/localcloud/storage/internal/store"
)

// own are the fields of a bucket's resource that the server decides.
var own = []string{"kind", "id", "name", "selfLink", "projectNumber", "metageneration", "timeCreated", "updated", "etag", "acl", "defaultObjectAcl"}

// bucketResource shows b: what the client once set, and what the server adds.
func bucketResource(b *store.Bucket, base string) map[string]any {
	m := map[string]any{"location": "US", "locationType": "multi-region", "storageClass": "STANDARD"}
	for k, v := range b.Fields {
		m[k] = v
	}
	maps.Copy(m, map[string]any{
		"kind": "storage#bucket", "id": b.Name, "name": b.Name, "projectNumber": "0",
		"selfLink":       base + "/storage/v1/b/" + b.Name,
		"metageneration": strconv.FormatInt(b.Metageneration, 10),
		"timeCreated":    timestamp(b.Created), "updated": timestamp(b.Updated),
		"etag": strconv.FormatInt(b.Metageneration, 36),
	})
	return m
}

// setFields takes over what the client says of a bucket; null takes away.
func setFields(b *store.Bucket, said map[string]json.RawMessage) {
	fields := maps.Clone(b.Fields)
	if fields == nil {
		fields = map[string]json.RawMessage{}
	}
	for k, v := range said {
		if string(v) == "null" {
			delete(fields, k)
		} else {
			fields[k] = v
		}
	}
	for _, k := range own {
		delete(fields, k)
	}
	b.Fields = fields
}

func (s *Server) createBucket(w http.ResponseWriter, r *request) error {
	if err := s.may(r, "storage.buckets.create", inProject); err != nil {
		return err
	}
	var said map[string]json.RawMessage
	if err := decode(r.Body, &said); err != nil {
		return err
	}
	var name string
	if err := json.Unmarshal(said["name"], &name); err != nil {
		return badRequest("required", "a bucket needs a name")
	}
	if err := checkBucketName(name); err != nil {
		return err
	}
	b := &store.Bucket{Name: name}
	setFields(b, said)
	b, err := s.store.CreateBucket(b)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, bucketResource(b, r.base()))
	return nil
}

func (s *Server) listBuckets(w http.ResponseWriter, r *request) error {
	if err := s.may(r, "storage.buckets.list", inProject); err != nil {
		return err
	}
	items := []map[string]any{}
	for _, b := range s.store.Buckets() {
		if strings.HasPrefix(b.Name, r.query.Get("prefix")) {
			items = append(items, bucketResource(b, r.base()))
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"kind": "storage#buckets", "items": items})
	return nil
}

// bucketMethod serves /b/BUCKET.
func (s *Server) bucketMethod(w http.ResponseWriter, r *request) error {
	verb := map[string]string{http.MethodGet: "get", http.MethodPatch: "update", http.MethodPut: "update", http.MethodDelete: "delete"}[r.Method]
	if verb == "" {
		return unknown(r.Request)
	}
	if err := s.may(r, "storage.buckets."+verb, onBucket(r.bucket)); err != nil {
		return err
	}
	c, err := conditions(r.query.Get, "")
	if err != nil {
		return err
	}
	var b *store.Bucket
	switch r.Method {
	case http.MethodGet:
		if b, err = s.store.Bucket(r.bucket); err == nil {
			err = c.CheckMetageneration(b.Metageneration)
		}
	case http.MethodPatch, http.MethodPut:
		var said map[string]json.RawMessage
		if err := decode(r.Body, &said); err != nil {
			return err
		}
		b, err = s.store.PatchBucket(r.bucket, c, func(b *store.Bucket) error {
			if r.Method == http.MethodPut {
				b.Fields = nil
			}
			setFields(b, said)
			return nil
		})
	case http.MethodDelete:
		if err := s.store.DeleteBucket(r.bucket, c); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, bucketResource(b, r.base()))
	return nil
}

func (s *Server) storageLayout(w http.ResponseWriter, r *request) error {
	if err := s.may(r, "storage.objects.list", onBucket(r.bucket)); err != nil {
		return err
	}
	if _, err := s.store.Bucket(r.bucket); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"kind": "storage#storageLayout", "bucket": r.bucket, "location": "US", "locationType": "multi-region",
		"hierarchicalNamespace": map[string]bool{"enabled": false},
	})
	return nil
}

// iamPolicy answers those who ask where policies are not enforced; where they
// are, the control plane does.
func (s *Server) iamPolicy(w http.ResponseWriter, r *request) error {
	if _, err := s.store.Bucket(r.bucket); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"kind": "storage#policy", "version": 1, "etag": "CAE=", "bindings": []any{}})
	return nil
}
