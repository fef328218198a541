package terraform_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// promote runs .ci/promote for a service as gcloud would describe it, with a
// revision under the tag that answers status; it returns what gcloud was asked
// to change.
func promote(t *testing.T, env string, status int) (changes []string, err error) {
	t.Helper()
	for _, tool := range []string{"bash", "curl", "python3"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not on this machine", tool)
		}
	}
	revision := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer for https://litter.run.app" || r.URL.Path != "/readyz" {
			t.Errorf("asked %s with %q", r.URL, r.Header.Get("Authorization"))
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(revision.Close)
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	service := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"env":[%s]}]}}},
"status":{"url":"https://litter.run.app","traffic":[{"revisionName":"a","percent":100},{"revisionName":"b","tag":"candidate","url":%q}]}}`, env, revision.URL)
	stub := "#!/bin/sh\ncase \"$*\" in\n*describe*) cat <<'END'\n" + service + "\nEND\n;;\n*print-identity-token*) echo \"for $4\" ;;\n*) echo \"$*\" >>" + log + " ;;\nesac\n"
	if err := os.WriteFile(filepath.Join(dir, "gcloud"), []byte(stub), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "../.ci/promote", "litter", "detector@sha256:1", "/readyz")
	cmd.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"), "PROMOTE_WAITS=0 0")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	text, readErr := os.ReadFile(log)
	if readErr != nil && !os.IsNotExist(readErr) {
		t.Fatal(readErr)
	}
	for line := range strings.Lines(string(text)) {
		changes = append(changes, strings.TrimSpace(strings.TrimPrefix(line, "run services ")))
	}
	return changes, err
}

const (
	model    = `{"name":"MODEL_URI","value":"models:/litter/3"}`
	revision = "update litter --quiet --no-traffic --tag candidate --container main --image detector@sha256:1"
	traffic  = "update-traffic litter --quiet --to-tags candidate=100"
	untag    = "update-traffic litter --quiet --remove-tags candidate"
)

func TestPromote_givesTrafficToWhatAnswers(t *testing.T) {
	changes, err := promote(t, model, http.StatusOK)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{revision, traffic, untag}, changes); d != "" {
		t.Error(d)
	}
}

func TestPromote_leavesTrafficWhereItIsWhenNothingAnswers(t *testing.T) {
	changes, err := promote(t, model, http.StatusServiceUnavailable)
	if err == nil {
		t.Error("it succeeded")
	}
	if d := cmp.Diff([]string{revision, untag}, changes); d != "" {
		t.Error(d)
	}
}

func TestPromote_leavesAServiceWithoutAModelToItsFirstRollout(t *testing.T) {
	changes, err := promote(t, "", http.StatusOK)
	if err != nil || len(changes) != 0 {
		t.Errorf("%v, %v", changes, err)
	}
}
