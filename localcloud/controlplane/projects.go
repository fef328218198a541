package controlplane

import (
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/litterloop/litterloop/localcloud/internal/rest"
)

// projects serves what there is one of: the project, its billing and its APIs.
func (s *Server) projects() {
	answer := func(pattern string, body func(*http.Request) any) {
		s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if p := r.PathValue("project"); p != s.o.Project && p != Number {
				rest.Error(w, status.Errorf(codes.NotFound, "project %s not found: the local cloud is %s", p, s.o.Project))
				return
			}
			rest.Answer(w, http.StatusOK, body(r))
		})
	}
	answer("GET /cloudresourcemanager/v1/projects/{project}", func(*http.Request) any {
		return document{"projectId": s.o.Project, "projectNumber": Number, "name": s.o.Project, "lifecycleState": "ACTIVE", "createTime": "2026-01-01T00:00:00Z"}
	})
	answer("GET /cloudbilling/v1/projects/{project}/billingInfo", func(*http.Request) any {
		return document{"name": "projects/" + s.o.Project + "/billingInfo", "projectId": s.o.Project, "billingAccountName": "", "billingEnabled": false}
	})
	answer("GET /compute/v1/projects/{project}", func(*http.Request) any {
		return document{"id": Number, "name": s.o.Project}
	})
	answer("GET /storage/v1/projects/{project}/serviceAccount", func(*http.Request) any {
		return document{"kind": "storage#serviceAccount", "email_address": "service-" + Number + "@gs-project-accounts.iam.gserviceaccount.com"}
	})
	answer("GET /serviceusage/v1/projects/{project}/services", func(*http.Request) any {
		services := []document{}
		for _, name := range s.docs.under("projects/" + Number + "/services/") {
			services = append(services, document{"name": name, "state": "ENABLED"})
		}
		return document{"services": services}
	})
	// Asked for before a bucket is deleted.
	s.mux.HandleFunc("GET /storage/v1/b/{bucket}/anywhereCaches/", func(w http.ResponseWriter, _ *http.Request) {
		rest.Answer(w, http.StatusOK, document{"kind": "storage#anywhereCaches", "items": []document{}})
	})
	s.mux.HandleFunc("POST /serviceusage/v1/projects/{project}/{services}", kind{}.answer(s, s.enable))
	s.mux.HandleFunc("POST /serviceusage/v1/projects/{project}/services/{service}", kind{}.answer(s, s.enable))
}

// enable turns APIs on, or one off.
func (s *Server) enable(_ *Server, r *http.Request, body document) (any, error) {
	var ids []string
	service, verb, _ := strings.Cut(r.PathValue("service"), ":")
	switch {
	case r.PathValue("services") == "services:batchEnable":
		all, _ := body["serviceIds"].([]any)
		for _, id := range all {
			if id, ok := id.(string); ok {
				ids = append(ids, id)
			}
		}
	case verb == "enable" || verb == "disable":
		ids = []string{service}
	default:
		return nil, status.Errorf(codes.Unimplemented, "the local cloud does not serve %s %s", r.Method, r.URL.Path)
	}
	for _, id := range ids {
		name := "projects/" + Number + "/services/" + id
		if _, err := s.docs.update(name, func(document) (document, error) {
			if verb == "disable" {
				return nil, nil
			}
			return document{"name": name}, nil
		}); err != nil {
			return nil, err
		}
	}
	return document{"name": "operations/services", "done": true, "response": document{}}, nil
}
