package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/litterloop/litterloop/shared/errs"
)

// names answers every question about a name with the addresses that look says,
// over UDP, as a DNS server does.
func names(t *testing.T, look func(name string) netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		query := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			const header, typeA, typeAAAA = 12, 1, 28
			var labels []string
			at := header
			for ; at < n && query[at] != 0; at += int(query[at]) + 1 {
				labels = append(labels, string(query[at+1:at+1+int(query[at])]))
			}
			end := at + 5 // the root, type and class
			kind := int(query[at+1])<<8 | int(query[at+2])
			reply := append([]byte(nil), query[:end]...)
			reply[2], reply[3] = 0x81, 0x80
			for i := 6; i < header; i++ {
				reply[i] = 0 // no answer, and no record of the query but its question
			}
			ip := look(strings.Join(labels, "."))
			if ip.Is4() && kind == typeA || ip.Is6() && kind == typeAAAA {
				reply[7] = 1
				raw := ip.AsSlice()
				reply = append(reply, 0xc0, header, byte(kind>>8), byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(len(raw)))
				reply = append(reply, raw...)
			}
			conn.WriteTo(reply, from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// site is a web server that images.example.com and other names lead to.
type site struct {
	url  func(host, path string) string
	hits *atomic.Int32
}

// newSite serves handler and returns a fetcher that trusts it, finds names by
// look and dials what allowed allows.
func newSite(t *testing.T, handler http.HandlerFunc, look func(string) netip.Addr, allowed func(netip.Addr) bool) (site, *Fetcher) {
	t.Helper()
	hits := new(atomic.Int32)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		handler(w, r)
	}))
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	f := newFetcher([]string{"images.example.com", "*.cdn.example.com"}, allowed)
	f.port = s.URL[strings.LastIndex(s.URL, ":")+1:]
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	f.transport.TLSClientConfig = &tls.Config{RootCAs: pool, ServerName: "example.com"}
	f.dialer.Resolver = names(t, look)
	t.Cleanup(f.client.CloseIdleConnections)
	return site{func(host, path string) string { return "https://" + host + ":" + f.port + path }, hits}, f
}

var home = netip.MustParseAddr("127.0.0.1")

func atHome(string) netip.Addr { return home }

func TestFetch_readsAllowedHosts(t *testing.T) {
	s, f := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved.jpg" {
			http.Redirect(w, r, "/a.jpg", http.StatusFound)
			return
		}
		w.Write([]byte("photo of " + r.URL.Path))
	}, atHome, netip.Addr.IsLoopback)
	for _, uri := range []string{s.url("images.example.com", "/a.jpg"), s.url("IMAGES.example.com.", "/a.jpg"), s.url("x.y.cdn.example.com", "/a.jpg"), s.url("images.example.com", "/moved.jpg")} {
		p, err := f.Fetch(t.Context(), uri, 100)
		if err != nil || string(p) != "photo of /a.jpg" {
			t.Errorf("%s: %q, %v", uri, p, err)
		}
	}
}

// What a URI must not be is refused before anything is dialled.
func TestFetch_refusesURIs(t *testing.T) {
	s, f := newSite(t, func(http.ResponseWriter, *http.Request) {}, atHome, netip.Addr.IsLoopback)
	for name, uri := range map[string]string{
		"another host":             s.url("example.com", "/"),
		"a host that ends alike":   s.url("evil-images.example.com", "/"),
		"the name of a pattern":    s.url("cdn.example.com", "/"),
		"a host that begins alike": s.url("images.example.com.evil.org", "/"),
		"plain http":               strings.Replace(s.url("images.example.com", "/"), "https", "http", 1),
		"a file":                   "file:///etc/passwd",
		"gopher":                   "gopher://images.example.com/",
		"another port":             "https://images.example.com:8443/",
		"a user":                   "https://images.example.com@169.254.169.254/",
		"a user before the host":   "https://me:secret@images.example.com/",
		"metadata by address":      "https://169.254.169.254/computeMetadata/v1/",
		"metadata by name":         "https://metadata.google.internal/",
		"loopback by name":         s.url("localhost", "/"),
		"loopback in decimal":      s.url("2130706433", "/"),
		"loopback in octal":        s.url("0177.0.0.1", "/"),
		"loopback in IPv6":         s.url("[::1]", "/"),
		"loopback in mapped IPv6":  s.url("[::ffff:127.0.0.1]", "/"),
		"no URI":                   "https://%zz",
		"no host":                  "https:///x",
	} {
		_, err := f.Fetch(t.Context(), uri, 100)
		if code, _ := errs.Reason(err); code != Refused {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells a password: %v", name, err)
		}
	}
	if n := s.hits.Load(); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

// An allowed name that leads inside is not followed there.
func TestFetch_innerAddresses(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "10.0.0.8", "169.254.169.254", "172.16.3.4", "192.168.1.1", "100.64.0.1", "0.0.0.0", "255.255.255.255", "::1", "::", "fe80::1", "fd00:ec2::254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:7f00:1::"} {
		s, f := newSite(t, func(http.ResponseWriter, *http.Request) {}, func(string) netip.Addr { return netip.MustParseAddr(address) }, Public)
		_, err := f.Fetch(t.Context(), s.url("images.example.com", "/"), 100)
		if code, _ := errs.Reason(err); code != Refused || s.hits.Load() != 0 {
			t.Errorf("%s: %v, %d requests", address, err, s.hits.Load())
		} else if strings.Contains(err.Error(), address) {
			t.Errorf("the error tells an inner address: %v", err)
		}
	}
}

// A name that is public when it is asked about and inner when it is dialled: the
// check is on what is dialled, and there is no second question.
func TestFetch_rebinding(t *testing.T) {
	var asked atomic.Int32
	var dialled []netip.Addr
	s, f := newSite(t, func(http.ResponseWriter, *http.Request) {}, func(string) netip.Addr {
		if asked.Add(1) <= 2 { // A and AAAA
			return netip.MustParseAddr("203.0.113.1")
		}
		return home
	}, func(a netip.Addr) bool {
		dialled = append(dialled, a)
		return Public(a)
	})
	for range 3 {
		if _, err := f.Fetch(t.Context(), s.url("images.example.com", "/"), 100); err == nil {
			t.Error("was answered")
		}
	}
	if s.hits.Load() != 0 || len(dialled) == 0 || dialled[len(dialled)-1] != home {
		t.Errorf("%d requests arrived; looked at %v", s.hits.Load(), dialled)
	}
}

// Every step of a redirection is held to the same rules.
func TestFetch_redirections(t *testing.T) {
	for name, c := range map[string]struct {
		to   string
		code errs.Code
	}{
		"to another host":     {"https://example.com/", Refused},
		"to metadata":         {"https://169.254.169.254/", Refused},
		"to plain http":       {"http://images.example.com/", Refused},
		"to another port":     {"https://images.example.com:22/", Refused},
		"to a file":           {"file:///etc/passwd", Refused},
		"to itself, for ever": {"/", Unreadable},
	} {
		s, f := newSite(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", c.to)
			w.WriteHeader(http.StatusFound)
		}, atHome, netip.Addr.IsLoopback)
		_, err := f.Fetch(t.Context(), s.url("images.example.com", "/"), 100)
		if code, _ := errs.Reason(err); code != c.code || s.hits.Load() > maxRedirects+1 {
			t.Errorf("%s: %v after %d requests", name, err, s.hits.Load())
		}
	}
	t.Run("to an allowed name of an inner address", func(t *testing.T) {
		inner := netip.MustParseAddr("10.1.2.3")
		s, f := newSite(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://inside.cdn.example.com/", http.StatusFound)
		}, func(name string) netip.Addr {
			if strings.HasPrefix(name, "inside") {
				return inner
			}
			return home
		}, func(a netip.Addr) bool { return a == home || Public(a) })
		_, err := f.Fetch(t.Context(), s.url("images.example.com", "/"), 100)
		if code, _ := errs.Reason(err); code != Refused {
			t.Error(err)
		}
	})
}

func TestFetch_bounds(t *testing.T) {
	block := make([]byte, 1<<10)
	ended, cancel := context.WithCancel(t.Context())
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		ctx     context.Context
		code    errs.Code
		err     error
	}{
		"a length above the limit": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "1000000") }, t.Context(), TooLarge, nil},
		"no length, without an end": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				w.Write(block)
			}
		}, t.Context(), TooLarge, nil},
		"not there": {http.NotFound, t.Context(), Unreadable, nil},
		"breaks off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "90")
			panic(http.ErrAbortHandler)
		}, t.Context(), Unreadable, nil},
		"is never done": {func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() }, ended, "", context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := newSite(t, c.handler, atHome, netip.Addr.IsLoopback)
			_, err := f.Fetch(c.ctx, s.url("images.example.com", "/"), 2000)
			if code, _ := errs.Reason(err); code != c.code || c.err != nil && !errors.Is(err, c.err) {
				t.Error(err)
			}
		})
	}
}

func TestFetch_untrustedCertificate(t *testing.T) {
	s, f := newSite(t, func(http.ResponseWriter, *http.Request) {}, atHome, netip.Addr.IsLoopback)
	f.transport.TLSClientConfig = nil
	_, err := f.Fetch(t.Context(), s.url("images.example.com", "/"), 100)
	if code, _ := errs.Reason(err); code != Unreadable || !strings.Contains(err.Error(), "certificate") || s.hits.Load() != 0 {
		t.Error(err)
	}
}

func TestPublic(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8": true, "142.250.1.1": true, "2a00:1450:4001::1": true, "::ffff:8.8.8.8": true,
		"203.0.113.9": false, "224.0.0.1": false, "240.0.0.1": false, "198.18.0.1": false, "ff02::1": false, "2001::1": false, "fe80::1%eth0": false, "fec0::1": false,
	} {
		if got := Public(netip.MustParseAddr(address)); got != want {
			t.Errorf("Public(%s) = %t", address, got)
		}
	}
	if Public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

func TestValidHost(t *testing.T) {
	for h, want := range map[string]bool{
		"images.example.com": true, "*.example.com": true, "Images.Example.com": true,
		"*": false, "*.": false, "localhost": false, "10.0.0.1": false, "[::1]": false, "https://a.b": false, "a.b:443": false, "a.b/c": false, "a.*.b": false, "": false, "-a.b": false,
	} {
		if got := ValidHost(h); got != want {
			t.Errorf("ValidHost(%q) = %t", h, got)
		}
	}
}

// Whatever URI comes, nothing but an allowed host is asked.
func FuzzFetch(f *testing.F) {
	for _, seed := range []string{"https://images.example.com/a.jpg", "https://images.example.com@10.0.0.1/", "https://[::ffff:7f00:1]/", "https://images.example.com#@10.0.0.1/", "https:images.example.com", "https://images.example.com\\@10.0.0.1/", "//images.example.com/", "https://x.cdn.example.com:443/?a#b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		fetcher := newFetcher([]string{"images.example.com", "*.cdn.example.com"}, Public)
		asked := errors.New("asked")
		fetcher.client.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			if name := strings.TrimSuffix(strings.ToLower(r.URL.Hostname()), "."); r.URL.Scheme != "https" || name != "images.example.com" && !strings.HasSuffix(name, ".cdn.example.com") {
				t.Errorf("%q would ask %s", uri, r.URL)
			}
			if u, err := url.Parse(uri); err == nil && u.User != nil {
				t.Errorf("%q would send a password", uri)
			}
			return nil, asked
		})
		if _, err := fetcher.Fetch(t.Context(), uri, 100); err == nil {
			t.Error("was answered")
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
