package run

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/felixge/httpsnoop"
)

// RevisionHeader is the response header that names the revision which answered.
const RevisionHeader = "X-Serving-Revision"

// share is one row of a traffic table.
type share struct {
	in      *instance
	percent int
	meter   *meter // nil: do not count
}

// endpoint is one URL: a listener on loopback and the revisions behind it.
type endpoint struct {
	uri    string
	may    func(*http.Request) error
	server *http.Server

	mu     sync.Mutex
	rand   *rand.Rand
	shares []share
}

// newEndpoint listens at the former URI when its port is free, else anywhere.
func (s *Server) newEndpoint(service, former string) (*endpoint, error) {
	addr := "127.0.0.1:0"
	if u, err := url.Parse(former); err == nil && u.Host != "" {
		addr = u.Host
	}
	l, err := net.Listen("tcp", addr)
	if err != nil && former != "" {
		s.opt.Log.Warn("a service changes its URL: its former port is taken", "uri", former)
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("listen for a service: %w", err)
	}
	e := &endpoint{uri: "http://" + l.Addr().String(), rand: rand.New(rand.NewPCG(s.opt.Seed, 0))}
	e.may = func(r *http.Request) error { return s.mayInvoke(r, service, e.uri) }
	e.server = &http.Server{Handler: e, ReadHeaderTimeout: 30 * time.Second}
	s.background(func() { e.server.Serve(l) })
	return e, nil
}

// close lets requests in flight finish until ctx ends.
func (e *endpoint) close(ctx context.Context) {
	if e.server.Shutdown(ctx) != nil {
		e.server.Close()
	}
}

// route replaces the traffic table. Requests in flight stay where they are.
func (e *endpoint) route(shares []share) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.shares = shares
}

// choose picks a revision by its share and counts the request as in flight
// there, in one step: a revision that leaves the table later sees it.
func (e *endpoint) choose() (share, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.rand.IntN(100)
	for _, sh := range e.shares {
		if n -= sh.percent; n < 0 {
			sh.in.reach.enter()
			return sh, true
		}
	}
	return share{}, false
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := e.may(r); err != nil {
		forbid(w, err)
		return
	}
	sh, ok := e.choose()
	if !ok {
		http.Error(w, "the service has no ready revision", http.StatusServiceUnavailable)
		return
	}
	defer sh.in.reach.leave()
	ctx, cancel := context.WithTimeout(r.Context(), sh.in.timeout())
	defer cancel()
	w.Header().Set(RevisionHeader, id(sh.in.doc.Name))
	m := httpsnoop.CaptureMetrics(sh.in.proxy, w, r.WithContext(ctx))
	if sh.meter != nil && r.Context().Err() == nil {
		sh.meter.observe(m.Duration, m.Code)
	}
}
