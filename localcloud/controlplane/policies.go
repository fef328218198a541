package controlplane

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/felixge/httpsnoop"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/litterloop/litterloop/localcloud/iam"
)

// policies are kept among the documents, under the path of the resource that
// they are set at.
const policies = "policies/"

// bucketsPath is the path of the buckets, by which policies know them.
const bucketsPath = "storage/v1/b/"

// pathOf is the path, with its API and version, that a resource's policy is set
// at; IAM's name of the resource goes in.
func pathOf(resource string) string {
	if bucket, ok := strings.CutPrefix(resource, "projects/_/buckets/"); ok {
		return bucketsPath + bucket
	}
	parts := strings.Split(resource, "/")
	switch {
	case len(parts) == 2:
		return "cloudresourcemanager/v1/" + resource
	case parts[2] == "serviceAccounts":
		return "iam/v1/" + resource
	case parts[2] == "topics", parts[2] == "subscriptions":
		return "pubsub/v1/" + resource
	case len(parts) > 4 && parts[4] == "repositories":
		return "artifactregistry/v1/" + resource
	}
	return "run/v2/" + resource
}

// resourceOf undoes pathOf.
func resourceOf(path string) string {
	if bucket, ok := strings.CutPrefix(path, bucketsPath); ok {
		return "projects/_/buckets/" + bucket
	}
	parts := strings.SplitN(path, "/", 3)
	return parts[len(parts)-1]
}

// Policy returns the bindings that were set on a resource itself; see iam.Options.
func (d *Documents) Policy(resource string) []iam.Binding {
	bindings, _ := d.policies.Load(policies + pathOf(resource))
	all, _ := bindings.([]iam.Binding)
	return all
}

// index takes up the bindings of a document that is a policy.
func (d *Documents) index(name string, doc document) error {
	if !strings.HasPrefix(name, policies) {
		return nil
	}
	bindings, err := bindingsOf(doc)
	d.policies.Store(name, bindings)
	return err
}

func bindingsOf(policy document) ([]iam.Binding, error) {
	text, err := json.Marshal(policy["bindings"])
	if err != nil {
		return nil, err
	}
	var bindings []iam.Binding
	return bindings, json.Unmarshal(text, &bindings)
}

// policy serves the IAM policy of any resource, whichever server has it, and
// tells whether the request was for one. A bucket's is at /b/BUCKET/iam, every
// other's at :getIamPolicy, :setIamPolicy and :testIamPermissions.
func (s *Server) policy(w http.ResponseWriter, r *http.Request) bool {
	path, verb, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), ":")
	if bucket, ok := strings.CutSuffix(path, "/iam"); ok && strings.HasPrefix(bucket, bucketsPath) {
		path, verb = bucket, "getIamPolicy"
		if r.Method == http.MethodPut {
			verb = "setIamPolicy"
		}
	} else if bucket, ok := strings.CutSuffix(path, "/iam/testPermissions"); ok && strings.HasPrefix(bucket, bucketsPath) {
		path, verb = bucket, "testIamPermissions"
	}
	var serve func(ctx context.Context, path string, r *http.Request, body document) (any, error)
	switch verb {
	case "getIamPolicy":
		serve = func(_ context.Context, path string, _ *http.Request, _ document) (any, error) {
			return s.policyAt(path), nil
		}
	case "setIamPolicy":
		serve = func(_ context.Context, path string, _ *http.Request, body document) (any, error) {
			if wrapped, ok := body["policy"].(document); ok {
				body = wrapped
			}
			return s.setPolicy(path, body)
		}
	case "testIamPermissions":
		serve = s.test
	default:
		return false
	}
	kind{}.answer(s, func(_ *Server, r *http.Request, body document) (any, error) {
		if verb != "testIamPermissions" {
			if err := s.o.Access.Check(r.Context(), service(path)+"."+verb, resourceOf(path)); err != nil {
				return nil, err
			}
		}
		return serve(r.Context(), path, r, body)
	})(w, r)
	return true
}

// service is the beginning of the permissions on a resource's policy.
func service(path string) string {
	switch {
	case strings.HasPrefix(path, bucketsPath):
		return "storage.buckets"
	case strings.HasPrefix(path, "cloudresourcemanager/"):
		return "resourcemanager.projects"
	}
	api, _, _ := strings.Cut(path, "/")
	parts := strings.Split(path, "/")
	return api + "." + parts[max(len(parts)-2, 0)]
}

func (s *Server) policyAt(path string) document {
	if p, ok := s.docs.get(policies + path); ok {
		return p
	}
	return unwritten()
}

// setPolicy replaces a policy, unless it changed since its writer read it.
func (s *Server) setPolicy(path string, said document) (document, error) {
	if s.o.Access != nil {
		bindings, err := bindingsOf(said)
		if err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "the policy of %s: %v", path, err)
		}
		for _, b := range bindings {
			if err := b.Check(); err != nil {
				return nil, status.Errorf(codes.Unimplemented, "the policy of %s: %v", path, err)
			}
		}
	}
	return s.docs.update(policies+path, func(old document) (document, error) {
		if old == nil {
			old = unwritten()
		}
		if read, _ := said["etag"].(string); read != "" && read != old["etag"] {
			return nil, status.Errorf(codes.Aborted, "the policy of %s has changed since it was read; read it again", path)
		}
		next := document{"version": 3}
		if bindings, ok := said["bindings"]; ok {
			next["bindings"] = bindings
		}
		etag(s, next)
		return next, nil
	})
}

// test answers which of the permissions asked for the caller has.
func (s *Server) test(ctx context.Context, path string, r *http.Request, body document) (any, error) {
	asked := slices.Clone(r.URL.Query()["permissions"])
	listed, _ := body["permissions"].([]any)
	for _, p := range listed {
		if p, ok := p.(string); ok {
			asked = append(asked, p)
		}
	}
	has := slices.DeleteFunc(asked, func(p string) bool { return !s.o.Access.Has(iam.Principal(ctx), p, resourceOf(path)) })
	if strings.HasPrefix(path, bucketsPath) {
		return document{"kind": "storage#testIamPermissionsResponse", "permissions": has}, nil
	}
	if len(has) == 0 {
		return document{}, nil
	}
	return document{"permissions": has}, nil
}

// unwritten is the policy of a resource that was given none.
func unwritten() document {
	p := document{"version": 1}
	etag(nil, p)
	return p
}

// forget removes the policy of a resource that is gone, by the end of its path.
func (s *Server) forget(name string) error {
	for _, policy := range s.docs.under(policies) {
		if strings.HasSuffix(policy, "/"+name) {
			if _, err := s.docs.update(policy, func(document) (document, error) { return nil, nil }); err != nil {
				return err
			}
		}
	}
	return nil
}

// forgetting serves h, and forgets the policies of what it deleted: whoever is
// given the name again begins without rights.
func (s *Server) forgetting(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.Path, "/")
		if r.Method != http.MethodDelete {
			h.ServeHTTP(w, r)
			return
		}
		if m := httpsnoop.CaptureMetrics(h, w, r); m.Code < http.StatusBadRequest {
			if err := s.forget(path); err != nil {
				s.o.Log.ErrorContext(r.Context(), "the policy of a deleted resource stays", "path", path, "error", err)
			}
		}
	})
}

// may says whether the caller may ask the control plane itself. Accounts may
// read what is counted, and ask the servers behind it, which judge themselves;
// nothing of the loop asks for more.
func (s *Server) may(r *http.Request) error {
	path := strings.TrimPrefix(r.URL.Path, "/")
	switch api, _, _ := strings.Cut(path, "/"); {
	case iam.Principal(r.Context()) == "", api == "storage", api == "upload", api == "pubsub", api == "run":
		return nil
	case strings.HasSuffix(path, "/timeSeries"):
		return s.o.Access.Check(r.Context(), "monitoring.timeSeries.list", "projects/"+s.o.Project)
	}
	return status.Errorf(codes.Unimplemented, "the local cloud serves %s %s to the owner alone, not to %s", r.Method, r.URL.Path, iam.Principal(r.Context()))
}
