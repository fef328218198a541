package service

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestMetrics_exemplarsNameTheTrace: from a slow bucket of the latency histogram
// one comes to the very request, where the scraper speaks OpenMetrics.
func TestMetrics_exemplarsNameTheTrace(t *testing.T) {
	const sampled, unsampled = "0af7651916cd43dd8448eb211c80319c", "1bf7651916cd43dd8448eb211c80319c"
	s := start(t, nil)
	send := func(method, path string, body []byte, header ...string) []byte {
		req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		p, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %s (%v): %s", method, path, resp.Status, err, p)
		}
		return p
	}
	photo := read(t, testdata+"exact.png")
	for trace, flag := range map[string]string{sampled: "01", unsampled: "00"} {
		send(http.MethodPost, "/v1/detect", photo, "Content-Type", "image/png", "Traceparent", "00-"+trace+"-b7ad6b7169203331-"+flag)
	}
	open := string(send(http.MethodGet, "/metrics", nil, "Accept", "application/openmetrics-text; version=1.0.0"))
	for _, histogram := range []string{"litterloop_request_seconds_bucket", "litterloop_step_seconds_bucket"} {
		found := false
		for line := range strings.Lines(open) {
			found = found || strings.HasPrefix(line, histogram) && strings.Contains(line, `# {trace_id="`+sampled+`"}`)
		}
		if !found {
			t.Errorf("no bucket of %s has the trace as its exemplar", histogram)
		}
	}
	if strings.Contains(open, unsampled) {
		t.Error("an exemplar names a trace that nobody kept")
	}
	if plain := send(http.MethodGet, "/metrics", nil, "Accept", "text/plain"); bytes.Contains(plain, []byte("trace_id")) {
		t.Error("plain Prometheus text, which knows no exemplars, holds one")
	}
}
