// Package pages shows people what the tracking store and the registry hold:
// experiments, runs with their curves and artifacts, comparisons, models with
// their history, and where the loop stands. Pages are made on the server, load
// nothing from elsewhere and change nothing; MLflow's API is there for programs.
package pages

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/status"
	"github.com/litterloop/litterloop/shared/tracking"
)

//go:embed templates/*.html assets
var files embed.FS

// Options of the pages. Loop may be nil.
type Options struct {
	Bucket blob.Bucket // with the tracking documents and the artifacts
	Prefix string      // of every path, such as /mlflow; may be empty
	// Loop tells where the loop stands, for a page of its own; nil: there is no
	// such page.
	Loop func(context.Context) (status.Snapshot, error)
	// Patience is how long a page waits for the store; 0: 20 seconds.
	Patience time.Duration
	Now      func() time.Time
	Log      *slog.Logger
}

func (o Options) patience() time.Duration { return cmp.Or(o.Patience, 20*time.Second) }

// Pages is an http.Handler.
type Pages struct {
	o        Options
	runs     *tracking.Store
	models   *registry.Registry
	mux      *http.ServeMux
	template *template.Template
}

// New returns the pages.
func New(o Options) *Pages {
	p := &Pages{o: o, runs: tracking.New(o.Bucket, o.Now), models: registry.New(o.Bucket, o.Now), mux: http.NewServeMux()}
	p.o.Prefix = strings.TrimSuffix(o.Prefix, "/")
	p.template = template.Must(template.New("").Funcs(p.functions()).ParseFS(files, "templates/*.html"))
	assets, err := fs.Sub(files, "assets")
	if err != nil {
		panic(err) // it is embedded
	}
	p.mux.Handle("GET /assets/", http.StripPrefix("/assets/", http.FileServerFS(assets)))
	for pattern, show := range map[string]func(*http.Request) (string, any, error){
		"GET /{$}":                     p.home,
		"GET /experiments/{id}":        p.experiment,
		"GET /runs/{id}":               p.run,
		"GET /compare":                 p.compare,
		"GET /models/{name}":           p.model,
		"GET /models/{name}/{version}": p.version,
	} {
		p.mux.HandleFunc(pattern, p.page(show))
	}
	if o.Loop != nil {
		p.mux.HandleFunc("GET /loop", p.page(p.loop))
	}
	p.mux.HandleFunc("GET /runs/{id}/artifacts/{path...}", p.artifact)
	return p
}

// Has tells whether there is a page at a path, without the prefix.
func (p *Pages) Has(path string) bool {
	_, pattern := p.mux.Handler(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}, Host: "localhost"})
	return pattern != ""
}

// ServeHTTP serves a path without the prefix.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	p.mux.ServeHTTP(w, r)
}

// frame is what every page's template gets.
type frame struct {
	Title  string
	Prefix string
	Loop   bool // there is a page of the loop
	Body   any
}

// page renders what show returns, by the template that it names.
func (p *Pages) page(show func(*http.Request) (name string, body any, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// The store's client asks again and again until it is told to stop.
		ctx, cancel := context.WithTimeout(r.Context(), p.o.patience())
		defer cancel()
		r = r.WithContext(ctx)
		name, body, err := show(r)
		code := http.StatusOK
		if err != nil {
			name, code, body = p.fault(r, err)
		}
		f := frame{Prefix: p.o.Prefix, Loop: p.o.Loop != nil, Body: body}
		if titled, ok := body.(interface{ title() string }); ok {
			f.Title = titled.title()
		}
		var page bytes.Buffer // whole or not at all
		if err := p.template.ExecuteTemplate(&page, name, f); err != nil {
			p.o.Log.ErrorContext(r.Context(), "page not made", "path", r.URL.Path, "error", err)
			http.Error(w, "this page could not be made; the server's log says why", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-cache")
		w.WriteHeader(code)
		_, _ = page.WriteTo(w) // a reader that is gone asks again
	}
}

// trouble is a page that tells what went wrong.
type trouble struct{ What, Do string }

func (trouble) title() string { return "Not to be shown" }

func (p *Pages) fault(r *http.Request, err error) (string, int, any) {
	_, permanent := errs.Reason(err)
	switch {
	case errors.Is(err, errs.NotFound):
		return "trouble.html", http.StatusNotFound, trouble{fmt.Sprintf("There is no %s.", strings.TrimPrefix(r.URL.Path, "/")), "It may have been deleted; what there is begins at the first page."}
	case permanent:
		return "trouble.html", http.StatusBadRequest, trouble{err.Error(), "Correct the address, or the search."}
	}
	p.o.Log.WarnContext(r.Context(), "page not shown", "path", r.URL.Path, "error", err)
	if errors.Is(err, context.DeadlineExceeded) {
		return "trouble.html", http.StatusServiceUnavailable, trouble{fmt.Sprintf("The store did not answer within %s.", p.o.patience()), "Nothing is lost: it is slow, or cannot be reached. Load the page again in a minute."}
	}
	return "trouble.html", http.StatusServiceUnavailable, trouble{err.Error(), "The store did not answer as it should. Load the page again."}
}
