package storage_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/litterloop/litterloop/localcloud/iam"
)

// Each call needs the permission that Cloud Storage's own documentation names
// (https://cloud.google.com/storage/docs/access-control/iam-json).
func TestServer_callsNeedTheirPermission(t *testing.T) {
	const bucket = "projects/_/buckets/bench"
	roles := map[string]string{"viewer": "objectViewer", "creator": "objectCreator", "user": "objectUser", "admin": "admin"}
	access := iam.New(iam.Options{Project: "p", Policy: func(resource string) (all []iam.Binding) {
		for who, role := range roles {
			if resource == bucket {
				all = append(all, iam.Binding{Role: "roles/storage." + role, Members: []string{who}})
			}
		}
		return append(all, iam.Binding{Role: "roles/storage.objectUser", Members: []string{"narrow"}, Condition: &iam.Condition{Expression: `resource.name.startsWith("` + bucket + `/objects/mine/")`}})
	}})
	srv := open(t, options(t, func(o *serverOptions) { o.Access, o.Agent = access, "agent" }))
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		srv.ServeHTTP(w, r.WithContext(iam.As(r.Context(), r.Header.Get("As"))))
	}))
	t.Cleanup(func() {
		ts.Close()
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	upload(t, ts.URL, "there", "x")
	const (
		o     = "/storage/v1/b/bench/o"
		write = "/upload/storage/v1/b/bench/o?uploadType=media&name="
		move  = "/rewriteTo/b/bench/o/"
	)
	for _, tt := range []struct {
		name, who, method, path, body string
		want                          int
		says                          string
	}{
		{"read", "viewer", "GET", o + "/there?alt=media", "", 200, ""},
		{"read by the XML API", "viewer", "GET", "/bench/there", "", 200, ""},
		{"list", "viewer", "GET", o, "", 200, ""},
		{"what is not there", "viewer", "GET", o + "/absent", "", 404, ""},
		{"write as a viewer", "viewer", "POST", write + "new", "x", 403, "storage.objects.create access to " + bucket + "/objects/new"},
		{"write by the XML API as a viewer", "viewer", "PUT", "/bench/new", "x", 403, "storage.objects.create"},
		{"begin an upload as a viewer", "viewer", "POST", "/upload/storage/v1/b/bench/o?uploadType=resumable&name=new", "{}", 403, "storage.objects.create"},
		{"delete as a viewer", "viewer", "DELETE", o + "/there", "", 403, "storage.objects.delete"},
		{"change as a viewer", "viewer", "PATCH", o + "/there", "{}", 403, "storage.objects.update"},
		{"see the bucket as a viewer", "viewer", "GET", "/storage/v1/b/bench", "", 403, "storage.buckets.get"},
		{"create", "creator", "POST", write + "created", "x", 200, ""},
		{"replace as a creator", "creator", "POST", write + "created", "y", 403, "storage.objects.delete access to " + bucket + "/objects/created"},
		{"create where it is, under a condition", "creator", "POST", write + "created&ifGenerationMatch=0", "y", 412, ""},
		{"read as a creator", "creator", "GET", o + "/created", "", 403, "storage.objects.get"},
		{"copy as a creator", "creator", "POST", o + "/there" + move + "copied", "", 403, "storage.objects.get"},
		{"replace", "user", "POST", write + "there", "y", 200, ""},
		{"copy", "user", "POST", o + "/there" + move + "copied", "", 200, ""},
		{"compose as a viewer", "viewer", "POST", o + "/whole/compose", `{"sourceObjects": [{"name": "there"}]}`, 403, "storage.objects.create"},
		{"compose", "user", "POST", o + "/whole/compose", `{"sourceObjects": [{"name": "there"}]}`, 200, ""},
		{"change the bucket as a user", "user", "PATCH", "/storage/v1/b/bench", "{}", 403, "storage.buckets.update"},
		{"change the bucket", "admin", "PATCH", "/storage/v1/b/bench", "{}", 200, ""},
		{"make buckets by a right to one", "admin", "POST", "/storage/v1/b", `{"name": "other"}`, 403, "storage.buckets.create"},
		{"a prefix's object", "narrow", "POST", write + "mine/x", "x", 200, ""},
		{"another prefix's", "narrow", "POST", write + "yours/x", "x", 403, "storage.objects.create"},
		{"what is not there, without the right to list", "narrow", "GET", o + "/mine%2Fabsent", "", 403, "storage.objects.list access to " + bucket},
		{"deleting what is not there, without the right to list", "narrow", "DELETE", o + "/mine%2Fabsent", "", 403, "storage.objects.list"},
		{"a stranger", "stranger", "GET", o + "/there", "", 403, "stranger does not have storage.objects.get access"},
		{"a bucket that is not there", "viewer", "GET", "/storage/v1/b/none/o", "", 403, "or it may not exist"},
		{"a notification to a topic that Cloud Storage's account may not publish to", "", "POST", "/storage/v1/b/bench/notificationConfigs", `{"topic": "projects/p/topics/t"}`, 403, "agent does not have pubsub.topics.publish access"},
		{"the owner", "", "DELETE", o + "/there", "", 204, ""},
	} {
		a := call(t, tt.method, ts.URL+tt.path, tt.body, "As: "+tt.who)
		if a.status != tt.want || !strings.Contains(a.body, tt.says) {
			t.Errorf("%s: %d %s, want %d %q", tt.name, a.status, a.body, tt.want, tt.says)
		}
	}
}
