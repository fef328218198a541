package storage

import (
	"encoding/json"
	"io"
	"net/http"

	"github.com/litterloop/litterloop/localcloud/storage/internal/store"
)

// maxDocument bounds a JSON request body, in bytes.
const maxDocument = 4 << 20

// decode reads a JSON body; an empty one leaves v.
func decode(r io.Reader, v any) error {
	p, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return badRequest("invalid", "read the request: %v", err)
	}
	if len(p) > maxDocument {
		return badRequest("invalid", "the request's document is above %d bytes", maxDocument)
	}
	if len(p) == 0 {
		return nil
	}
	if err := json.Unmarshal(p, v); err != nil {
		return badRequest("parseError", "the request's document: %v", err)
	}
	return nil
}

// objectMethod serves /b/BUCKET/o/OBJECT and what lies under it.
func (s *Server) objectMethod(w http.ResponseWriter, r *request) error {
	switch {
	case len(r.rest) == 1 && r.rest[0] == "compose" && r.Method == http.MethodPost:
		return s.compose(w, r)
	case len(r.rest) == 5 && r.rest[1] == "b" && r.rest[3] == "o" && r.Method == http.MethodPost:
		switch r.rest[0] {
		case "rewriteTo", "copyTo":
			return s.copy(w, r, r.rest[2], r.rest[4])
		}
	case len(r.rest) == 3 && r.rest[0] == "moveTo" && r.rest[1] == "o" && r.Method == http.MethodPost:
		return s.move(w, r, r.rest[2])
	case len(r.rest) > 0:
	case r.Method == http.MethodGet && r.query.Get("alt") == "media":
		return s.download(w, r, r.query.Get)
	case r.Method == http.MethodGet:
		return s.stat(w, r)
	case r.Method == http.MethodPatch, r.Method == http.MethodPut:
		return s.patch(w, r)
	case r.Method == http.MethodDelete:
		return s.delete(w, r)
	}
	return unknown(r.Request)
}

func (s *Server) stat(w http.ResponseWriter, r *request) error {
	if err := s.may(r, "storage.objects.get", onObject(r.bucket, r.object)); err != nil {
		return err
	}
	g, err := generation(r.query.Get, "generation")
	if err != nil {
		return err
	}
	c, err := conditions(r.query.Get, "")
	if err != nil {
		return err
	}
	o, err := s.store.Stat(r.bucket, r.object, g)
	if err != nil {
		return s.concealed(r, err)
	}
	if err := c.Check(o); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, resource(o, r.base()))
	return nil
}

func (s *Server) patch(w http.ResponseWriter, r *request) error {
	if err := s.may(r, "storage.objects.update", onObject(r.bucket, r.object)); err != nil {
		return err
	}
	g, err := generation(r.query.Get, "generation")
	if err != nil {
		return err
	}
	c, err := conditions(r.query.Get, "")
	if err != nil {
		return err
	}
	var a attributes
	if err := decode(r.Body, &a); err != nil {
		return err
	}
	o, err := s.store.Patch(r.bucket, r.object, g, c, func(o *store.Object) error {
		if r.Method == http.MethodPut { // an update replaces what a patch merges
			o.ContentType, o.ContentEncoding, o.ContentDisposition = "", "", ""
			o.ContentLanguage, o.CacheControl, o.Metadata = "", "", nil
		}
		return a.applyTo(o)
	})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, resource(o, r.base()))
	return nil
}

func (s *Server) delete(w http.ResponseWriter, r *request) error {
	if err := s.may(r, "storage.objects.delete", onObject(r.bucket, r.object)); err != nil {
		return err
	}
	g, err := generation(r.query.Get, "generation")
	if err != nil {
		return err
	}
	c, err := conditions(r.query.Get, "")
	if err != nil {
		return err
	}
	if err := s.store.Delete(r.bucket, r.object, g, c); err != nil {
		return s.concealed(r, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
