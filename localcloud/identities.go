package localcloud

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"github.com/litterloop/litterloop/localcloud/controlplane"
	"github.com/litterloop/litterloop/localcloud/iam"
)

// owner is the e-mail address of the person at this machine, as services see it
// in identity tokens.
const owner = "owner@localhost"

// principal of the account with an e-mail address; the owner's is "".
func principal(email string) string {
	if email == owner {
		return ""
	}
	return iam.Account(email)
}

// identities give each account addresses of its own for every API: who asks is
// known by where it asked, so that Google's clients need nothing but the
// variables that name the addresses. Whoever is told the owner's is the owner.
type identities struct {
	cloud *Cloud
	ready chan struct{}   // closed when there is something to serve
	done  context.Context // ends with the cloud
	close context.CancelFunc

	mu      sync.Mutex
	known   map[string]Endpoints // by e-mail address
	callers map[string]string    // principals, by the gRPC address they ask at
}

func newIdentities(c *Cloud) *identities {
	done, cancel := context.WithCancel(context.Background())
	return &identities{cloud: c, ready: make(chan struct{}), done: done, close: cancel, known: map[string]Endpoints{}, callers: map[string]string{}}
}

// environ is the environment of what runs as an account; "" is the account that
// Google Cloud takes where none was declared.
func (i *identities) environ(account string) ([]string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	account = cmp.Or(account, iam.DefaultAccount(controlplane.Number))
	e, ok := i.known[account]
	if !ok {
		var err error
		if e, err = i.listen(account); err != nil {
			return nil, err
		}
		i.known[account] = e
	}
	return e.apis(), nil
}

// listen opens the addresses of an account. Needs i.mu.
func (i *identities) listen(account string) (Endpoints, error) {
	var l listeners
	storage, rpc, pubsub, control := l.listen(""), l.listen(""), l.listen(""), l.listen("")
	if l.err != nil {
		return Endpoints{}, fmt.Errorf("addresses of %s: %w", account, l.err)
	}
	who := iam.Account(account)
	i.callers[rpc.Addr().String()] = who
	go func() { // who calls before that waits
		select {
		case <-i.ready:
		case <-i.done.Done():
			for _, l := range []net.Listener{storage, rpc, pubsub, control} {
				_ = l.Close() // nobody was ever answered
			}
			return
		}
		c := i.cloud
		c.serve(storage, as(who, c.storage()))
		c.serve(pubsub, as(who, c.pubsub()))
		c.serve(control, as(who, c.control(account)))
		c.report(func() error { return c.grpc.Serve(rpc) })
	}()
	return Endpoints{Project: i.cloud.Endpoints.Project, Storage: storage.Addr().String(), GRPC: rpc.Addr().String(),
		PubSubREST: pubsub.Addr().String(), ControlPlane: control.Addr().String(), Metadata: control.Addr().String()}, nil
}

// as has h asked by a principal.
func as(principal string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(iam.As(r.Context(), principal)))
	})
}

// caller is a gRPC call's context with who asks.
func (i *identities) caller(ctx context.Context) context.Context {
	p, ok := peer.FromContext(ctx)
	if !ok || p.LocalAddr == nil {
		return ctx
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if who := i.callers[p.LocalAddr.String()]; who != "" {
		return iam.As(ctx, who)
	}
	return ctx
}

func (i *identities) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	return handle(i.caller(ctx), req)
}

func (i *identities) stream(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	return handle(srv, calledStream{s, i.caller(s.Context())})
}

type calledStream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (s calledStream) Context() context.Context { return s.ctx }

// identify tells whom an identity token is for.
func (c *Cloud) identify(token string) (who, audience string, err error) {
	email, audience, err := c.PubSub.Identify(token)
	return principal(email), audience, err
}

// control serves the control plane, and the metadata server that answers what
// runs as an account.
func (c *Cloud) control(account string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", c.Control)
	const self = "GET /computeMetadata/v1/instance/service-accounts/default/"
	metadata := func(pattern string, answer func(*http.Request) (string, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			// Google's refuses too what a web page could send.
			if r.Header.Get("Metadata-Flavor") != "Google" {
				http.Error(w, "the header Metadata-Flavor: Google is missing", http.StatusForbidden)
				return
			}
			text, err := answer(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Header().Set("Metadata-Flavor", "Google")
			fmt.Fprint(w, text)
		})
	}
	metadata("GET /computeMetadata/v1/project/project-id", func(*http.Request) (string, error) { return c.Endpoints.Project, nil })
	metadata("GET /computeMetadata/v1/project/numeric-project-id", func(*http.Request) (string, error) { return controlplane.Number, nil })
	metadata(self+"email", func(*http.Request) (string, error) { return account, nil })
	metadata(self+"identity", func(r *http.Request) (string, error) { return c.PubSub.Token(account, r.FormValue("audience")) })
	// Nobody looks at it: who asks is known by where.
	metadata(self+"token", func(*http.Request) (string, error) {
		text, err := json.Marshal(map[string]any{"access_token": "local", "expires_in": int(time.Hour.Seconds()), "token_type": "Bearer"})
		return string(text), err
	})
	return mux
}

// pubsub serves Pub/Sub's JSON API; the policies of its resources are the
// control plane's.
func (c *Cloud) pubsub() http.Handler {
	policies := regexp.MustCompile(`:(getIamPolicy|setIamPolicy|testIamPermissions)$`)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if policies.MatchString(r.URL.Path) {
			r = r.Clone(r.Context())
			r.URL.Path = "/pubsub" + r.URL.Path
			c.Control.ServeHTTP(w, r)
			return
		}
		c.PubSub.ServeHTTP(w, r)
	})
}

// storage serves Cloud Storage; the policies of buckets are the control plane's.
func (c *Cloud) storage() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/storage/v1/b/") && (strings.HasSuffix(r.URL.Path, "/iam") || strings.HasSuffix(r.URL.Path, "/iam/testPermissions")) {
			c.Control.ServeHTTP(w, r)
			return
		}
		c.Storage.ServeHTTP(w, r)
	})
}
