//go:build peers

package mlflow_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/tracking/mlflow"
	"github.com/litterloop/litterloop/shared/venv"
)

// newMLflow starts MLflow's own server on SQLite.
func newMLflow(t *testing.T) *mlflow.Client {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	python, err := venv.Make(t.Context(), filepath.Join(cache, "litterloop"), "mlflow-server", []byte("mlflow==3.17.2\n"), t.Output())
	if err != nil {
		t.Skipf("no MLflow: %v", err)
	}
	bin := filepath.Dir(python)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	dir := t.TempDir()
	cmd := exec.Command(python, "-m", "mlflow", "server", "--workers", "1", "--port", fmt.Sprint(port),
		"--backend-store-uri", "sqlite:///"+filepath.Join(dir, "db"), "--artifacts-destination", filepath.Join(dir, "files"))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "MLFLOW_DISABLE_TELEMETRY=true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false", "GIT_PYTHON_REFRESH=quiet")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // with its workers
		_ = cmd.Wait()
		log.Close()
	})
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	tick := time.NewTicker(300 * time.Millisecond) // another program's start has no other sign
	defer tick.Stop()
	for deadline := time.After(4 * time.Minute); ; {
		if a, err := http.Get(url + "/health"); err == nil {
			a.Body.Close()
			return mlflow.NewClient(url, http.DefaultClient, nil)
		}
		select {
		case <-tick.C:
		case <-deadline:
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("MLflow does not start:\n%s", text)
		}
	}
}

// Runs and models go to MLflow's own server and from there to one of ours, and
// nothing is lost; repeated, nothing is copied twice.
func TestPeers_copyToMLflowAndBack(t *testing.T) {
	peer := newMLflow(t)
	source, back := newPlace(t), newPlace(t)
	source.fill(t)
	want := told(t, source)
	for _, step := range []struct {
		name     string
		from, to *mlflow.Client
	}{{"to MLflow", source.Client, peer}, {"from MLflow", peer, back.Client}} {
		if rep := copyAll(t, step.from, mlflow.NewServer(step.to)); rep.Runs != 2 || rep.Versions != 2 || len(rep.Clashes) > 0 {
			t.Errorf("%s: %+v", step.name, rep)
		}
		if diff := cmp.Diff(want, told(t, step.to)); diff != "" {
			t.Errorf("%s (-source +copy): %s", step.name, diff)
		}
		if rep := copyAll(t, step.from, mlflow.NewServer(step.to)); rep.Runs != 0 || rep.Versions != 0 || rep.Already != 2 || len(rep.Clashes) > 0 {
			t.Errorf("%s, again: %+v", step.name, rep)
		}
	}
}
