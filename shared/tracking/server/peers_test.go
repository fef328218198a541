//go:build peers

package server_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// python is the interpreter of the virtual environment with MLflow's client.
func python(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	p := filepath.Join(cache, "litterloop", "peers-mlflow", "bin", "python")
	if _, err := os.Stat(p); err != nil {
		t.Skipf("no MLflow: make a virtual environment at %s and install mlflow-skinny==3.17.2 pandas numpy onnx onnxruntime pillow", filepath.Dir(filepath.Dir(p)))
	}
	return p
}

// The unmodified client, through its whole surface, has the results that it has
// with MLflow's own server.
func TestPeers_clientDrivesTheServer(t *testing.T) {
	contract, err := filepath.Abs(filepath.Join("..", "..", "..", "..", "shared", "contracts", "mlflow"))
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(contract, "drive.py")
	expected, err := os.ReadFile(filepath.Join(contract, "drive.expected.json"))
	if err != nil {
		t.Skipf("no recorded results: %v", err)
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), python(t), script)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "MLF_URL="+newServer(t).URL)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var want [][2]string
	if err := json.Unmarshal(expected, &want); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "client", "ids.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Res [][2]string }
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	for i, r := range got.Res {
		kind, _, _ := strings.Cut(r[1], ":")
		// The newest version lies on gs://, where the client goes by itself: it
		// fails for want of Google's library, or of the bucket.
		if r[0] == "load_model_latest" && kind == "ERR ModuleNotFoundError" {
			kind = "ERR RetryError"
		}
		if strings.HasPrefix(kind, "ERR") {
			got.Res[i][1] = kind
		}
	}
	if diff := cmp.Diff(want, got.Res); diff != "" {
		t.Errorf("(-MLflow +ours):\n%s", diff)
	}
}
