package storage

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/litterloop/litterloop/localcloud/internal/loopback"
)

// ServeHTTP implements http.Handler. It answers only requests that name this
// machine: a web page whose host name was made to resolve to 127.0.0.1 reaches
// the port, but not the data.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !loopback.Host(r.Host) || !loopback.Origin(r.Header.Get("Origin")) {
		writeError(w, r, &apiError{http.StatusForbidden, "forbidden", fmt.Sprintf("refused: host %q, origin %q: this server answers the machine it runs on, by a loopback address or localhost", r.Host, r.Header.Get("Origin"))})
		return
	}
	plan := s.faults.plan()
	if err := wait(r.Context(), plan.delay); err != nil {
		return
	}
	if plan.unavailable {
		writeError(w, r, errInjected)
		return
	}
	if plan.loseAnswer && r.Method != http.MethodGet && r.Method != http.MethodHead {
		defer writeError(w, r, errInjected)
		w = &deaf{header: http.Header{}}
	}
	if err := s.route(w, r); err != nil {
		writeError(w, r, err)
	}
}

var errInjected = &apiError{http.StatusServiceUnavailable, "backendError", "refused on purpose, by fault injection"}

// deaf loses an answer.
type deaf struct{ header http.Header }

func (d *deaf) Header() http.Header         { return d.header }
func (d *deaf) Write(p []byte) (int, error) { return len(p), nil }
func (d *deaf) WriteHeader(int)             {}

// request is an API request with its path taken apart.
type request struct {
	*http.Request
	query  url.Values
	bucket string
	object string
	rest   []string // what follows the object: compose, rewriteTo/b/…
}

// base is the server as the client reached it.
func (r *request) base() string { return "http://" + r.Host }

// route finds the method for a path. Names arrive percent-encoded, so the path
// is split before it is decoded; net/http's own mux would clean "..", "//".
func (s *Server) route(w http.ResponseWriter, hr *http.Request) error {
	raw := strings.Split(strings.TrimPrefix(hr.URL.EscapedPath(), "/"), "/")
	p := make([]string, len(raw))
	for i, part := range raw {
		var err error
		if p[i], err = url.PathUnescape(part); err != nil {
			return badRequest("invalid", "path %q: %v", hr.URL.EscapedPath(), err)
		}
	}
	query, err := url.ParseQuery(hr.URL.RawQuery)
	if err != nil {
		return badRequest("invalid", "query %q: %v", hr.URL.RawQuery, err)
	}
	r := &request{Request: hr, query: query}
	trimmed := func(prefix ...string) bool {
		found := len(p) >= len(prefix) && slices.Equal(p[:len(prefix)], prefix)
		if found {
			p = p[len(prefix):]
		}
		return found
	}
	switch {
	case trimmed("upload", "storage", "v1", "b"), trimmed("resumable", "upload", "storage", "v1", "b"):
		if len(p) == 2 && p[1] == "o" {
			r.bucket = p[0]
			return s.upload(w, r)
		}
	case trimmed("download", "storage", "v1", "b"):
		if len(p) == 3 && p[1] == "o" && hr.Method == http.MethodGet {
			r.bucket, r.object = p[0], p[2]
			return s.download(w, r, r.query.Get)
		}
	case trimmed("storage", "v1", "b"), trimmed("b"):
		return s.routeJSON(w, r, p)
	case len(p) >= 2 && p[0] != "" && p[0] != "storage":
		r.bucket = p[0]
		r.object, err = url.PathUnescape(strings.Join(raw[1:], "/"))
		if err == nil {
			return s.xml(w, r)
		}
	case hr.URL.Path == "/":
		writeJSON(w, http.StatusOK, map[string]string{"kind": "storage#local"})
		return nil
	}
	return unknown(hr)
}

func unknown(r *http.Request) error {
	return &apiError{http.StatusNotImplemented, "notImplemented", fmt.Sprintf("the local Cloud Storage does not serve %s %s", r.Method, r.URL.EscapedPath())}
}

// routeJSON serves what lies under /storage/v1/b.
func (s *Server) routeJSON(w http.ResponseWriter, r *request, p []string) error {
	if len(p) == 0 || len(p) == 1 && p[0] == "" {
		switch r.Method {
		case http.MethodGet:
			return s.listBuckets(w, r)
		case http.MethodPost:
			return s.createBucket(w, r)
		}
		return unknown(r.Request)
	}
	r.bucket = p[0]
	switch {
	case len(p) == 1:
		return s.bucketMethod(w, r)
	case p[1] == "o" && len(p) == 2 && r.Method == http.MethodGet:
		return s.list(w, r)
	case p[1] == "o" && len(p) > 2:
		r.object, r.rest = p[2], p[3:]
		return s.objectMethod(w, r)
	case p[1] == "notificationConfigs":
		return s.notificationMethod(w, r, p[2:])
	case p[1] == "storageLayout" && len(p) == 2:
		return s.storageLayout(w, r)
	case p[1] == "iam" && len(p) == 2 && r.Method == http.MethodGet:
		return s.iamPolicy(w, r)
	}
	return unknown(r.Request)
}
