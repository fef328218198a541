// Package otlptest is a collector for tests: it takes OTLP by http/protobuf and
// remembers what it was sent.
package otlptest

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"
)

// Span is a span that was sent.
type Span struct {
	Service, Name, Trace, ID, Parent string
}

// Receiver is a collector.
type Receiver struct {
	URL string // for OTEL_EXPORTER_OTLP_ENDPOINT

	mu      sync.Mutex
	more    chan struct{} // closed when something comes
	spans   []Span
	metrics map[string]int // by "service name": points
}

// Start serves a collector until the test ends.
func Start(t testing.TB) *Receiver {
	t.Helper()
	r := &Receiver{more: make(chan struct{}), metrics: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, q *http.Request) {
		var m tracepb.ExportTraceServiceRequest
		if read(w, q, &m) {
			r.add(func() { r.addSpans(&m) })
		}
	})
	mux.HandleFunc("POST /v1/metrics", func(w http.ResponseWriter, q *http.Request) {
		var m metricspb.ExportMetricsServiceRequest
		if read(w, q, &m) {
			r.add(func() { r.addMetrics(&m) })
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	r.URL = s.URL
	return r
}

func read(w http.ResponseWriter, q *http.Request, m proto.Message) bool {
	body, err := io.ReadAll(q.Body)
	if err == nil {
		err = proto.Unmarshal(body, m)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	return true
}

func (r *Receiver) add(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
	close(r.more)
	r.more = make(chan struct{})
}

func (r *Receiver) addSpans(m *tracepb.ExportTraceServiceRequest) {
	for _, rs := range m.ResourceSpans {
		service := attribute(rs.GetResource().GetAttributes(), "service.name")
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				r.spans = append(r.spans, Span{service, s.Name, hex.EncodeToString(s.TraceId), hex.EncodeToString(s.SpanId), hex.EncodeToString(s.ParentSpanId)})
			}
		}
	}
}

func (r *Receiver) addMetrics(m *metricspb.ExportMetricsServiceRequest) {
	for _, rm := range m.ResourceMetrics {
		service := attribute(rm.GetResource().GetAttributes(), "service.name")
		for _, sm := range rm.ScopeMetrics {
			for _, x := range sm.Metrics {
				r.metrics[service+" "+x.Name] += len(x.GetSum().GetDataPoints()) + len(x.GetGauge().GetDataPoints()) + len(x.GetHistogram().GetDataPoints())
			}
		}
	}
}

func attribute(all []*commonpb.KeyValue, key string) string {
	for _, a := range all {
		if a.Key == key {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

// Spans waits until a span was sent that want accepts, and returns all that were
// sent until then.
func (r *Receiver) Spans(t testing.TB, what string, want func(Span) bool) []Span {
	t.Helper()
	for {
		r.mu.Lock()
		all, more := append([]Span(nil), r.spans...), r.more
		r.mu.Unlock()
		for _, s := range all {
			if want(s) {
				return all
			}
		}
		select {
		case <-more:
		case <-t.Context().Done():
			t.Fatalf("no span %s came; there are %+v", what, all)
		}
	}
}

// Metrics returns how many points came, by "service metric".
func (r *Receiver) Metrics() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]int{}
	for k, n := range r.metrics {
		out[k] = n
	}
	return out
}
