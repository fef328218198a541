package setup

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/oauth2"
	"google.golang.org/api/idtoken"
)

// signed proves the caller's identity to private Cloud Run services: requests
// over https carry an identity token for the service. Callers that have none to
// give, such as a person's own credentials, ask without; a public service
// answers them, and a private one refuses.
type signed struct {
	http.RoundTripper
	// open returns the source of tokens for an audience.
	open func(ctx context.Context, audience string) (oauth2.TokenSource, error)

	mu      sync.Mutex
	sources map[string]oauth2.TokenSource // by audience; nil: this caller has none
}

func newSigned(next http.RoundTripper) *signed {
	return &signed{RoundTripper: next, sources: map[string]oauth2.TokenSource{},
		open: func(ctx context.Context, audience string) (oauth2.TokenSource, error) {
			return idtoken.NewTokenSource(ctx, audience)
		}}
}

// RoundTrip implements http.RoundTripper.
func (s *signed) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" || r.Header.Get("Authorization") != "" {
		return s.RoundTripper.RoundTrip(r)
	}
	source := s.source(r.Context(), audience(r.URL.Host))
	if source == nil {
		return s.RoundTripper.RoundTrip(r)
	}
	token, err := source.Token()
	if err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, fmt.Errorf("identity token for %s: %w", r.URL.Host, err)
	}
	r = r.Clone(r.Context())
	token.SetAuthHeader(r)
	return s.RoundTripper.RoundTrip(r)
}

func (s *signed) source(ctx context.Context, audience string) oauth2.TokenSource {
	s.mu.Lock()
	defer s.mu.Unlock()
	source, known := s.sources[audience]
	if !known {
		var err error
		// The source outlives the request.
		if source, err = s.open(context.WithoutCancel(ctx), audience); err != nil {
			source = nil
		}
		s.sources[audience] = source
	}
	return source
}

// audience is the service that a host belongs to: a tagged revision's,
// TAG---SERVICE.a.run.app, takes tokens for its service.
func audience(host string) string {
	if _, service, tagged := strings.Cut(host, "---"); tagged {
		host = service
	}
	return "https://" + host
}
