package iam

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestAuthorizer_decidesByPoliciesOnTheWayUp(t *testing.T) {
	const (
		convert = "serviceAccount:convert@p.iam.gserviceaccount.com"
		deploy  = "serviceAccount:deploy@p.iam.gserviceaccount.com"
		service = "projects/p/locations/l/services/litter"
	)
	under := &Condition{Expression: `resource.name.startsWith("projects/_/buckets/in/objects/rejected/")`}
	set := map[string][]Binding{
		"projects/p": {
			{Role: "roles/run.viewer", Members: []string{deploy}},
			{Role: "roles/storage.objectViewer", Members: []string{deploy}, Condition: &Condition{Expression: `resource.name.startsWith("projects/_/buckets/gcf-")`}},
		},
		"projects/_/buckets/in": {
			{Role: "roles/storage.objectViewer", Members: []string{convert}},
			{Role: "roles/storage.objectUser", Members: []string{convert}, Condition: under},
			{Role: "roles/storage.objectAdmin", Members: []string{deploy}, Condition: &Condition{Expression: `request.time < timestamp("2030-01-01T00:00:00Z")`}},
		},
		"projects/p/topics/train": {{Role: "roles/pubsub.publisher", Members: []string{convert, deploy}}},
		"projects/p/topics/open":  {{Role: "roles/pubsub.publisher", Members: []string{"allAuthenticatedUsers"}}},
		service:                   {{Role: "roles/run.developer", Members: []string{deploy}}},
		service + "-public":       {{Role: "roles/run.invoker", Members: []string{AllUsers}}},
	}
	a := New(Options{Project: "p", Policy: func(resource string) []Binding { return set[resource] }})
	for _, tt := range []struct {
		name, who, permission, on string
		want                      bool
	}{
		{"the owner", "", "storage.buckets.delete", "projects/_/buckets/in", true},
		{"a role on the bucket reaches its objects", convert, "storage.objects.get", "projects/_/buckets/in/objects/a/b", true},
		{"a role without the permission", convert, "storage.objects.delete", "projects/_/buckets/in/objects/a", false},
		{"a condition that holds", convert, "storage.objects.delete", "projects/_/buckets/in/objects/rejected/a", true},
		{"listing is a right to the bucket, not to a prefix", deploy, "storage.objects.list", "projects/_/buckets/in", false},
		{"an object that ends like a bucket", convert, "storage.objects.get", "projects/_/buckets/other/objects/projects/_/buckets/in", false},
		{"another bucket", convert, "storage.objects.get", "projects/_/buckets/in2/objects/a", false},
		{"a project's role under a condition", deploy, "storage.objects.get", "projects/_/buckets/gcf-v2/objects/a", true},
		{"the same elsewhere", deploy, "storage.objects.get", "projects/_/buckets/in/objects/a", false},
		{"a condition that cannot be evaluated", deploy, "storage.objects.create", "projects/_/buckets/in/objects/a", false},
		{"a topic", convert, "pubsub.topics.publish", "projects/p/topics/train", true},
		{"another topic", convert, "pubsub.topics.publish", "projects/p/topics/deploy", false},
		{"another right to the topic", convert, "pubsub.topics.delete", "projects/p/topics/train", false},
		{"whoever has an account", convert, "pubsub.topics.publish", "projects/p/topics/open", true},
		{"nobody is no account", AllUsers, "pubsub.topics.publish", "projects/p/topics/open", false},
		{"a service's revision", deploy, "run.revisions.delete", service + "/revisions/litter-1", true},
		{"a project's role reaches operations", deploy, "run.operations.get", "projects/p/locations/l/operations/o", true},
		{"a service by a right to another", deploy, "run.services.update", "projects/p/locations/l/services/other", false},
		{"everybody", AllUsers, "run.routes.invoke", service + "-public", true},
		{"everybody, elsewhere", AllUsers, "run.routes.invoke", service, false},
	} {
		err := a.Allowed(tt.who, tt.permission, tt.on)
		if (err == nil) != tt.want {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if tt.want {
			continue
		}
		_, email, named := strings.Cut(tt.who, ":")
		if denied, ok := errors.AsType[*Denied](err); !ok || status.Code(err) != codes.PermissionDenied || named && !strings.HasPrefix(err.Error(), email+" does not have "+tt.permission+" access to "+tt.on) {
			t.Errorf("%s: %v (%v)", tt.name, err, denied)
		}
	}
	if err := a.Allowed(convert, "pubsub.topics.publish", "projects/p/topics/deploy"); err == nil {
		t.Fatal("allowed the second time")
	}
	for _, r := range a.Refusals() {
		if want := 1; r.Resource == "projects/p/topics/deploy" && r.Times != want+1 {
			t.Errorf("told %d times: %+v", r.Times, r)
		}
	}
	if err := (*Authorizer)(nil).Allowed(convert, "anything", "anywhere"); err != nil {
		t.Errorf("not enforced: %v", err)
	}
}

func TestBinding_whatCannotBeEnforcedIsSaid(t *testing.T) {
	for _, tt := range []struct {
		name string
		b    Binding
		want string
	}{
		{"a role of the table", Binding{Role: "roles/pubsub.publisher"}, ""},
		{"two comparisons", Binding{Role: "roles/pubsub.publisher", Condition: &Condition{Expression: `resource.name == 'a' && resource.name.startsWith("b")`}}, ""},
		{"a role of nobody's table", Binding{Role: "roles/spanner.admin"}, "roles/spanner.admin"},
		{"a custom role", Binding{Role: "projects/p/roles/mine"}, "projects/p/roles/mine"},
		{"time", Binding{Role: "roles/pubsub.publisher", Condition: &Condition{Expression: `request.time < timestamp("2030-01-01T00:00:00Z")`}}, "request.time"},
		{"or", Binding{Role: "roles/pubsub.publisher", Condition: &Condition{Expression: `resource.name == "a" || resource.name == "b"`}}, "||"},
	} {
		if err := tt.b.Check(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
