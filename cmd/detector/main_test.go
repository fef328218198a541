package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/litterloop/litterloop/shared/detector/service"
	"github.com/litterloop/litterloop/shared/onnxruntime"
	"github.com/litterloop/litterloop/shared/predictionlog"
)

const testdata = "../../shared/detector/testdata/"

// TestMain is also the program itself, for the tests that need its process.
func TestMain(m *testing.M) {
	if os.Getenv("DETECTOR_TEST") == "" {
		os.Exit(m.Run())
	}
	main()
}

// program is this command with arguments and settings.
func program(ctx context.Context, t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(ctx, self, args...)
	c.Env = append(append(os.Environ(), "DETECTOR_TEST=1"), env...)
	return c
}

func TestMain_help(t *testing.T) {
	out, err := program(t.Context(), t, nil, "--help").Output()
	if err != nil || string(out) != service.Help() {
		t.Errorf("%v: %s", err, out)
	}
}

func TestMain_faults(t *testing.T) {
	out, err := program(t.Context(), t, []string{"MODEL_URI=", "WORKERS=many"}, "--port=x").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "MODEL_URI is not set") || !strings.Contains(string(out), "WORKERS") || !strings.Contains(string(out), "--port") {
		t.Errorf("%v: %s", err, out)
	}
}

// process is a running detector.
type process struct {
	*exec.Cmd
	url    string
	stderr *bytes.Buffer
}

func startProcess(ctx context.Context, t *testing.T, env ...string) process {
	t.Helper()
	if err := onnxruntime.Init(); err != nil {
		t.Skip(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free now
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr)
	l.Close()
	p := process{program(ctx, t, append([]string{"HOST=127.0.0.1", fmt.Sprint("PORT=", addr.Port)}, env...)), "http://" + addr.String(), new(bytes.Buffer)}
	p.Stderr = p.stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Process.Kill() })
	for {
		resp, err := http.Get(p.url + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return p
			}
		}
		if p.Process.Signal(syscall.Signal(0)) != nil || t.Context().Err() != nil {
			t.Fatalf("the detector ended: %s", p.stderr)
		}
	}
}

// refused says that a connection never became a request in work: it was not
// taken, or given back untouched because the service ended.
func refused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF)
}

// SIGTERM comes under load, with one photo on its way: whatever was taken is
// answered, every answer is in the log, and the process ends well before the
// platform's ten seconds are over.
func TestMain_SIGTERMUnderLoad(t *testing.T) {
	photo, err := os.ReadFile(testdata + "wide.jpg")
	if err != nil {
		t.Fatal(err)
	}
	log := t.TempDir()
	p := startProcess(t.Context(), t, "MODEL_URI="+testdata+"dynamic.onnx", "PREDICTION_LOG="+log)

	body, rest := io.Pipe()
	late := make(chan string, 1)
	go func() {
		a, _ := detect(t, http.DefaultClient, p.url, body)
		late <- a
	}()
	if _, err := rest.Write(photo[:100]); err != nil {
		t.Fatal(err)
	}

	var mu sync.Mutex
	answered := map[string]bool{}
	var callers sync.WaitGroup
	warm := make(chan struct{}, 1)
	for range 8 {
		callers.Go(func() {
			client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
			defer client.CloseIdleConnections()
			for {
				id, err := detect(t, client, p.url, bytes.NewReader(photo))
				if err != nil {
					if !refused(err) {
						t.Errorf("a request was lost: %v", err)
					}
					return
				}
				mu.Lock()
				if answered[id] = true; len(answered) == 50 {
					warm <- struct{}{}
				}
				mu.Unlock()
			}
		})
	}
	<-warm
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	overdue := time.AfterFunc(time.Minute, func() { p.Process.Kill() }) // as the platform would, sooner
	defer overdue.Stop()
	callers.Wait() // the port is closed
	if _, err := rest.Write(photo[100:]); err != nil {
		t.Error(err)
	}
	rest.Close()
	if id := <-late; id == "" {
		t.Error("the photo that was on its way is not answered")
	} else {
		answered[id] = true
	}
	if err := p.Wait(); err != nil {
		t.Fatalf("%v: %s", err, p.stderr)
	}
	logged := rows(t, log)
	for id := range answered {
		if !logged[id] {
			t.Errorf("answer %s is not in the log", id)
		}
	}
	if len(answered) < 51 {
		t.Errorf("%d answers", len(answered))
	}
}

// detect returns the answer's id.
func detect(t *testing.T, client *http.Client, url string, photo io.Reader) (string, error) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/detect", photo)
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "image/jpeg")
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var a service.Answer
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil || resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %v", resp.Status, err)
	}
	return a.ID, nil
}

// rows are the ids in a log's directory.
func rows(t *testing.T, dir string) map[string]bool {
	t.Helper()
	ids := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".parquet" {
			return err
		}
		p, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rows, err := predictionlog.ReadFile(bytes.NewReader(p), int64(len(p)))
		for _, r := range rows {
			ids[r.ID] = true
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return ids
}
