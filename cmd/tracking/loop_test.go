package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/storage"

	"github.com/litterloop/litterloop/cmd/internal/tracker"
	"github.com/litterloop/litterloop/localcloud"
	"github.com/litterloop/litterloop/shared/telemetry"
	"github.com/litterloop/litterloop/shared/telemetry/otlptest"
)

// serve runs the tracking server beside a local cloud, as a service of Cloud Run
// has it, and returns its address and its log; stop ends it.
func serve(t *testing.T, env map[string]string) (address string, log *bytes.Buffer, stop func()) {
	t.Helper()
	cloud, err := localcloud.Start(t.Context(), localcloud.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cloud.Close(context.Background()) })
	for _, kv := range cloud.Endpoints.Environ() { // Google's clients read the process's own
		k, v, _ := strings.Cut(kv, "=")
		t.Setenv(k, v)
	}
	for k, v := range env {
		t.Setenv(k, v)
	}
	client, err := storage.NewClient(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, part := range []string{"models", "datasets", "predictions", "ledger"} { // not incoming: it may not read that
		if err := client.Bucket("local-"+part).Create(t.Context(), "local", nil); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = "http://" + l.Addr().String()
	o := tracker.Options{Bucket: "local-models", Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port}
	l.Close()
	log = &bytes.Buffer{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- tracker.Serve(ctx, o, os.Getenv, telemetry.Logger(log, os.Getenv)) }()
	stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if res, err := http.Get(address + "/health"); err == nil {
			res.Body.Close()
			return address, log, stop
		}
		select {
		case err := <-ended:
			t.Fatal(err)
		case <-tick.C:
		}
	}
}

func ask(t *testing.T, method, url, traceparent string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("traceparent", traceparent)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

const (
	caller = "0af7651916cd43dd8448eb211c80319c"
	parent = "b7ad6b7169203331"
)

// The page of the loop needs the deployment's buckets, Cloud Run and Cloud
// Monitoring, and reads none that it may not.
func TestServe_showsTheLoop(t *testing.T) {
	address, _, stop := serve(t, nil)
	defer stop()
	code, page := ask(t, http.MethodGet, address+"/loop", "")
	if code != http.StatusOK || !strings.Contains(page, "<h1>The loop</h1>") || !strings.Contains(page, "nothing was dropped yet") {
		t.Errorf("%d %s", code, page)
	}
	if _, first := ask(t, http.MethodGet, address+"/", ""); !strings.Contains(first, `href="/loop"`) {
		t.Error("the first page does not lead to the loop")
	}
}

// What a client asks is in the client's trace, and so are the lines that the
// server logs of it; probes leave nothing.
func TestServe_isPartOfTheCallersTrace(t *testing.T) {
	collector := otlptest.Start(t)
	address, log, stop := serve(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL, "K_SERVICE": "tracking"})
	ask(t, http.MethodPost, address+"/api/2.0/mlflow/experiments/search", "00-"+caller+"-"+parent+"-01")
	ask(t, http.MethodGet, address+"/loop", "00-"+caller+"-"+parent+"-01")
	ask(t, http.MethodGet, address+"/runs/nosuchrun", "00-"+caller+"-"+parent+"-00") // the caller does not record
	stop()
	got := map[string]bool{}
	for _, s := range collector.Spans(t, "of the loop's page", func(s otlptest.Span) bool { return s.Name == "GET /loop" }) {
		if s.Service != "tracking" || s.Trace != caller || s.Parent != parent {
			t.Errorf("span %+v", s)
		}
		got[s.Name] = true
	}
	if len(got) != 2 || !got["POST /api/2.0/mlflow/experiments/search"] {
		t.Errorf("spans %v", got)
	}
	if !strings.Contains(log.String(), `"severity":"INFO"`) {
		t.Errorf("no log for Cloud Logging: %s", log)
	}
}
