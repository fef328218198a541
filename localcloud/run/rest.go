package run

import (
	"context"
	"net/http"
	"strings"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/run/apiv2/runpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/litterloop/litterloop/localcloud/internal/rest"
)

// settle is how long a REST call waits for what it declared to be true. Clients
// ask for an operation again only after ten seconds.
const settle = 8 * time.Second

// ServeHTTP is the Admin API v2 as JSON, under /v2/projects/: what Terraform and
// gcloud speak.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.rest.ServeHTTP(w, r) }

// A resource in the path is "ID" or "ID:verb", which a mux pattern cannot tell
// apart; the handlers are therefore keyed by "METHOD collection:verb".
func (s *Server) routes() http.Handler {
	services, jobs, operations := servicesAPI{s: s}, jobsAPI{s: s}, operationsAPI{s: s}
	one := map[string]http.HandlerFunc{
		"GET services:": rest.Method(services.GetService, self, func(q *runpb.GetServiceRequest, r *http.Request) error { q.Name = resource(r); return nil }),
		"PATCH services:": rest.Method(settled(s, services.UpdateService), func(q *runpb.UpdateServiceRequest) proto.Message {
			q.Service = &runpb.Service{}
			return q.Service
		}, func(q *runpb.UpdateServiceRequest, r *http.Request) error {
			q.Service.Name = resource(r)
			return unmasked(r)
		}),
		"DELETE services:": rest.Method(services.DeleteService, self, func(q *runpb.DeleteServiceRequest, r *http.Request) error { q.Name = resource(r); return nil }),
		"GET jobs:":        rest.Method(jobs.GetJob, self, func(q *runpb.GetJobRequest, r *http.Request) error { q.Name = resource(r); return nil }),
		"PATCH jobs:": rest.Method(jobs.UpdateJob, func(q *runpb.UpdateJobRequest) proto.Message {
			q.Job = &runpb.Job{}
			return q.Job
		}, func(q *runpb.UpdateJobRequest, r *http.Request) error {
			q.Job.Name = resource(r)
			return unmasked(r)
		}),
		"DELETE jobs:":  rest.Method(jobs.DeleteJob, self, func(q *runpb.DeleteJobRequest, r *http.Request) error { q.Name = resource(r); return nil }),
		"POST jobs:run": rest.Method(jobs.RunJob, self, func(q *runpb.RunJobRequest, r *http.Request) error { q.Name = resource(r); return nil }),
		"GET operations:": rest.Method(operations.WaitOperation, self, func(q *longrunningpb.WaitOperationRequest, r *http.Request) error {
			q.Name = resource(r)
			q.Timeout = durationpb.New(settle)
			return nil
		}),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/v2/projects/{project}/locations/{location}/{collection}/{resource}", func(w http.ResponseWriter, r *http.Request) {
		_, verb, _ := strings.Cut(r.PathValue("resource"), ":")
		if h := one[r.Method+" "+r.PathValue("collection")+":"+verb]; h != nil {
			h(w, r)
			return
		}
		rest.Error(w, status.Errorf(codes.Unimplemented, "the local Cloud Run has no %s %s", r.Method, r.URL.Path))
	})
	mux.HandleFunc("POST /v2/projects/{project}/locations/{location}/services", rest.Method(settled(s, services.CreateService), func(q *runpb.CreateServiceRequest) proto.Message {
		q.Service = &runpb.Service{}
		return q.Service
	}, func(q *runpb.CreateServiceRequest, r *http.Request) error {
		q.Parent, q.ServiceId = parent(r), r.URL.Query().Get("serviceId")
		return nil
	}))
	mux.HandleFunc("POST /v2/projects/{project}/locations/{location}/jobs", rest.Method(jobs.CreateJob, func(q *runpb.CreateJobRequest) proto.Message {
		q.Job = &runpb.Job{}
		return q.Job
	}, func(q *runpb.CreateJobRequest, r *http.Request) error {
		q.Parent, q.JobId = parent(r), r.URL.Query().Get("jobId")
		return nil
	}))
	mux.HandleFunc("GET /v2/projects/{project}/locations/{location}/services", rest.Method(services.ListServices, self, func(q *runpb.ListServicesRequest, r *http.Request) error {
		q.Parent, q.PageToken = parent(r), r.URL.Query().Get("pageToken")
		return nil
	}))
	mux.HandleFunc("GET /v2/projects/{project}/locations/{location}/jobs", rest.Method(jobs.ListJobs, self, func(q *runpb.ListJobsRequest, r *http.Request) error {
		q.Parent, q.PageToken = parent(r), r.URL.Query().Get("pageToken")
		return nil
	}))
	return mux
}

// self: the body, if any, is the request.
func self[Q proto.Message](q Q) proto.Message { return q }

// settled waits for the operation that call begins.
func settled[Q any](s *Server, call func(context.Context, Q) (*longrunningpb.Operation, error)) func(context.Context, Q) (*longrunningpb.Operation, error) {
	return func(ctx context.Context, q Q) (*longrunningpb.Operation, error) {
		op, err := call(ctx, q)
		if err != nil || op.Done {
			return op, err
		}
		return operationsAPI{s: s}.WaitOperation(ctx, &longrunningpb.WaitOperationRequest{Name: op.Name, Timeout: durationpb.New(settle)})
	}
}

func parent(r *http.Request) string {
	return "projects/" + r.PathValue("project") + "/locations/" + r.PathValue("location")
}

func resource(r *http.Request) string {
	id, _, _ := strings.Cut(r.PathValue("resource"), ":")
	return parent(r) + "/" + r.PathValue("collection") + "/" + id
}

// unmasked refuses an update of single fields: the Terraform provider sends the
// whole resource.
func unmasked(r *http.Request) error {
	if r.URL.Query().Has("updateMask") {
		return status.Error(codes.Unimplemented, "the local Cloud Run takes whole resources by REST; use its gRPC API for an update mask")
	}
	return nil
}
