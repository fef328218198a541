// Package remote reads photos from the web servers that an operator allows, and
// from nothing else: whoever sends a URI must not reach through this service
// what only this service can reach, such as a metadata server.
package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/litterloop/litterloop/shared/errs"
)

// Reasons why a URI is not read. All are permanent.
const (
	// Refused: not https, or a host or an address that is not allowed.
	Refused errs.Code = "uri-refused"
	// Unreadable: the server did not hand out a photo.
	Unreadable errs.Code = "uri-unreadable"
	// TooLarge: what lies there is above the limit.
	TooLarge errs.Code = "uri-too-large"
)

// maxRedirects that are followed; a CDN needs one or two.
const maxRedirects = 3

// Fetcher reads photos. Safe for concurrent use.
type Fetcher struct {
	hosts     []string
	port      string
	dialer    *net.Dialer
	transport *http.Transport
	client    *http.Client
}

// host is a name, or *. and a name for all below it.
var host = regexp.MustCompile(`^(\*\.)?([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)+[a-z]([-a-z0-9]*[a-z0-9])?$`)

// ValidHost reports whether a list of hosts may hold h: a name with a dot, such
// as images.example.com, or *.example.com for all names below. Addresses are no
// names.
func ValidHost(h string) bool { return host.MatchString(strings.ToLower(h)) }

// New returns a Fetcher of photos on hosts, each a ValidHost; none refuses all.
func New(hosts []string) *Fetcher { return newFetcher(hosts, Public) }

func newFetcher(hosts []string, allowed func(netip.Addr) bool) *Fetcher {
	f := &Fetcher{port: "443"}
	for _, h := range hosts {
		f.hosts = append(f.hosts, strings.ToLower(h))
	}
	f.dialer = &net.Dialer{
		Timeout: 5 * time.Second,
		// Called with the address that is about to be dialled, after the name was
		// looked up: what the name meant a moment ago does not matter.
		Control: func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil || !allowed(to.Addr()) {
				return errs.Permanentf(Refused, "the host's address is not a public one")
			}
			return nil
		},
	}
	f.transport = &http.Transport{
		DialContext: f.dialer.DialContext, Proxy: nil, // a proxy would look names up itself
		TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: 10 * time.Second, IdleConnTimeout: time.Minute,
		MaxResponseHeaderBytes: 64 << 10, MaxIdleConnsPerHost: 4, ForceAttemptHTTP2: true,
		DisableCompression: true, // photos do not shrink, and bombs grow
	}
	f.client = &http.Client{
		Transport: f.transport,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return errs.Permanentf(Unreadable, "more than %d redirections", maxRedirects)
			}
			return f.allows(r.URL)
		},
	}
	return f
}

// allows reports why a URL is not asked for.
func (f *Fetcher) allows(u *url.URL) error {
	name := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	switch {
	case u.Scheme != "https":
		return errs.Permanentf(Refused, "%s: only https is read", u.Redacted())
	case u.User != nil:
		return errs.Permanentf(Refused, "%s: a URI with a user is not read", u.Redacted())
	case u.Port() != "" && u.Port() != f.port:
		return errs.Permanentf(Refused, "%s: only port %s is read", u.Redacted(), f.port)
	}
	for _, h := range f.hosts {
		if below, ok := strings.CutPrefix(h, "*"); h == name || ok && strings.HasSuffix(name, below) && len(name) > len(below) {
			return nil
		}
	}
	return errs.Permanentf(Refused, "host %q is not among those that this service reads photos from (PHOTO_HOSTS)", name)
}

// Fetch reads what lies at an https URI, at most limit bytes. The context bounds
// the time; its error is returned when it ends first.
func (f *Fetcher) Fetch(ctx context.Context, uri string, limit int64) ([]byte, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return nil, errs.Permanentf(Refused, "not a URI: %w", err)
	}
	if err := f.allows(u); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, errs.Permanent(Refused, err)
	}
	req.Header.Set("Accept", "image/jpeg, image/png, image/webp")
	req.Header.Set("User-Agent", "litterloop")
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, failure(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errs.Permanentf(Unreadable, "its server answers %s", resp.Status)
	}
	if resp.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	p, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, failure(ctx, err)
	}
	if int64(len(p)) > limit {
		return nil, tooLarge(limit)
	}
	return p, nil
}

func tooLarge(limit int64) error {
	return errs.Permanentf(TooLarge, "what lies there is above the limit of %d MB", limit>>20)
}

// failure keeps what an outsider may know: not which addresses exist inside.
func failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var known *errs.PermanentError
	if errors.As(err, &known) {
		return errs.Permanent(known.Code, known.Err)
	}
	var dns *net.DNSError
	var timeout net.Error
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &cert):
		return errs.Permanentf(Unreadable, "its server's certificate is not valid: %w", cert.Err)
	case errors.As(err, &dns):
		return errs.Permanentf(Unreadable, "its host is not found")
	case errors.As(err, &timeout) && timeout.Timeout():
		return errs.Permanentf(Unreadable, "its server does not answer in time")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errs.Permanentf(Unreadable, "its server broke off")
	}
	return errs.Permanentf(Unreadable, "its server cannot be spoken with")
}
