// Package iam decides, as Google Cloud's IAM does, who may do what on the local
// cloud: by the policies of a resource and of what it lies in, and the
// permissions of Google's predefined roles.
package iam

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Members that stand for more than one principal.
const (
	AllUsers         = "allUsers"
	allAuthenticated = "allAuthenticatedUsers"
)

// Account is the principal of a service account's e-mail address.
func Account(email string) string { return "serviceAccount:" + email }

// Agents of Google's own services, which act for a project: the accounts by
// which Cloud Storage publishes notifications and Pub/Sub moves dead letters.
func StorageAgent(projectNumber string) string {
	return Account("service-" + projectNumber + "@gs-project-accounts.iam.gserviceaccount.com")
}

// PubSubAgent is Pub/Sub's account; see StorageAgent.
func PubSubAgent(projectNumber string) string {
	return Account("service-" + projectNumber + "@gcp-sa-pubsub.iam.gserviceaccount.com")
}

// DefaultAccount is the e-mail address of what runs without an account of its own.
func DefaultAccount(projectNumber string) string {
	return projectNumber + "-compute@developer.gserviceaccount.com"
}

type principalKey struct{}

// As returns a context in which a principal asks. Who asks in a context without
// one is the owner of this machine, to whom everything is allowed.
func As(ctx context.Context, principal string) context.Context {
	return context.WithValue(ctx, principalKey{}, principal)
}

// Principal is who asks in ctx; "" is the owner.
func Principal(ctx context.Context) string {
	p, _ := ctx.Value(principalKey{}).(string)
	return p
}

// Denied is a refusal, in Google's words. Repeating helps once the permission
// was granted.
type Denied struct{ Principal, Permission, Resource string }

// Error implements error.
func (d *Denied) Error() string {
	who := d.Principal[strings.Index(d.Principal, ":")+1:]
	if d.Principal == AllUsers {
		who = "Anonymous caller"
	}
	return fmt.Sprintf("%s does not have %s access to %s. Permission '%[2]s' denied on resource (or it may not exist).", who, d.Permission, d.Resource)
}

// GRPCStatus makes it PERMISSION_DENIED, and 403 in a JSON API.
func (d *Denied) GRPCStatus() *status.Status { return status.New(codes.PermissionDenied, d.Error()) }

// Call is something that a principal asked for.
type Call struct{ Principal, Permission, Resource string }

// Refusal is a call that was refused, and how often.
type Refusal struct {
	Principal  string `json:"principal"`
	Permission string `json:"permission"`
	Resource   string `json:"resource"`
	Times      int    `json:"times"`
}

// Options of an Authorizer. Project and Policy are required.
type Options struct {
	Project string // its id, which buckets lie in
	Policy  func(resource string) []Binding
	// Audit is told of each call that is not the owner's, before it is decided;
	// nil: nobody.
	Audit func(Call)
	// Log receives refusals, each the first time; nil discards them.
	Log *slog.Logger
}

// Authorizer decides. A nil one allows everything. It is safe for concurrent use.
type Authorizer struct {
	o Options

	mu      sync.Mutex
	refused map[Call]int
}

// New makes an Authorizer.
func New(o Options) *Authorizer {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Authorizer{o: o, refused: map[Call]int{}}
}

// Check is Allowed for who asks in ctx.
func (a *Authorizer) Check(ctx context.Context, permission, resource string) error {
	return a.Allowed(Principal(ctx), permission, resource)
}

// Allowed returns nil when principal has permission on resource, and *Denied
// otherwise. Resources are named as conditions name them:
// projects/_/buckets/B/objects/O, projects/P/topics/T,
// projects/P/locations/L/services/S.
func (a *Authorizer) Allowed(principal, permission, resource string) error {
	if a == nil || principal == "" {
		return nil
	}
	call := Call{principal, permission, resource}
	if a.o.Audit != nil {
		a.o.Audit(call)
	}
	if a.Has(principal, permission, resource) {
		return nil
	}
	denied := &Denied{principal, permission, resource}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, told := a.refused[call]; !told && len(a.refused) == maxKept {
		return denied
	}
	if a.refused[call]++; a.refused[call] == 1 {
		a.o.Log.Warn("refused by IAM", "principal", principal, "permission", permission, "resource", resource)
	}
	return denied
}

// Has is Allowed for a question that nothing follows from: it is neither
// audited nor counted.
func (a *Authorizer) Has(principal, permission, resource string) bool {
	if a == nil || principal == "" {
		return true
	}
	for on := range a.path(resource) {
		if slices.ContainsFunc(a.o.Policy(on), func(b Binding) bool { return b.grants(principal, permission, resource) }) {
			return true
		}
	}
	return false
}

// path yields a resource and what it lies in, up to the project.
func (a *Authorizer) path(resource string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		project := "projects/" + a.o.Project
		on, _, object := strings.Cut(resource, "/objects/")
		if object && !yield(resource) {
			return
		}
		for {
			if on == "projects/_" {
				on = project
			}
			if !yield(on) {
				return
			}
			last := strings.LastIndex(on, "/")
			if last < 0 {
				return
			}
			if last = strings.LastIndex(on[:last], "/"); last < 0 {
				return
			}
			on = on[:last]
		}
	}
}

// maxRefusals bounds what is told of refusals, and maxKept what is remembered.
const (
	maxRefusals = 100
	maxKept     = 1000
)

// Refusals are the calls that were refused since the process started, by
// principal, at most a hundred.
func (a *Authorizer) Refusals() []Refusal {
	out := []Refusal{}
	if a == nil {
		return out
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for call, n := range a.refused {
		out = append(out, Refusal{call.Principal, call.Permission, call.Resource, n})
	}
	slices.SortFunc(out, func(x, y Refusal) int {
		return cmp.Or(cmp.Compare(x.Principal, y.Principal), cmp.Compare(x.Permission, y.Permission), cmp.Compare(x.Resource, y.Resource))
	})
	return out[:min(len(out), maxRefusals)]
}
