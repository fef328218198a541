package run_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"cloud.google.com/go/run/apiv2/runpb"
	"github.com/google/go-cmp/cmp"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/litterloop/litterloop/localcloud/run"
)

var faultsOnce = run.Faults{Committed: func(method string) error {
	if strings.HasSuffix(method, "/CreateJob") {
		return status.Error(codes.Unavailable, "the connection broke")
	}
	return nil
}}

// host starts a server in a process of its own.
func host(t *testing.T, dir string) (*exec.Cmd, *cloud) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "host", dir)
	cmd.Env = append(os.Environ(), child+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return cmd, dial(t, strings.TrimSpace(addr))
}

func TestKill9_nothingDeclaredIsLostAndNoProcessIsLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd, c := host(t, dir)
	before := must(c.create(t, "litter", template("litter-v1", "server"), to("litter-v1", 100, "v1")))(t)
	c.job(t, 0, "block", "1")
	over, started := startSignal(t)
	op, execution := c.run(t, over)
	<-started
	port, _, _ := get(t, before.Uri+"/port")
	// A connection straight to the revision's process ends when that does.
	resp := must(http.Get("http://127.0.0.1:" + port + "/hold"))(t)
	defer resp.Body.Close()

	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the revision's process answered after its parent was killed")
	}

	_, c = host(t, dir)
	after := must(c.services.GetService(t.Context(), &runpb.GetServiceRequest{Name: before.Name}))(t)
	if diff := cmp.Diff(before.Uri, after.Uri); diff != "" {
		t.Error(diff)
	}
	if _, h, code := get(t, after.Uri+"/pid"); code != 200 || h.Get(run.RevisionHeader) != "litter-v1" {
		t.Errorf("after the crash: %d from %q", code, h.Get(run.RevisionHeader))
	}
	c.settle(t, op) // operations outlive the process too
	if diff := cmp.Diff(counts{Succeeded: 1}, count(c.execution(t, execution))); diff != "" {
		t.Error(diff)
	}
}

func TestKill9_aRevisionThatWasStartingIsStartedAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd, c := host(t, dir)
	must(c.create(t, "litter", template("litter-v1", "server"), to("litter-v1", 100)))(t)
	gate := filepath.Join(dir, "gate")
	s := must(c.services.GetService(t.Context(), &runpb.GetServiceRequest{Name: parent + "/services/litter"}))(t)
	s.Template, s.Traffic = template("litter-v2", "server", "READY_FILE="+gate), []*runpb.TrafficTarget{to("litter-v2", 100)}
	op := must(c.services.UpdateService(t.Context(), &runpb.UpdateServiceRequest{Service: s}))(t)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()

	_, c = host(t, dir)
	if _, h, code := get(t, s.Uri+"/pid"); code != 200 || h.Get(run.RevisionHeader) != "litter-v1" {
		t.Errorf("meanwhile: %d from %q", code, h.Get(run.RevisionHeader))
	}
	if err := os.WriteFile(gate, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c.settle(t, op.Name())
	if _, h, code := get(t, s.Uri+"/pid"); code != 200 || h.Get(run.RevisionHeader) != "litter-v2" {
		t.Errorf("in the end: %d from %q", code, h.Get(run.RevisionHeader))
	}
}

// What Linux' death signal does not reach, such as a child's own children, is
// found by its record; a number that meanwhile belongs to another process is
// not touched.
func TestNew_killsWhatAPredecessorLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	exe := must(os.Executable())(t)
	start := func() (*exec.Cmd, <-chan error) {
		cmd := exec.Command(exe, "server")
		cmd.Env = []string{child + "=1", "PORT=0"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		t.Cleanup(func() { cmd.Process.Kill() })
		return cmd, ended
	}
	left, leftEnded := start()
	other, otherEnded := start()
	if err := os.MkdirAll(filepath.Join(dir, "processes"), 0o755); err != nil {
		t.Fatal(err)
	}
	for pid, started := range map[int]string{left.Process.Pid: run.StartTime(left.Process.Pid), other.Process.Pid: "an earlier time"} {
		p := fmt.Appendf(nil, `{"name":"x","pid":%d,"started":%q}`, pid, started)
		if err := os.WriteFile(filepath.Join(dir, "processes", strconv.Itoa(pid)+".json"), p, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	open(t, options(dir))
	if err := <-leftEnded; err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the leftover ended with %v", err)
	}
	select {
	case err := <-otherEnded:
		t.Errorf("a process of the same number was killed: %v", err)
	default:
	}
}
