// Package platformmem is a rollout.Platform in memory, for tests. Its revisions
// are HTTP handlers, reached through Client.
package platformmem

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/rollout"
)

type revision struct {
	rollout.Share
	handler http.Handler // nil: it does not start
}

// Platform keeps services in memory; the zero value is not usable, see New.
type Platform struct {
	start func(rollout.Revision) http.Handler

	mu       sync.Mutex
	services map[string][]*revision // in order of creation
	requests int
}

var _ rollout.Platform = (*Platform)(nil)

// New returns a platform whose revisions are what start makes of them; nil is a
// revision that cannot start.
func New(start func(rollout.Revision) http.Handler) *Platform {
	return &Platform{start: start, services: map[string][]*revision{}}
}

func host(service, tag string) string {
	if tag != "" {
		service = tag + "---" + service
	}
	return service + ".test"
}

// Describe implements rollout.Platform.
func (p *Platform) Describe(_ context.Context, service string) (rollout.Service, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	revs, ok := p.services[service]
	if !ok {
		return rollout.Service{}, fmt.Errorf("service %s: %w", service, errs.NotFound)
	}
	out := rollout.Service{URL: "http://" + host(service, "")}
	for _, r := range revs {
		st := rollout.Status{Share: r.Share, Ready: r.handler != nil}
		if r.Tag != "" && r.handler != nil {
			st.URL = "http://" + host(service, r.Tag)
		}
		out.Revisions = append(out.Revisions, st)
	}
	return out, nil
}

// EnsureRevision implements rollout.Platform.
func (p *Platform) EnsureRevision(_ context.Context, service string, r rollout.Revision) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	revs := p.services[service]
	i := slices.IndexFunc(revs, func(o *revision) bool { return o.Revision == r.Name })
	if i < 0 {
		rev := &revision{Share: rollout.Share{Revision: r.Name}, handler: p.start(r)}
		if len(revs) == 0 {
			rev.Percent = 100
		}
		i, revs = len(revs), append(revs, rev)
		p.services[service] = revs
	}
	for _, o := range revs {
		if o.Tag == r.Tag {
			o.Tag = ""
		}
	}
	revs[i].Tag = r.Tag
	if revs[i].handler == nil {
		return errs.Permanentf(rollout.CodeNotReady, "revision %s does not start", r.Name)
	}
	return nil
}

// SetTraffic implements rollout.Platform.
func (p *Platform) SetTraffic(_ context.Context, service string, shares []rollout.Share) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	revs, ok := p.services[service]
	if !ok {
		return fmt.Errorf("service %s: %w", service, errs.NotFound)
	}
	sum := 0
	for _, sh := range shares {
		sum += sh.Percent
		i := slices.IndexFunc(revs, func(r *revision) bool { return r.Revision == sh.Revision })
		if i < 0 || revs[i].handler == nil {
			return fmt.Errorf("revision %s cannot have traffic", sh.Revision)
		}
	}
	if sum != 100 {
		return fmt.Errorf("the shares %v make %d, not 100", shares, sum)
	}
	for _, r := range revs {
		r.Share = rollout.Share{Revision: r.Revision}
		for _, sh := range shares {
			if sh.Revision == r.Revision {
				r.Share = sh
			}
		}
	}
	return nil
}

// DeleteRevision implements rollout.Platform.
func (p *Platform) DeleteRevision(_ context.Context, service, name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	revs := p.services[service]
	i := slices.IndexFunc(revs, func(r *revision) bool { return r.Revision == name })
	switch {
	case i < 0:
		return nil
	case len(revs) == 1:
		delete(p.services, service)
		return nil
	case revs[i].Percent > 0 || revs[i].Tag != "" || i == len(revs)-1:
		return fmt.Errorf("revision %s serves or is the newest: %w", name, errs.Conflict)
	}
	p.services[service] = slices.Delete(revs, i, i+1)
	return nil
}

// Client reaches the URLs of services and tags. A service's own URL goes round
// its revisions: of every 100 requests each gets as many as its share.
func (p *Platform) Client() *http.Client { return &http.Client{Transport: transport{p}} }

type transport struct{ p *Platform }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	h := t.p.route(r.URL.Host)
	if h == nil {
		return nil, errors.New("connection refused: " + r.URL.Host)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

func (p *Platform) route(to string) http.Handler {
	p.mu.Lock()
	defer p.mu.Unlock()
	for service, revs := range p.services {
		for _, r := range revs {
			if r.Tag != "" && to == host(service, r.Tag) {
				return r.handler
			}
		}
		if to != host(service, "") {
			continue
		}
		n := p.requests % 100
		p.requests++
		for _, r := range revs {
			if n -= r.Percent; n < 0 {
				return r.handler
			}
		}
	}
	return nil
}
