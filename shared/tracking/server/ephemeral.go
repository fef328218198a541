package server

import (
	"net/http"
	"regexp"
	"strings"
	"sync"

	"github.com/litterloop/litterloop/shared/blob/blobmem"
)

// Ephemeral serves stores that are in memory alone: one for each first path
// segment of 32 hexadecimal digits, empty when it is first named, and one for
// everything else.
type Ephemeral struct {
	options Options // of every server but its bucket and prefix

	mu      sync.Mutex
	servers map[string]*Server // by segment
}

// NewEphemeral returns the server; of o counts all but Bucket.
func NewEphemeral(o Options) *Ephemeral {
	return &Ephemeral{options: o, servers: map[string]*Server{}}
}

var segment = regexp.MustCompile(`^/([0-9a-fA-F]{32})(/|$)`)

// ServeHTTP implements http.Handler.
func (e *Ephemeral) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := ""
	if m := segment.FindStringSubmatch(strings.TrimPrefix(r.URL.Path, strings.TrimSuffix(e.options.Prefix, "/"))); m != nil {
		name = m[1]
	}
	e.server(name).ServeHTTP(w, r)
}

func (e *Ephemeral) server(name string) *Server {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, ok := e.servers[name]
	if !ok {
		o := e.options
		o.Bucket = blobmem.New("ephemeral")
		if name != "" {
			o.Prefix = strings.TrimSuffix(o.Prefix, "/") + "/" + name
		}
		s = New(o)
		e.servers[name] = s
	}
	return s
}
