package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"cloud.google.com/go/run/apiv2/runpb"

	"github.com/litterloop/litterloop/localcloud/iam"
)

// template is what a service and a job have in common: an account and containers.
type template interface {
	GetServiceAccount() string
	GetContainers() []*runpb.Container
}

// mayRun checks what a caller needs beside the right to the resource: to act as
// the account that the template runs as, and to read its images.
func (s *Server) mayRun(ctx context.Context, on string, t template) error {
	project, _, _ := strings.Cut(on, "/locations/")
	account := cmp.Or(t.GetServiceAccount(), "default")
	if err := s.opt.Access.Check(ctx, "iam.serviceAccounts.actAs", project+"/serviceAccounts/"+account); err != nil {
		return err
	}
	for _, c := range t.GetContainers() {
		if repository := repositoryOf(c.Image); repository != "" {
			if err := s.opt.Access.Check(ctx, "artifactregistry.repositories.downloadArtifacts", repository); err != nil {
				return err
			}
		}
	}
	return nil
}

// repositoryOf is the Artifact Registry repository that an image lies in,
// LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/…; "" for images from elsewhere.
func repositoryOf(image string) string {
	parts := strings.Split(image, "/")
	location, ours := strings.CutSuffix(parts[0], "-docker.pkg.dev")
	if !ours || len(parts) < 4 {
		return ""
	}
	return fmt.Sprintf("projects/%s/locations/%s/repositories/%s", parts[1], location, parts[2])
}

var errUnauthenticated = errors.New("the request was not authenticated: either allow unauthenticated invocations or set the proper Authorization header")

// mayInvoke checks a request to a service: whoever may, or a bearer of an
// identity token for one of its URLs who may.
func (s *Server) mayInvoke(r *http.Request, service, uri string) error {
	const permission = "run.routes.invoke"
	if s.opt.Access == nil || s.opt.Access.Has(iam.AllUsers, permission, service) {
		return nil
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		s.opt.Log.WarnContext(r.Context(), "request without an identity token", "service", id(service), "path", r.URL.Path)
		return errUnauthenticated
	}
	principal, audience, err := s.opt.Identify(token)
	if err == nil && audience != uri && audience != s.uriOf(service) {
		err = fmt.Errorf("its audience is %q, not this service's URL %s", audience, uri)
	}
	if err != nil {
		s.opt.Log.WarnContext(r.Context(), "identity token refused", "service", id(service), "error", err)
		return fmt.Errorf("%w: %w", errToken, err)
	}
	return s.opt.Access.Allowed(principal, permission, service)
}

var errToken = errors.New("the access token could not be verified")

func (s *Server) uriOf(service string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.services[service]; v != nil {
		return v.doc.Uri
	}
	return ""
}

// forbid answers a request that mayInvoke refused.
func forbid(w http.ResponseWriter, err error) {
	code := http.StatusForbidden
	if errors.Is(err, errToken) {
		code = http.StatusUnauthorized
	}
	http.Error(w, err.Error(), code)
}
