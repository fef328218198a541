package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/litterloop/litterloop"
	"github.com/litterloop/litterloop/cmd/litterloop/local"
	"github.com/litterloop/litterloop/shared/event"
)

const samples = "../../docs/events/"

// TestMain is also the program under test, and what the local cloud starts as
// its containers; those have nothing to do here.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv("FUNCTION_TARGET") != "":
		main()
	case len(os.Args) > 1 && (os.Args[1] == "trainer" || os.Args[1] == "detector"):
	default:
		os.Exit(m.Run())
	}
}

func sample(t *testing.T, name string) []byte {
	t.Helper()
	p, err := os.ReadFile(samples + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// targets are the functions that the samples are sent to; every function has
// one of its own name.
func targets(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(samples + "*.json")
	if err != nil {
		t.Fatal(err)
	}
	to := map[string]string{}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".json")
		to[name] = name
	}
	to["retrain"] = "train"
	for _, f := range litterloop.Functions {
		if to[f.Name] == "" {
			t.Errorf("docs/events has no sample for the function %s", f.Name)
		}
	}
	return to
}

func TestSamples_decode(t *testing.T) {
	types := map[string]event.Type{
		"convert": event.ObjectFinalized, "validate": event.ObjectFinalized,
		"train": event.Train, "retrain": event.Retrain, "register": event.Register, "deploy": event.Deploy,
	}
	for name := range targets(t) {
		if name == "drift" { // the Scheduler's call is no event
			continue
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(sample(t, name)))
		r.Header.Set("Content-Type", "application/json")
		e, err := event.Decode(r)
		if err != nil || e.Type != types[name] || e.ID == "" || !json.Valid(e.Data) {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
}

// Any function runs alone under FUNCTION_TARGET, against any deployment that the
// environment names, and answers its sample as curl sends it.
func TestFunctions_eachAloneAnswersItsSample(t *testing.T) {
	loop, err := local.Start(t.Context(), local.Options{State: t.TempDir(), Schedule: "0 4 1 1 *", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer loop.Close(t.Context())
	for name, target := range targets(t) {
		t.Run(name, func(t *testing.T) {
			url := serve(t, target, loop.Cloud.Endpoints.Environ())
			resp, err := http.Post(url, "application/json", bytes.NewReader(sample(t, name)))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			answer, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNoContent {
				t.Errorf("%s: %s", resp.Status, answer)
			}
		})
	}
}

// serve runs one function in a process of its own and returns its address.
func serve(t *testing.T, target string, env []string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	var output bytes.Buffer
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), env...), "FUNCTION_TARGET="+target, "PORT="+strconv.Itoa(port))
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("output of %s:\n%s", target, &output)
		}
	})
	address := fmt.Sprintf("127.0.0.1:%d", port)
	for poll := time.NewTicker(10 * time.Millisecond); ; {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			poll.Stop()
			return "http://" + address + "/"
		}
		select {
		case <-ended:
			t.Fatal("the function ended before it listened")
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-poll.C:
		}
	}
}
