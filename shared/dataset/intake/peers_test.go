//go:build peers

package intake

import (
	"bytes"
	"fmt"
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
)

// The stock DVC client (pip install dvc dvc-gs) pulls a version byte for byte,
// and finds nothing changed after.
func TestPeer_dvcPull(t *testing.T) {
	dvc, err := exec.LookPath("dvc")
	if err != nil {
		t.Skip("dvc is not on the path: ", err)
	}
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
	for _, name := range []string{"incoming", "datasets"} {
		if err := srv.CreateBucket(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	incoming, datasets := blobgcs.New(client, "incoming"), blobgcs.New(client, "datasets")
	in := (&world{t: t}).intake(incoming, datasets)
	names, content := batch(5, 0)
	var s dataset.BatchStatus
	for _, name := range names {
		if _, err := incoming.Write(t.Context(), "b/"+name, bytes.NewReader(content[name]), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
			t.Fatal(err)
		}
		if s, err = in.Take(t.Context(), "b/"+name); err != nil {
			t.Fatal(err)
		}
	}
	pointer, _, err := blob.ReadAll(t.Context(), datasets, dataset.VersionObject(s.Version, dataset.DVCFile))
	if err != nil {
		t.Fatal(err)
	}
	repo := t.TempDir()
	config := fmt.Sprintf("[core]\n    no_scm = true\n    remote = litterloop\n    analytics = false\n    check_update = false\n['remote \"litterloop\"']\n    url = gs://datasets\n    endpointurl = %s\n    allow_anonymous_login = true\n    verify = true\n", ts.URL)
	for name, data := range map[string][]byte{".dvc/config": []byte(config), "dataset.dvc": pointer} {
		name = filepath.Join(repo, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), dvc, args...)
		cmd.Dir = repo
		// gcsfs would ask the public service for the bucket's layout, whatever
		// endpoint it was given.
		cmd.Env = append(os.Environ(), "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT=false", "DVC_NO_ANALYTICS=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("dvc %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run("pull")
	photos, err := dataset.Photos(t.Context(), datasets, s.Version)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range photos {
		want, err := dataset.OpenPhoto(t.Context(), datasets, p)
		if err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string][]byte{p.Path: want, dataset.LabelPath(p.Path): dataset.YOLO(p)} {
			if got, err := os.ReadFile(filepath.Join(repo, "dataset", name)); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s is not what the version holds: %v", name, err)
			}
		}
	}
	run("add", "dataset")
	if again, err := os.ReadFile(filepath.Join(repo, "dataset.dvc")); err != nil || !bytes.Equal(again, pointer) {
		t.Errorf("dvc add of what was pulled writes another pointer: %v\n%s", err, again)
	}
}

// What the stock client pushes into the incoming bucket is taken in, for labels
// of either form, and pulled again it is what was pushed.
func TestPeer_dvcPushIsTakenIn(t *testing.T) {
	dvc, err := exec.LookPath("dvc")
	if err != nil {
		t.Skip("dvc is not on the path: ", err)
	}
	for name, files := range map[string][]object{"COCO": cocoFiles(""), "YOLO": yoloFiles()} {
		t.Run(name, func(t *testing.T) {
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
			for _, name := range []string{"incoming", "datasets"} {
				if err := srv.CreateBucket(t.Context(), name); err != nil {
					t.Fatal(err)
				}
			}
			repo := t.TempDir()
			for _, f := range append(below("set/", files), object{".dvc/config", fmt.Appendf(nil,
				"[core]\n    no_scm = true\n    remote = r\n    analytics = false\n    check_update = false\n['remote \"r\"']\n    url = gs://incoming/b\n    endpointurl = %s\n    allow_anonymous_login = true\n", ts.URL)}) {
				file := filepath.Join(repo, filepath.FromSlash(f.name))
				if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, f.data, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			for _, args := range [][]string{{"add", "set"}, {"push"}} {
				cmd := exec.CommandContext(t.Context(), dvc, args...)
				cmd.Dir = repo
				cmd.Env = append(os.Environ(), "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT=false", "DVC_NO_ANALYTICS=1")
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("dvc %v: %v\n%s", args, err, out)
				}
			}
			incoming, datasets := blobgcs.New(client, "incoming"), blobgcs.New(client, "datasets")
			in := (&world{t: t}).intake(incoming, datasets)
			var names []string
			for a, err := range incoming.List(t.Context(), "b/") {
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, a.Name)
			}
			pointer, err := os.ReadFile(filepath.Join(repo, "set.dvc"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := incoming.Write(t.Context(), "b/set.dvc", bytes.NewReader(pointer), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
				t.Fatal(err)
			}
			var s dataset.BatchStatus
			for _, name := range append(names, "b/set.dvc") {
				if s, err = in.Take(t.Context(), name); err != nil {
					t.Fatal(err)
				}
			}
			if s.State != dataset.Converted || s.Counts != (dataset.Counts{Photos: 6, Boxes: 10}) || len(s.Findings) > 0 {
				t.Fatalf("got %+v", s)
			}
			photos, err := dataset.Photos(t.Context(), datasets, s.Version)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range photos {
				if _, err := dataset.OpenPhoto(t.Context(), datasets, p); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
