package storage

import (
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/litterloop/litterloop/localcloud/storage/internal/store"
)

// maxComponents is Cloud Storage's own limit of one compose request.
const maxComponents = 32

type composeRequest struct {
	Destination   attributes `json:"destination"`
	SourceObjects []struct {
		Name          string `json:"name"`
		Generation    int64  `json:"generation,string"`
		Preconditions struct {
			IfGenerationMatch string `json:"ifGenerationMatch"`
		} `json:"objectPreconditions"`
	} `json:"sourceObjects"`
}

// compose joins objects of one bucket into one, which has no MD5.
func (s *Server) compose(w http.ResponseWriter, r *request) error {
	c, err := conditions(r.query.Get, "")
	if err != nil {
		return err
	}
	var req composeRequest
	if err := decode(r.Body, &req); err != nil {
		return err
	}
	if n := len(req.SourceObjects); n == 0 || n > maxComponents {
		return badRequest("invalid", "compose of %d objects: 1 to %d", n, maxComponents)
	}
	req.Destination.Name = r.object
	meta, err := newObject(r.bucket, nil, &req.Destination)
	if err != nil {
		return err
	}
	if err := s.mayCreate(r, meta, &c); err != nil {
		return err
	}
	content := s.store.NewContent()
	defer content.Discard()
	for _, src := range req.SourceObjects {
		if err := s.may(r, "storage.objects.get", onObject(r.bucket, src.Name)); err != nil {
			return err
		}
		condition, err := conditions(func(name string) string {
			if name == "ifGenerationMatch" {
				return src.Preconditions.IfGenerationMatch
			}
			return ""
		}, "")
		if err != nil {
			return err
		}
		o, from, err := s.store.Open(r.bucket, src.Name, src.Generation, condition)
		if err != nil {
			return err
		}
		_, err = io.Copy(content, from)
		from.Close()
		if err != nil {
			return err
		}
		meta.Components += max(1, o.Components)
		if meta.ContentType == "" {
			meta.ContentType = o.ContentType
		}
	}
	o, err := s.store.Put(meta, content, c, "")
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, resource(o, r.base()))
	return nil
}

// copy serves rewriteTo and copyTo: the content in one go, whatever its size;
// attributes are the source's unless the request names any.
func (s *Server) copy(w http.ResponseWriter, r *request, toBucket, toName string) error {
	if err := s.may(r, "storage.objects.get", onObject(r.bucket, r.object)); err != nil {
		return err
	}
	o, err := s.copyObject(r, toBucket, toName)
	if err != nil {
		return err
	}
	if r.rest[0] == "copyTo" {
		writeJSON(w, http.StatusOK, resource(o, r.base()))
		return nil
	}
	size := strconv.FormatInt(o.Size, 10)
	writeJSON(w, http.StatusOK, map[string]any{
		"kind": "storage#rewriteResponse", "done": true, "objectSize": size, "totalBytesRewritten": size,
		"resource": resource(o, r.base()),
	})
	return nil
}

func (s *Server) copyObject(r *request, toBucket, toName string) (*store.Object, error) {
	to, err := conditions(r.query.Get, "")
	if err != nil {
		return nil, err
	}
	from, err := conditions(r.query.Get, "Source")
	if err != nil {
		return nil, err
	}
	g, err := generation(r.query.Get, "sourceGeneration")
	if err != nil {
		return nil, err
	}
	if err := checkObjectName(toName); err != nil {
		return nil, err
	}
	if err := s.mayCreate(r, &store.Object{Bucket: toBucket, Name: toName}, &to); err != nil {
		return nil, err
	}
	var a *attributes // null and {} keep the source's
	if err := decode(r.Body, &a); err != nil {
		return nil, err
	}
	src, reader, err := s.store.Open(r.bucket, r.object, g, from)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	meta := src.Clone()
	if a != nil && (a.ContentType != nil || a.Metadata != nil || a.CacheControl != nil || a.ContentEncoding != nil || a.ContentDisposition != nil) {
		meta = &store.Object{Components: src.Components}
		if err := a.applyTo(meta); err != nil {
			return nil, err
		}
	}
	meta.Bucket, meta.Name = toBucket, toName
	content, err := s.store.Copied(src, reader)
	if err != nil {
		return nil, err
	}
	return s.store.Put(meta, content, to, "")
}

// move is copy and delete within a bucket, first the copy: a crash between
// leaves both. A source that changed meanwhile stays too.
func (s *Server) move(w http.ResponseWriter, r *request, toName string) error {
	if err := s.may(r, "storage.objects.move", onObject(r.bucket, r.object)); err != nil {
		return err
	}
	from, err := s.store.Stat(r.bucket, r.object, 0)
	if err != nil {
		return err
	}
	r.query.Set("sourceGeneration", strconv.FormatInt(from.Generation, 10))
	o, err := s.copyObject(r, r.bucket, toName)
	if err != nil {
		return err
	}
	err = s.store.Delete(r.bucket, r.object, from.Generation, store.Conditions{})
	if err != nil && !errors.Is(err, store.ErrNoObject) {
		return err
	}
	writeJSON(w, http.StatusOK, resource(o, r.base()))
	return nil
}
