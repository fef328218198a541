package setup

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"google.golang.org/api/idtoken"
)

// signed proves the caller's identity to private Cloud Run services: requests
// over https, and to services of a local cloud that enforces policies, carry an
// identity token for the service. Callers that have none to
// give, such as a person's own credentials, ask without; a public service
// answers them, and a private one refuses.
type signed struct {
	http.RoundTripper
	// open returns the source of tokens for an audience.
	open func(ctx context.Context, audience string) (oauth2.TokenSource, error)
	// local: services are on this machine, without https.
	local bool

	mu      sync.Mutex
	sources map[string]oauth2.TokenSource // by audience; nil: this caller has none
}

// newSigned takes identities of the local cloud's metadata server where one is
// named, and otherwise from application default credentials.
func newSigned(next http.RoundTripper, metadataServer string) *signed {
	s := &signed{RoundTripper: next, sources: map[string]oauth2.TokenSource{}, local: metadataServer != "",
		open: func(ctx context.Context, audience string) (oauth2.TokenSource, error) {
			return idtoken.NewTokenSource(ctx, audience)
		}}
	if s.local {
		// Not by way of idtoken: it would prefer a key file in the home directory.
		s.open = func(ctx context.Context, audience string) (oauth2.TokenSource, error) {
			return oauth2.ReuseTokenSource(nil, served{ctx, metadataServer, audience}), nil
		}
	}
	return s
}

// served are a metadata server's identity tokens.
type served struct {
	ctx      context.Context // of the process
	host     string
	audience string
}

// servedFor is how long a token is used: a quarter of its life.
const servedFor = 15 * time.Minute

// Token implements oauth2.TokenSource.
func (s served) Token() (*oauth2.Token, error) {
	at := "http://" + s.host + "/computeMetadata/v1/instance/service-accounts/default/identity?audience=" + url.QueryEscape(s.audience)
	r, err := http.NewRequestWithContext(s.ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Metadata-Flavor", "Google")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metadata server: %s: %s", resp.Status, text)
	}
	return &oauth2.Token{AccessToken: string(text), TokenType: "Bearer", Expiry: time.Now().Add(servedFor)}, nil
}

// signs tells whether a request is one that carries an identity.
func (s *signed) signs(u *url.URL) bool {
	return u.Scheme == "https" || s.local && net.ParseIP(u.Hostname()).IsLoopback()
}

// RoundTrip implements http.RoundTripper.
func (s *signed) RoundTrip(r *http.Request) (*http.Response, error) {
	if !s.signs(r.URL) || r.Header.Get("Authorization") != "" {
		return s.RoundTripper.RoundTrip(r)
	}
	source := s.source(r.Context(), audience(r.URL))
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

// audience is the service that a URL belongs to: a tagged revision's,
// TAG---SERVICE.a.run.app, takes tokens for its service.
func audience(u *url.URL) string {
	host := u.Host
	if _, service, tagged := strings.Cut(host, "---"); tagged {
		host = service
	}
	return u.Scheme + "://" + host
}
