// Package server speaks MLflow's REST API, as its server 3.17 does, over the
// store in shared/tracking and the registry in shared/registry. The behaviour
// is theirs; here is what the wire needs.
package server

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/tracking"
)

// Version is the version of MLflow whose API this is.
const Version = "3.17.2"

// Options of a server. Bucket, Now and Log are required.
type Options struct {
	Bucket blob.Bucket
	Prefix string // of every path, such as /mlflow; may be empty
	Hosts  Hosts
	// Pages makes the pages for people of a bucket; nil: there are none.
	Pages func(b blob.Bucket, prefix string) Pages
	// Keep says how long deleted models and versions can be restored; nil: for
	// ever. It is asked about once a day.
	Keep func(ctx context.Context) (time.Duration, error)
	Now  func() time.Time
	Log  *slog.Logger
}

// Pages answer browsers at the paths that they have, given without the prefix.
type Pages interface {
	http.Handler
	Has(path string) bool
}

// Server is an http.Handler. It holds nothing that is not in the bucket: any
// number may serve one bucket.
type Server struct {
	bucket blob.Bucket
	store  *tracking.Store
	models *registry.Registry
	prefix string
	hosts  Hosts
	pages  Pages
	keep   func(ctx context.Context) (time.Duration, error)
	now    func() time.Time
	log    *slog.Logger

	purging atomic.Pointer[time.Time] // when that was begun last
	folding atomic.Bool
	changes atomic.Int64 // since runs were folded last
}

// New returns a server over a bucket.
func New(o Options) *Server {
	s := &Server{
		bucket: o.Bucket, store: tracking.New(o.Bucket, o.Now), models: registry.New(o.Bucket, o.Now),
		prefix: strings.TrimSuffix(o.Prefix, "/"), hosts: o.Hosts, keep: o.Keep, now: o.Now, log: o.Log,
	}
	if o.Pages != nil {
		s.pages = o.Pages(o.Bucket, s.prefix)
	}
	return s
}

// callTimeout bounds a call, but for an artifact's bytes: a server that is
// slower than that is as good as dead, and what is cleaned up after the dead is
// a day old.
const callTimeout = 2 * time.Minute

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "SAMEORIGIN")
	path, ok := strings.CutPrefix(r.URL.Path, s.prefix)
	switch {
	case !ok || !strings.HasPrefix(path, "/"):
		page(w, http.StatusNotFound, "text/html", notFoundPage)
		return
	case path == "/health":
		page(w, http.StatusOK, "text/plain", "OK")
		return
	case path == "/version":
		page(w, http.StatusOK, "text/html", Version)
		return
	}
	if refusal := s.hosts.refuse(r); refusal != "" {
		page(w, http.StatusForbidden, "text/plain", refusal)
		return
	}
	s.hosts.allowOrigin(w, r)
	found, params, methods := lookup(path, r.Method)
	if found != nil { // as net/http's multiplexer does
		r.Pattern = r.Method + " " + found.pattern
	}
	switch {
	case found == nil && s.pages != nil && s.pages.Has(path):
		inner := within(r, path)
		s.pages.ServeHTTP(w, inner)
		r.Pattern = inner.Pattern
	case found == nil && len(methods) == 0:
		page(w, http.StatusNotFound, "text/html", notFoundPage)
	case found == nil && r.Method == http.MethodOptions:
		h.Set("Allow", strings.Join(methods, ", "))
		page(w, http.StatusOK, "text/html", "")
	case found == nil:
		h.Set("Allow", strings.Join(methods, ", "))
		page(w, http.StatusMethodNotAllowed, "text/html", notAllowedPage)
	case found.stream != nil:
		if err := found.stream(s, w, r, params); err != nil {
			s.fail(w, r, err)
		}
	default:
		s.call(w, r, found.call, params)
	}
}

// within is a request as it would be without the prefix.
func within(r *http.Request, path string) *http.Request {
	inner := r.Clone(r.Context())
	inner.URL.Path = path
	inner.URL.RawPath = ""
	return inner
}

func (s *Server) call(w http.ResponseWriter, r *http.Request, call call, params map[string]string) {
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
	defer cancel()
	r = r.WithContext(ctx)
	q, err := parse(r, params)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	answer, err := call(s, q)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.answer(w, http.StatusOK, answer)
}

// Runs are folded into the index after so many changes, so many at a time.
const (
	foldAfter = 200
	foldRuns  = 512
)

// changed counts changes of runs, and folds them when there are many: beside the
// requests, one folding at a time.
func (s *Server) changed(ctx context.Context) {
	if s.changes.Add(1) < foldAfter || !s.folding.CompareAndSwap(false, true) {
		return
	}
	s.changes.Store(0)
	s.purge(ctx)
	go func() {
		defer s.folding.Store(false)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		for left := 1; left > 0; {
			var err error
			if left, err = s.store.Fold(ctx, foldRuns); err != nil {
				s.log.WarnContext(ctx, "fold runs into the index; the next does it", "error", err)
				return
			}
		}
	}()
}

// purgeEvery is how often a server looks for what was deleted long ago.
const purgeEvery = 24 * time.Hour

// purge takes away what was deleted too long ago to be restored, beside the
// requests, if that was not done lately.
func (s *Server) purge(ctx context.Context) {
	last, now := s.purging.Load(), s.now()
	if s.keep == nil || last != nil && now.Sub(*last) < purgeEvery || !s.purging.CompareAndSwap(last, &now) {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		keep, err := s.keep(ctx)
		if err == nil {
			_, err = s.models.Purge(ctx, now.Add(-keep))
		}
		if err != nil {
			s.log.WarnContext(ctx, "take away what was deleted long ago; another day does it", "error", err)
		}
	}()
}
