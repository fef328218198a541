//go:build peers

package storage_test

import (
	"bytes"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// gcloud as people use it, against the local cloud.
func TestGcloud(t *testing.T) {
	gcloud, err := exec.LookPath("gcloud")
	if err != nil {
		t.Skip("gcloud is not installed")
	}
	url := newServer(t, options(t))
	home := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), gcloud, append([]string{"storage"}, args...)...)
		cmd.Env = append(os.Environ(),
			"CLOUDSDK_CONFIG="+filepath.Join(home, "config"), "CLOUDSDK_CORE_PROJECT=local", "CLOUDSDK_AUTH_DISABLE_CREDENTIALS=true",
			"CLOUDSDK_CORE_DISABLE_PROMPTS=1", "CLOUDSDK_CORE_CHECK_GCE_METADATA=false", "CLOUDSDK_SURVEY_DISABLE_PROMPTS=1",
			"CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE="+url+"/storage/v1/")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("gcloud storage %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
		}
		return string(out)
	}

	run("buckets", "create", "gs://incoming", "--location=europe-west1")
	dir := filepath.Join(home, "batch")
	photo := make([]byte, 300_000)
	rand.Read(photo)
	large := make([]byte, 20<<20) // resumable
	rand.Read(large)
	for name, content := range map[string][]byte{"annotations.json": []byte("{\"images\": []}\n"), "photos/ü 1.jpg": photo, "photos/large.bin": large, "photos/empty": nil} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run("cp", "--recursive", dir, "gs://incoming/")
	want := "gs://incoming/batch/annotations.json\ngs://incoming/batch/photos/empty\ngs://incoming/batch/photos/large.bin\ngs://incoming/batch/photos/ü 1.jpg\n"
	if got := run("ls", "gs://incoming/**"); got != want {
		t.Errorf("ls: %q, want %q", got, want)
	}
	if got := run("ls", "gs://incoming/batch/"); got != "gs://incoming/batch/annotations.json\ngs://incoming/batch/photos/\n" {
		t.Errorf("ls of a folder: %q", got)
	}
	if got := run("cat", "gs://incoming/batch/annotations.json"); got != "{\"images\": []}\n" {
		t.Errorf("cat: %q", got)
	}
	run("cp", "gs://incoming/batch/photos/large.bin", "gs://incoming/copy.bin")
	back := filepath.Join(home, "back")
	if err := os.Mkdir(back, 0o700); err != nil {
		t.Fatal(err)
	}
	run("cp", "gs://incoming/copy.bin", "gs://incoming/batch/photos/ü 1.jpg", back)
	for name, want := range map[string][]byte{"copy.bin": large, "ü 1.jpg": photo} {
		if got, err := os.ReadFile(filepath.Join(back, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s came back as %d bytes, %v", name, len(got), err)
		}
	}
	run("mv", "gs://incoming/copy.bin", "gs://incoming/moved.bin")
	run("objects", "update", "gs://incoming/moved.bin", "--custom-metadata=k=v")
	if got := run("objects", "describe", "gs://incoming/moved.bin", "--format=value(custom_fields)"); !strings.Contains(got, "v") {
		t.Errorf("describe: %q", got)
	}
	run("rsync", "--recursive", dir, "gs://incoming/synced")
	run("rm", "--recursive", "gs://incoming/**")
	if got := call(t, "GET", url+"/storage/v1/b/incoming/o", ""); document(t, got)["items"] != nil {
		t.Errorf("after rm: %s", got.body)
	}
	run("buckets", "delete", "gs://incoming")
}
