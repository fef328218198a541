package storage

import (
	"net/http"
	"strings"
)

// xml serves /BUCKET/OBJECT, the XML API's address of an object: the Go client
// reads there, and signed-URL uploads arrive there. Preconditions are headers.
func (s *Server) xml(w http.ResponseWriter, r *request) error {
	get := func(parameter string) string {
		switch parameter {
		case "generation":
			return r.query.Get(parameter)
		case "ifGenerationMatch":
			return r.Header.Get("X-Goog-If-Generation-Match")
		case "ifGenerationNotMatch":
			return r.Header.Get("X-Goog-If-Generation-Not-Match")
		case "ifMetagenerationMatch":
			return r.Header.Get("X-Goog-If-Metageneration-Match")
		case "ifMetagenerationNotMatch":
			return r.Header.Get("X-Goog-If-Metageneration-Not-Match")
		}
		return ""
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return s.download(w, r, get)
	case http.MethodPut:
		return s.xmlPut(w, r, get)
	}
	return unknown(r.Request)
}

func (s *Server) xmlPut(w http.ResponseWriter, r *request, get func(string) string) error {
	c, err := conditions(get, "")
	if err != nil {
		return err
	}
	a := &attributes{Name: r.object, Metadata: map[string]*string{}}
	if v := r.Header.Get("Content-Type"); v != "" {
		a.ContentType = &v
	}
	for k, v := range r.Header {
		if key, ok := strings.CutPrefix(k, "X-Goog-Meta-"); ok {
			a.Metadata[strings.ToLower(key)] = &v[0]
		}
	}
	meta, err := newObject(r.bucket, nil, a)
	if err != nil {
		return err
	}
	if err := s.mayCreate(r, meta, &c); err != nil {
		return err
	}
	content := s.store.NewContent()
	defer content.Discard()
	if err := receive(content, r.Body); err != nil {
		return err
	}
	expect(a, r.Header)
	if err := a.checkSums(content); err != nil {
		return err
	}
	o, err := s.store.Put(meta, content, c, "")
	if err != nil {
		return err
	}
	describe(w.Header(), o)
	w.WriteHeader(http.StatusOK)
	return nil
}
