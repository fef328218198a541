package export

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.opentelemetry.io/otel"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/telemetry"
	"github.com/litterloop/litterloop/shared/telemetry/otlptest"
)

func begin(t *testing.T, env map[string]string, change func(*Options)) *Provider {
	t.Helper()
	o := Options{Service: "test", Version: "v1", Getenv: func(k string) string { return env[k] }, Always: true, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&o)
	}
	for k, v := range env { // the exporters read the process's own
		t.Setenv(k, v)
	}
	p, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Shutdown(context.Background()) })
	return p
}

func TestFile_holdsOneTraceOfSeveralProcesses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a", "traces.jsonl")
	begin(t, nil, func(o *Options) { o.File, o.Service = file, "first" })
	ctx, drop := telemetry.Start(t.Context(), "drop")
	carried := telemetry.Environ(ctx)
	begin(t, nil, func(o *Options) { o.File, o.Service = file, "second" })
	ctx = telemetry.FromEnviron(context.Background(), func(k string) string { return carried[k] })
	_, client := otel.Tracer("some/client/library").Start(ctx, "one of thousands")
	client.End()
	_, client = drop.TracerProvider().Tracer("go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp").Start(ctx, "HTTP GET")
	client.End()
	failure := errs.Permanentf("bad-input", "no photo")
	_ = telemetry.Handle(ctx, "convert", "object-finalized", func(ctx context.Context) error {
		_, inner := telemetry.Start(ctx, "read")
		inner.End(&failure)
		return failure
	})
	var none error
	drop.End(&none)
	spans, err := ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	traces := Traces(spans)
	if len(traces) != 1 || len(traces[0].Roots) != 1 || traces[0].Spans != 3 {
		t.Fatalf("traces %+v, want one of three spans", traces)
	}
	root := traces[0].Roots[0]
	var chain []string
	for n := root; n != nil; {
		chain = append(chain, n.Service+": "+n.Name+" "+n.Error)
		if len(n.Children) == 0 {
			break
		}
		n = n.Children[0]
	}
	want := []string{"first: drop ", "second: convert object-finalized no photo", "second: read no photo"}
	if d := cmp.Diff(want, chain); d != "" {
		t.Errorf("tree (-want +got):\n%s", d)
	}
	if got := root.Children[0].Attributes["error.type"]; got != "bad-input" {
		t.Errorf("error.type %v", got)
	}
}

func TestTraces_orphansAreRootsThatSaySo(t *testing.T) {
	at := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	spans := []Span{{Trace: "a", Span: "2", Parent: "1", Name: "late", Start: at.Add(time.Second)}, {Trace: "a", Span: "3", Name: "early", Start: at}, {Trace: "b", Span: "2", Name: "other", Start: at.Add(-time.Second)}}
	got := Traces(spans)
	want := []Trace{
		{ID: "b", Spans: 1, Roots: []*Node{{Span: spans[2]}}},
		{ID: "a", Spans: 2, Roots: []*Node{{Span: spans[1]}, {Span: spans[0], Orphan: true}}},
	}
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(Trace{}, "Start", "End")); d != "" {
		t.Errorf("traces (-want +got):\n%s", d)
	}
}

func TestOTLP_isSentAtTheEndOfARequest(t *testing.T) {
	paths := make(chan string, 4)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		paths <- r.URL.Path
	}))
	defer collector.Close()
	p := begin(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL}, nil)
	_ = telemetry.Handle(t.Context(), "train", "train", func(context.Context) error { return nil })
	p.Flush(t.Context())
	got := map[string]bool{<-paths: true, <-paths: true}
	if !got["/v1/traces"] || !got["/v1/metrics"] {
		t.Errorf("sent to %v, want traces and metrics", got)
	}
}

// A collector that never answers holds requests up once, for a second, and then
// no more for a while.
func TestFlush_isBoundedWhileTheCollectorIsAway(t *testing.T) {
	var calls atomic.Int64
	stop := make(chan struct{})
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	}))
	defer collector.Close()
	defer close(stop)
	p := begin(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL, "OTEL_METRICS_EXPORTER": "none"}, nil)
	for range 5 {
		if err := telemetry.Handle(t.Context(), "train", "train", func(context.Context) error { return nil }); err != nil {
			t.Errorf("the work failed for its telemetry: %v", err)
		}
		p.Flush(t.Context())
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("%d requests to a collector that is away, want 1", n)
	}
}

func TestStart_refusesWhatItCannotFollow(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"an exporter of another kind": {map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, "zipkin"},
		"a file without a name":       {map[string]string{"OTEL_TRACES_EXPORTER": "file"}, FileEnv},
		"metrics to a file":           {map[string]string{"OTEL_METRICS_EXPORTER": "file"}, "OTEL_METRICS_EXPORTER"},
		"no credentials":              {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://telemetry.googleapis.com"}, "nobody"},
	} {
		_, err := Start(t.Context(), Options{
			Service: "test", Getenv: func(k string) string { return c.env[k] }, Log: slog.New(slog.DiscardHandler),
			Client: func(context.Context) (*http.Client, error) { return nil, errors.New("nobody is signed in") },
		})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that names %s", name, err, c.want)
		}
	}
}

func TestNone_letsTracesThrough(t *testing.T) {
	p := begin(t, nil, nil)
	in := map[string]string{telemetry.Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	ctx, span := telemetry.Start(telemetry.Continue(t.Context(), in), "work")
	var none error
	span.End(&none)
	if d := cmp.Diff(in, telemetry.Carry(ctx)); d != "" {
		t.Errorf("carried on (-want +got):\n%s", d)
	}
	synctest.Test(t, func(t *testing.T) { p.Flush(t.Context()) }) // waits for nothing
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Whoever asks for Google's own endpoint needs no variable; a variable takes its
// place, and a refusal is nobody's failure.
func TestGoogle_takesSpansThatNobodyElseTakes(t *testing.T) {
	collector := otlptest.Start(t)
	for name, c := range map[string]struct {
		env  map[string]string
		want int
	}{
		"nothing named":    {nil, 1},
		"switched off":     {map[string]string{"OTEL_TRACES_EXPORTER": "none"}, 0},
		"another endpoint": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL, "OTEL_METRICS_EXPORTER": "none"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var sent []string
			p := begin(t, c.env, func(o *Options) {
				o.Google = true
				o.Client = func(context.Context) (*http.Client, error) {
					return &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
						sent = append(sent, r.URL.String())
						return &http.Response{StatusCode: http.StatusForbidden, Body: http.NoBody, Request: r}, nil
					})}, nil
				}
			})
			if err := telemetry.Handle(t.Context(), "drop", "drop", func(context.Context) error { return nil }); err != nil {
				t.Errorf("the work failed for its telemetry: %v", err)
			}
			_ = p.Shutdown(t.Context())
			if len(sent) != c.want || c.want > 0 && sent[0] != "https://telemetry.googleapis.com/v1/traces" {
				t.Errorf("sent to %q, want %d", sent, c.want)
			}
		})
	}
}
