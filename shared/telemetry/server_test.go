package telemetry

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHandler_linesNameTheCallersTrace(t *testing.T) {
	var out bytes.Buffer
	env := map[string]string{"K_SERVICE": "tracking", "GOOGLE_CLOUD_PROJECT": "streets"}
	log := Logger(&out, func(k string) string { return env[k] })
	h := Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		log.WarnContext(r.Context(), "page not shown")
	}), "/health")
	for _, path := range []string{"/health", "/loop"} {
		out.Reset()
		req := httptest.NewRequest(http.MethodGet, path, nil)
		req.Header.Set(Traceparent, carried)
		h.ServeHTTP(httptest.NewRecorder(), req)
		told := strings.Contains(out.String(), `"logging.googleapis.com/trace":"projects/streets/traces/0af7651916cd43dd8448eb211c80319c"`)
		if told != (path == "/loop") {
			t.Errorf("%s: %s", path, out.String())
		}
	}
}

func TestHandler_aPanicGoesOn(t *testing.T) {
	h := Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("the panic was swallowed: half an answer would look whole")
		}
	}()
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
}

func TestRoute_isThePatternNeverThePath(t *testing.T) {
	mux := http.NewServeMux()
	var got string
	mux.HandleFunc("GET /runs/{id}", func(_ http.ResponseWriter, r *http.Request) { got = Route(r) })
	mux.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/runs/of-somebody", nil))
	if got != "/runs/{id}" {
		t.Errorf("route %q", got)
	}
	if got := Route(httptest.NewRequest(http.MethodGet, "/x", nil)); got != "unknown" {
		t.Errorf("route %q", got)
	}
}
