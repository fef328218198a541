package blobgcs_test

import (
	"fmt"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	gcs "cloud.google.com/go/storage"
	"google.golang.org/api/option"

	"github.com/litterloop/litterloop/localcloud/storage"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobgcs"
	"github.com/litterloop/litterloop/shared/blob/blobtest"
)

func TestLocalCloud(t *testing.T) {
	srv, err := storage.New(storage.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewServer(srv)
	client, err := gcs.NewClient(t.Context(), option.WithEndpoint(ts.URL+"/storage/v1/"), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		ts.Close()
		srv.Close()
	})
	var n atomic.Int32
	blobtest.Run(t, func(t *testing.T) blob.Bucket {
		name := fmt.Sprintf("bucket-%d", n.Add(1))
		if err := srv.CreateBucket(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		return blobgcs.New(client, name)
	})
}
