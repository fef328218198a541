//go:build peers

package dvcrepo_test

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	gcs "cloud.google.com/go/storage"
	"google.golang.org/api/option"

	"github.com/litterloop/litterloop/localcloud/storage"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobgcs"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/datasettest"
	"github.com/litterloop/litterloop/shared/dataset/dvcrepo"
	"github.com/litterloop/litterloop/shared/dataset/pull"
	"github.com/litterloop/litterloop/shared/dataset/verify"
)

// The stock DVC client (pip install dvc dvc-gs) pulls in an exported repository
// what `pull` pulls, and finds nothing changed after; so it does after the
// repository was turned to another version.
func TestPeer_dvcPullsWhatWasExported(t *testing.T) {
	dvc, err := exec.LookPath("dvc")
	if err != nil {
		t.Skip("dvc is not on the path: ", err)
	}
	w := datasettest.New(t)
	classes, photos := datasettest.Sample()
	versions := []dataset.Version{w.Drop("b", classes, photos...), w.Drop("b", classes, photos[1:]...)}

	srv, err := storage.New(storage.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	ts := httptest.NewServer(srv)
	defer ts.Close()
	client, err := gcs.NewClient(t.Context(), option.WithEndpoint(ts.URL+"/storage/v1/"), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := srv.CreateBucket(t.Context(), "datasets"); err != nil {
		t.Fatal(err)
	}
	b := blobgcs.New(client, "datasets")
	for a, err := range w.Datasets.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		r, _, err := w.Datasets.Open(t.Context(), a.Name, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Write(t.Context(), a.Name, r, blob.WriteOptions{IfGeneration: blob.Any, ContentType: a.ContentType}); err != nil {
			t.Fatal(err)
		}
	}
	repo := t.TempDir()
	for _, v := range versions {
		if err := dvcrepo.Write(repo, v, dvcrepo.Remote{Bucket: "datasets", Endpoint: ts.URL}); err != nil {
			t.Fatal(err)
		}
		pointer, err := os.ReadFile(filepath.Join(repo, "dataset.dvc"))
		if err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"pull"}, {"status"}, {"add", "dataset"}} {
			cmd := exec.CommandContext(t.Context(), dvc, args...)
			cmd.Dir = repo
			// gcsfs would ask the public service for the bucket's layout, whatever
			// endpoint it was given.
			cmd.Env = append(os.Environ(), "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT=false", "DVC_NO_ANALYTICS=1")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("dvc %v: %v\n%s", args, err, out)
			}
		}
		if again, err := os.ReadFile(filepath.Join(repo, "dataset.dvc")); err != nil || string(again) != string(pointer) {
			t.Errorf("dvc add of what was pulled writes another pointer: %v\n%s", err, again)
		}
		files, err := dataset.Files(t.Context(), b, v)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := verify.Directory(t.Context(), files, filepath.Join(repo, dvcrepo.Data), nil); err != nil || !r.Sound() {
			t.Errorf("what dvc pulled: %+v, %v", r, err)
		}
		ours := t.TempDir()
		if r, err := pull.Pull(t.Context(), b, v, ours, pull.Options{}); err != nil || r.Fetched != v.Files {
			t.Errorf("%+v, %v", r, err)
		}
		if out, err := exec.CommandContext(t.Context(), "diff", "-r", ours, filepath.Join(repo, dvcrepo.Data)).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}
