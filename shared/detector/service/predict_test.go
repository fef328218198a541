package service

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPredict_asVertexAsks(t *testing.T) {
	s := start(t, func(c *Config, _ *Deps) { c.PredictRoute, c.HealthRoute = "/v1/endpoints/7:predict", "/health" })
	photo := read(t, testdata+"exact.png")
	want := s.detect(t, "?conf=0.4", "image/png", photo)
	text := base64.StdEncoding.EncodeToString(photo)
	body := fmt.Sprintf(`{"instances":[{"content":%q},{"b64":%q}],"parameters":{"conf":0.4}}`, text, text)
	code, _, p := s.do(t, http.MethodPost, "/v1/endpoints/7:predict", "application/json", strings.NewReader(body))
	var out struct{ Predictions []Answer }
	if err := json.Unmarshal(p, &out); code != http.StatusOK || err != nil || len(out.Predictions) != 2 {
		t.Fatalf("%d: %.300s (%v)", code, p, err)
	}
	for _, a := range out.Predictions {
		if d := cmp.Diff(want.Detections, a.Detections); d != "" {
			t.Errorf("differs from /v1/detect:\n%s", d)
		}
	}
	if code, _, _ := s.do(t, http.MethodGet, "/health", "", nil); code != http.StatusOK {
		t.Errorf("/health answers %d", code)
	}
	for name, bad := range map[string]string{
		"no instances":   `{"instances":[]}`,
		"no photo":       `{"instances":[{}]}`,
		"not a photo":    `{"instances":[{"content":"aGVsbG8="}]}`,
		"conf too large": fmt.Sprintf(`{"instances":[{"content":%q}],"parameters":{"conf":4}}`, text),
	} {
		if code, _, p := s.do(t, http.MethodPost, "/v1/endpoints/7:predict", "application/json", strings.NewReader(bad)); code != http.StatusUnprocessableEntity && code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, code, p)
		}
	}
}
