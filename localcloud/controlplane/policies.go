package controlplane

import (
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// policyName is under what the IAM policy of a resource is kept.
func policyName(resource string) string { return "policies/" + resource }

// policy serves the IAM policy of any resource, whichever server has it, and
// tells whether the request was for one. A bucket's is at /b/BUCKET/iam, every
// other's at :getIamPolicy and :setIamPolicy.
func (s *Server) policy(w http.ResponseWriter, r *http.Request) bool {
	resource, verb, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), ":")
	if bucket, ok := strings.CutSuffix(resource, "/iam"); ok && strings.HasPrefix(bucket, "storage/v1/b/") {
		resource, verb = bucket, "getIamPolicy"
		if r.Method == http.MethodPut {
			verb = "setIamPolicy"
		}
	}
	switch verb {
	case "getIamPolicy":
		kind{}.answer(s, func(*Server, *http.Request, document) (any, error) {
			p, ok := s.docs.get(policyName(resource))
			if !ok {
				p = unwritten()
			}
			return p, nil
		})(w, r)
	case "setIamPolicy":
		kind{}.answer(s, func(_ *Server, _ *http.Request, body document) (any, error) {
			if wrapped, ok := body["policy"].(document); ok {
				body = wrapped
			}
			return s.setPolicy(resource, body)
		})(w, r)
	default:
		return false
	}
	return true
}

// setPolicy replaces a policy, unless it changed since its writer read it.
func (s *Server) setPolicy(resource string, said document) (document, error) {
	return s.docs.update(policyName(resource), func(old document) (document, error) {
		if old == nil {
			old = unwritten()
		}
		if read, _ := said["etag"].(string); read != "" && read != old["etag"] {
			return nil, status.Errorf(codes.Aborted, "the policy of %s has changed since it was read; read it again", resource)
		}
		next := document{"version": 3}
		if bindings, ok := said["bindings"]; ok {
			next["bindings"] = bindings
		}
		etag(s, next)
		return next, nil
	})
}

// unwritten is the policy of a resource that was given none.
func unwritten() document {
	p := document{"version": 1}
	etag(nil, p)
	return p
}

// forget removes what depended on a resource that is gone.
func (s *Server) forget(name string) error {
	for _, policy := range s.docs.under("policies/") {
		if strings.HasSuffix(policy, "/"+name) {
			if _, err := s.docs.update(policy, func(document) (document, error) { return nil, nil }); err != nil {
				return err
			}
		}
	}
	return nil
}
