package blobgcs_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	gcs "cloud.google.com/go/storage"
	"github.com/fsouza/fake-gcs-server/fakestorage"
	"google.golang.org/api/option"

	"github.com/litterloop/litterloop/localcloud/storage"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobgcs"
	"github.com/litterloop/litterloop/shared/blob/blobtest"
)

func TestConformance_localCloud(t *testing.T) {
	blobtest.Run(t, localBuckets(t, storage.Options{}))
}

// Refused requests and lost answers must not show: not as conflicts of a write
// with itself, not as deletes of what is gone.
func TestConformance_faults(t *testing.T) {
	blobtest.Run(t, localBuckets(t, storage.Options{Faults: storage.Faults{Seed: 7, Unavailable: 0.02, LoseAnswer: 0.02}}),
		// A lost answer and a write by another before the next try: the first
		// write's fate can't be known, so it is counted twice. See Bucket.Write.
		"condition/no update is lost",
		// The same for a delete that finds nothing on its second try.
		"write/deleting what is not there",
	)
}

// fake-gcs-server is another's reading of the same API. Where it is known to
// differ from Cloud Storage, the local cloud follows Cloud Storage.
func TestConformance_fakeGCSServer(t *testing.T) {
	srv, err := fakestorage.NewServerWithOptions(fakestorage.Options{NoListener: true})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Stop()
	client, err := gcs.NewClient(t.Context(), option.WithHTTPClient(srv.HTTPClient()))
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int32
	blobtest.Run(t, func(t *testing.T) blob.Bucket {
		name := fmt.Sprintf("bucket-%d", n.Add(1))
		srv.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: name})
		return blobgcs.New(client, name)
	},
		"condition/a delete for a generation",     // ignores preconditions of a delete
		"copy/the condition is the destination's", // and of a rewrite
	)
}

// localBuckets serves o in a directory of its own and opens new buckets there.
func localBuckets(t *testing.T, o storage.Options) func(*testing.T) blob.Bucket {
	o.Dir = t.TempDir()
	srv, err := storage.New(o)
	if err != nil {
		t.Fatal(err)
	}
	client := dial(t, srv)
	t.Cleanup(func() { srv.Close() })
	var n atomic.Int32
	return func(t *testing.T) blob.Bucket {
		name := fmt.Sprintf("bucket-%d", n.Add(1))
		if err := srv.CreateBucket(context.Background(), name); err != nil {
			t.Fatal(err)
		}
		return blobgcs.New(client, name)
	}
}

// dial serves h until the test ends and returns the Google client of it.
func dial(t *testing.T, h http.Handler) *gcs.Client {
	ts := httptest.NewServer(h)
	client, err := gcs.NewClient(t.Context(), option.WithEndpoint(ts.URL+"/storage/v1/"), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		ts.Close()
	})
	return client
}
