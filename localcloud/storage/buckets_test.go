package storage_test

import (
	"errors"
	"net/http"
	"testing"

	gcs "cloud.google.com/go/storage"
	"google.golang.org/api/iterator"
)

func TestBucket_life(t *testing.T) {
	o := options(t)
	url, stop := restartable(t, o)
	client := newClient(t, url)
	b := client.Bucket("incoming")
	if err := b.Create(t.Context(), "project", &gcs.BucketAttrs{Location: "EUROPE-WEST1", Labels: map[string]string{"app": "litterloop"}}); err != nil {
		t.Fatal(err)
	}
	if got := call(t, "POST", url+"/storage/v1/b?project=p", `{"name":"incoming"}`); got.status != http.StatusConflict {
		t.Errorf("created twice: status %d", got.status)
	}
	u := gcs.BucketAttrsToUpdate{Lifecycle: &gcs.Lifecycle{Rules: []gcs.LifecycleRule{{Action: gcs.LifecycleAction{Type: "Delete"}, Condition: gcs.LifecycleCondition{AgeInDays: 30}}}}}
	u.SetLabel("stage", "test")
	u.DeleteLabel("app")
	if _, err := b.If(gcs.BucketConditions{MetagenerationMatch: 1}).Update(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if _, err := b.If(gcs.BucketConditions{MetagenerationMatch: 1}).Update(t.Context(), u); err == nil {
		t.Error("an update for an older metageneration succeeded")
	}
	stop()

	url = newServer(t, o)
	client = newClient(t, url)
	b = client.Bucket("incoming")
	a, err := b.Attrs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if a.Location != "EUROPE-WEST1" || a.Labels["stage"] != "test" || a.Labels["app"] != "" || len(a.Lifecycle.Rules) != 1 || a.MetaGeneration != 2 {
		t.Errorf("attributes after a restart: %+v", a)
	}
	var names []string
	for it := client.Buckets(t.Context(), "project"); ; {
		a, err := it.Next()
		if err == iterator.Done {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, a.Name)
	}
	if len(names) != 2 || names[0] != "bench" || names[1] != "incoming" {
		t.Errorf("buckets %q", names)
	}
	upload(t, url, "o", "x")
	if err := client.Bucket("bench").Delete(t.Context()); err == nil {
		t.Error("a bucket that is not empty was deleted")
	}
	if err := b.Delete(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := b.Attrs(t.Context()); !errors.Is(err, gcs.ErrBucketNotExist) {
		t.Errorf("after the delete: %v", err)
	}
}

func TestBucket_missing(t *testing.T) {
	url := newServer(t, options(t)) + "/storage/v1/b/nowhere"
	for _, c := range [][2]string{{"GET", ""}, {"PATCH", ""}, {"DELETE", ""}, {"GET", "/o"}, {"GET", "/o/x"}, {"DELETE", "/o/x"}, {"GET", "/storageLayout"}, {"GET", "/iam"}, {"GET", "/notificationConfigs"}} {
		if got := call(t, c[0], url+c[1], ""); got.status != http.StatusNotFound {
			t.Errorf("%s %s: status %d", c[0], c[1], got.status)
		}
	}
}
