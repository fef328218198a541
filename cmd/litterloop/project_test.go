package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// litterloop runs a command and returns its exit status and what it wrote.
func litterloop(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out bytes.Buffer
	errFile, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer errFile.Close()
	code = run(t.Context(), args, &out, errFile)
	text, err := os.ReadFile(errFile.Name())
	if err != nil {
		t.Fatal(err)
	}
	return code, out.String(), string(text)
}

func setenv(t *testing.T, environ []string) {
	t.Helper()
	for _, kv := range environ {
		k, v, _ := strings.Cut(kv, "=")
		t.Setenv(k, v)
	}
}

// batch is a directory with a photo and its labels.
func batch(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "march")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"a.jpg": "no photo", "annotations.json": `{"images":[],"annotations":[],"categories":[]}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// refusing is a Google Cloud that answers everything with one refusal.
func refusing(t *testing.T, code int, body string, refusal error) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		w.WriteHeader(code)
		io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error { return refusal }))
	go g.Serve(l)
	t.Cleanup(g.Stop)
	setenv(t, []string{"STORAGE_EMULATOR_HOST=" + s.URL, "PUBSUB_EMULATOR_HOST=" + l.Addr().String(), "RUN_EMULATOR_HOST=" + l.Addr().String(), "MONITORING_EMULATOR_HOST=" + s.URL + "/"})
}

// The words are Google's own.
func TestProject_errorsAreOneLineThatMends(t *testing.T) {
	disabled := "Cloud Run Admin API has not been used in project 12 before or it is disabled. Enable it by visiting https://console.developers.google.com/apis/api/run.googleapis.com/overview?project=12 then retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems and retry."
	answer := func(code int, message string) string {
		return fmt.Sprintf(`{"error":{"code":%d,"message":%q,"errors":[{"message":%q,"domain":"global","reason":"forbidden"}]}}`, code, message, message)
	}
	lacks := "you@example.com does not have storage.objects.create access to the Google Cloud Storage object. Permission 'storage.objects.create' denied on resource (or it may not exist)."
	photo := filepath.Join(batch(t), "a.jpg")
	for name, c := range map[string]struct {
		args []string
		code int
		body string
		grpc error
		want string
	}{
		"drop, wrong project":           {[]string{"drop", batch(t)}, 404, answer(404, "The specified bucket does not exist."), nil, "litterloop up --project streets-1"},
		"drop, no permission":           {[]string{"drop", batch(t)}, 403, answer(403, lacks), nil, "--member user:YOU --role roles/storage.objectUser"},
		"drop, credentials gone":        {[]string{"drop", batch(t)}, 401, answer(401, "Invalid Credentials"), nil, "gcloud auth application-default login"},
		"drop, API off":                 {[]string{"drop", batch(t)}, 403, answer(403, strings.ReplaceAll(strings.ReplaceAll(disabled, "Cloud Run Admin", "Cloud Storage"), "run.g", "storage.g")), nil, "gcloud services enable storage.googleapis.com --project streets-1"},
		"status, no permission":         {[]string{"status"}, 403, answer(403, strings.ReplaceAll(lacks, "create", "list")), status.Error(codes.PermissionDenied, "Permission 'run.services.get' denied on resource"), "--role roles/storage.objectViewer"},
		"predict, API off":              {[]string{"predict", photo}, 200, "{}", status.Error(codes.PermissionDenied, disabled), "gcloud services enable run.googleapis.com --project streets-1"},
		"predict, no permission":        {[]string{"predict", photo}, 200, "{}", status.Error(codes.PermissionDenied, "Permission 'run.services.get' denied on resource 'namespaces/streets-1/services/litter' (or resource may not exist)."), "--role roles/run.viewer"},
		"predict, credentials gone":     {[]string{"predict", photo}, 200, "{}", status.Error(codes.Unauthenticated, "Request had invalid authentication credentials."), "gcloud auth application-default login"},
		"events, no permission":         {[]string{"events"}, 200, "{}", status.Error(codes.PermissionDenied, "User not authorized to perform this action."), "mend it: "},
		"events, a project of no loop":  {[]string{"events"}, 200, "{}", status.Error(codes.NotFound, "Resource not found (resource=dead-letters)."), "litterloop up --project streets-1"},
		"events, a project of nobody's": {[]string{"events"}, 200, "{}", status.Error(codes.NotFound, "Requested project not found or user does not have access to it (project=streets-1)."), "gcloud projects list"},
	} {
		t.Run(name, func(t *testing.T) {
			refusing(t, c.code, c.body, c.grpc)
			code, _, said := litterloop(t, append(c.args, "--project", "streets-1")...)
			last := said[strings.LastIndex(strings.TrimSpace(said), "\n")+1:]
			if code != 1 || !strings.Contains(last, "mend it: ") || !strings.Contains(last, c.want) {
				t.Errorf("%d %q, want %s", code, said, c.want)
			}
		})
	}
}

// A machine without credentials is told so before anything is tried, also where
// a metadata server is named that nobody runs any more.
func TestProject_noCredentialsIsOneLine(t *testing.T) {
	photo := filepath.Join(batch(t), "a.jpg")
	home := t.TempDir()
	expired := filepath.Join(home, "expired.json")
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"error":"invalid_grant","error_description":"Token has been expired or revoked."}`)
	}))
	t.Cleanup(tokens.Close)
	key := fmt.Sprintf(`{"type":"external_account","audience":"a","subject_token_type":"urn:ietf:params:oauth:token-type:jwt","token_url":%q,"credential_source":{"file":%q}}`, tokens.URL, expired)
	if err := os.WriteFile(expired, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	nobody := httptest.NewServer(http.NotFoundHandler()) // the metadata server of a machine without an account
	t.Cleanup(nobody.Close)
	noAccount := nobody.Listener.Addr().String()
	every := [][]string{{"drop", filepath.Dir(photo)}, {"status"}, {"events"}, {"predict", photo}, {"drift"}}
	const signIn = "gcloud auth application-default login"
	for name, env := range map[string]struct {
		metadata, file string
		commands       [][]string
		want           string
	}{
		"none":               {noAccount, "", every, "there are no credentials on this machine; mend it: " + signIn},
		"no metadata server": {"127.0.0.1:1", "", every[1:2], "there are no credentials on this machine; mend it: " + signIn},
		"not valid":          {noAccount, expired, every, "the credentials are not valid any more; mend it: " + signIn},
		"no such file":       {noAccount, filepath.Join(home, "gone.json"), every, "GOOGLE_APPLICATION_CREDENTIALS names no file with credentials; mend it: unset GOOGLE_APPLICATION_CREDENTIALS; " + signIn},
	} {
		for _, args := range env.commands {
			t.Run(name+", "+args[0], func(t *testing.T) {
				setenv(t, []string{"HOME=" + home, "CLOUDSDK_CONFIG=" + home, "GOOGLE_APPLICATION_CREDENTIALS=" + env.file, "GCE_METADATA_HOST=" + env.metadata,
					"STORAGE_EMULATOR_HOST=", "PUBSUB_EMULATOR_HOST=", "RUN_EMULATOR_HOST=", "MONITORING_EMULATOR_HOST="})
				code, out, said := litterloop(t, append(args, "--project", "streets-1")...)
				if want := "litterloop: " + env.want + "\n"; code != 1 || out != "" || said != want {
					t.Errorf("%d %q %q, want %q", code, out, said, want)
				}
			})
		}
	}
}
