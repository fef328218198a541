// Package controlplane answers what Terraform's google provider asks of Google
// Cloud besides Cloud Storage, Pub/Sub and Cloud Run: projects and their APIs,
// accounts and policies, functions, schedules, registries, monitoring. With it
// `terraform apply` makes on one machine what it makes in a project. What is
// declared survives kill -9.
//
// One address serves every API, each under its name as the first part of the
// path, with what the other servers of the local cloud answer behind it.
package controlplane

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/litterloop/litterloop/localcloud/iam"
	"github.com/litterloop/litterloop/localcloud/internal/loopback"
	"github.com/litterloop/litterloop/localcloud/internal/rest"
	"github.com/litterloop/litterloop/localcloud/scheduler"
)

// Functions runs functions.
type Functions interface {
	// Deploy runs entryPoint with exactly these environment variables, as
	// account, under name, and returns its URL.
	Deploy(ctx context.Context, name, entryPoint, account string, env map[string]string) (url string, err error)
	// Remove ends a function; one that is not there is no error.
	Remove(ctx context.Context, name string) error
}

// Schedule runs jobs.
type Schedule interface {
	Put(scheduler.Job) error
	Delete(name string) error
	Run(ctx context.Context, name string) error
}

// Options of a Server; all but TimeSeries, Access, Log and Now are required.
type Options struct {
	Documents *Documents
	Project   string
	// Access decides what callers may do, by the policies among the documents;
	// nil allows everything.
	Access *iam.Authorizer
	// Storage, PubSub and Run are the APIs that other servers answer, and
	// TimeSeries the one of Cloud Monitoring's methods that reads.
	Storage, PubSub, Run, TimeSeries http.Handler
	Functions                        Functions
	Schedule                         Schedule
	Log                              *slog.Logger
	Now                              func() time.Time
}

// Number is the project's number.
const Number = "123456789012"

// Server is the control plane.
type Server struct {
	o    Options
	docs *Documents
	mux  *http.ServeMux
}

// New serves what o.Documents declare.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{o: o, docs: o.Documents, mux: http.NewServeMux()}
	s.projects()
	for _, k := range s.kinds() {
		k.register(s)
	}
	if o.TimeSeries != nil {
		s.mux.Handle("/monitoring/v3/projects/{project}/timeSeries", o.TimeSeries)
	}
	s.mux.Handle("/storage/", s.forgetting(o.Storage))
	s.mux.Handle("/upload/", o.Storage)
	s.mux.Handle("/pubsub/", s.forgetting(http.StripPrefix("/pubsub", o.PubSub)))
	s.mux.Handle("/run/", s.forgetting(http.StripPrefix("/run", o.Run)))
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		rest.Error(w, status.Errorf(codes.Unimplemented, "the local cloud does not serve %s %s", r.Method, r.URL.Path))
	})
	return s
}

// ServeHTTP implements http.Handler. It answers a caller with any bearer token
// that names this machine, and none that a web page sent, by whatever name.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !loopback.Host(r.Host) {
		rest.Error(w, status.Errorf(codes.PermissionDenied, "host %q: the local cloud answers this machine alone, by a loopback address or localhost", r.Host))
		return
	}
	if r.Header.Get("Origin") != "" {
		rest.Error(w, status.Error(codes.PermissionDenied, "web pages may not ask the local cloud's control plane"))
		return
	}
	if s.policy(w, r) {
		return
	}
	if err := s.may(r); err != nil {
		rest.Error(w, err)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// Environ points Terraform's google provider at a control plane served at base,
// such as http://127.0.0.1:8099. A proxy that nobody serves keeps an API that
// was forgotten from being asked for in the real cloud: Go reaches loopback
// without a proxy.
func Environ(base string) []string {
	env := []string{"GOOGLE_OAUTH_ACCESS_TOKEN=local", "HTTPS_PROXY=http://127.0.0.1:9"}
	for name, path := range map[string]string{
		"STORAGE": "storage/v1/", "PUBSUB": "pubsub/v1/", "IAM_BETA": "iam/v1/", "RESOURCE_MANAGER": "cloudresourcemanager/v1/",
		"SERVICE_USAGE": "serviceusage/v1/", "CLOUD_BILLING": "cloudbilling/v1/", "CLOUDFUNCTIONS2": "cloudfunctions/v2/",
		"CLOUD_RUN_V2": "run/v2/", "CLOUD_SCHEDULER": "cloudscheduler/v1/", "ARTIFACT_REGISTRY": "artifactregistry/v1/",
		"MONITORING": "monitoring/", "SECRET_MANAGER": "secretmanager/v1/", "COMPUTE": "compute/v1/", "BILLING": "billingbudgets/v1/", "KMS": "cloudkms/v1/",
	} {
		env = append(env, "GOOGLE_"+name+"_CUSTOM_ENDPOINT="+strings.TrimSuffix(base, "/")+"/"+path)
	}
	return env
}
