package controlplane

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	inProject  = "projects/{project}/"
	inLocation = inProject + "locations/{location}/"
)

// kinds are the resources that the control plane keeps.
func (s *Server) kinds() []kind {
	return []kind{
		{path: "/iam/v1/" + inProject + "serviceAccounts", unwrap: "serviceAccount", name: accountName, adds: account},
		{path: "/iam/v1/" + inLocation + "workloadIdentityPools", id: "workloadIdentityPoolId", operations: true, name: numbered("workloadIdentityPoolId"), adds: active,
			verbs: map[string]func(context.Context, *Server, string, document) (any, error){
				"GET listAttestationRules": func(context.Context, *Server, string, document) (any, error) { return document{}, nil },
			}},
		{path: "/iam/v1/" + inLocation + "workloadIdentityPools/{pool}/providers", operations: true, name: numbered("workloadIdentityPoolProviderId"), adds: active},
		functions(),
		schedules(),
		{path: "/artifactregistry/v1/" + inLocation + "repositories", id: "repository_id", operations: true, adds: registry},
		{path: "/secretmanager/v1/" + inProject + "secrets", id: "secretId"},
		{path: "/monitoring/v3/" + inProject + "notificationChannels", replaces: true},
		{path: "/monitoring/v3/" + inProject + "alertPolicies"},
		{path: "/monitoring/v3/" + inProject + "uptimeCheckConfigs"},
		{path: "/billingbudgets/v1/billingAccounts/{account}/budgets", adds: etag},
		{path: "/monitoring/v1/" + inProject + "dashboards", replaces: true, adds: etag},
	}
}

// accountName is a service account's: by the e-mail address made of its id.
func accountName(s *Server, r *http.Request, body document) (string, error) {
	email, _, _ := strings.Cut(r.PathValue("id"), ":")
	if body != nil && email == "" {
		id, _ := body["accountId"].(string)
		if id == "" {
			return "", status.Error(codes.InvalidArgument, "a service account needs an accountId")
		}
		email = id + "@" + s.o.Project + ".iam.gserviceaccount.com"
	}
	return "projects/" + s.o.Project + "/serviceAccounts/" + email, nil
}

func account(s *Server, doc document) {
	name, _ := doc["name"].(string)
	email := name[strings.LastIndex(name, "/")+1:]
	sum := sha256.Sum256([]byte(email))
	maps.Copy(doc, document{"email": email, "projectId": s.o.Project, "uniqueId": fmt.Sprintf("1%020d", uint64(sum[0])<<32|uint64(sum[1])<<16|uint64(sum[2]))})
	etag(s, doc)
}

// numbered names resources that carry the project's number, however they were
// asked for.
func numbered(parameter string) func(*Server, *http.Request, document) (string, error) {
	return func(s *Server, r *http.Request, body document) (string, error) {
		name, _, _ := strings.Cut(collection(r), ":")
		if r.PathValue("id") == "" {
			id := r.URL.Query().Get(parameter)
			if id == "" {
				return "", status.Errorf(codes.InvalidArgument, "%s is missing", parameter)
			}
			name += "/" + id
		}
		return strings.Replace(name, "projects/"+s.o.Project+"/", "projects/"+Number+"/", 1), nil
	}
}

func active(_ *Server, doc document) { doc["state"] = "ACTIVE" }

func registry(s *Server, doc document) {
	name, _ := doc["name"].(string)
	doc["registryUri"] = "local/" + s.o.Project + "/" + name[strings.LastIndex(name, "/")+1:]
}

func etag(_ *Server, doc document) {
	delete(doc, "etag")
	sum := sha256.Sum256(fmt.Append(nil, doc))
	doc["etag"] = hex.EncodeToString(sum[:8])
}
