// Package export decides where a process's spans and metrics go: to an OTLP
// endpoint, to a file, or nowhere. One call sets a process up. Nothing here may
// fail or hold up the work that it tells of: what cannot be delivered in a
// bounded time is dropped.
package export

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/litterloop/litterloop/shared/telemetry"
)

// Options of a process.
type Options struct {
	Service string // OTEL_SERVICE_NAME takes its place
	Version string
	Getenv  func(string) string
	// File takes spans where the environment names no other exporter; "" for none.
	File string
	// Google sends spans to Google Cloud's own OTLP endpoint where the environment
	// names no other destination.
	Google bool
	// Always records every span, however the caller has sampled: the loop passes
	// seldom, and each pass counts. Otherwise the caller's choice is followed, as
	// for the requests of a busy service. OTEL_TRACES_SAMPLER takes its place.
	Always bool
	// Client makes the HTTP client for Google's own OTLP endpoint, which asks for
	// credentials; nil where there is none.
	Client func(context.Context) (*http.Client, error)
	// Readers read metrics beside OTLP, such as a Prometheus exporter.
	Readers []sdkmetric.Reader
	Log     *slog.Logger
}

// Provider is a process's telemetry; Shutdown ends it.
type Provider struct {
	traces  *sdktrace.TracerProvider
	metrics *sdkmetric.MeterProvider
	flush   bool // there is something to flush before the processor may be taken away
	log     *slog.Logger

	mu      sync.Mutex
	metered time.Time // metrics were last sent
	retry   time.Time // no flush before
}

// Start sets the process up and makes the provider OpenTelemetry's global one.
// An environment that cannot be followed is an error.
func Start(ctx context.Context, o Options) (*Provider, error) {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { o.Log.Debug("telemetry", "error", err) }))
	otel.SetTextMapPropagator(propagation.TraceContext{})
	r, err := newResource(o)
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	p := &Provider{log: o.Log}
	traces, err := spanOption(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	var tracers trace.TracerProvider = noop.NewTracerProvider()
	if traces != nil {
		options := []sdktrace.TracerProviderOption{sdktrace.WithResource(r), traces}
		if o.Getenv("OTEL_TRACES_SAMPLER") == "" {
			options = append(options, sdktrace.WithSampler(sampler(o.Always)))
		}
		p.traces = sdktrace.NewTracerProvider(options...)
		tracers = ours{p.traces}
	}
	reader, err := metricReader(ctx, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("telemetry: %w", err), p.Shutdown(ctx))
	}
	readers := o.Readers
	if reader != nil {
		readers = append(readers[:len(readers):len(readers)], reader)
	}
	if len(readers) > 0 {
		options := []sdkmetric.Option{sdkmetric.WithResource(r)}
		for _, reader := range readers {
			options = append(options, sdkmetric.WithReader(reader))
		}
		p.metrics = sdkmetric.NewMeterProvider(options...)
		otel.SetMeterProvider(ourMeters{p.metrics})
	}
	p.flush = reader != nil || destination(o, "TRACES") == otlp
	otel.SetTracerProvider(tracers)
	return p, nil
}

func sampler(always bool) sdktrace.Sampler {
	if always {
		return sdktrace.AlwaysSample()
	}
	return sdktrace.ParentBased(sdktrace.AlwaysSample())
}

// ours records the loop's own spans. Google's client libraries make one for each
// object and request; a data set has thousands, which would bury, and cost more
// than, everything else.
type ours struct{ trace.TracerProvider }

// Tracer implements trace.TracerProvider.
func (o ours) Tracer(name string, options ...trace.TracerOption) trace.Tracer {
	if name != telemetry.Scope {
		return noop.NewTracerProvider().Tracer(name)
	}
	return ourTracer{o.TracerProvider.Tracer(name, options...), o}
}

type ourTracer struct {
	trace.Tracer
	of ours
}

// Start implements trace.Tracer.
func (t ourTracer) Start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	ctx, span := t.Tracer.Start(ctx, name, options...)
	span = ourSpan{span, t.of}
	return trace.ContextWithSpan(ctx, span), span
}

// ourSpan keeps libraries from going around ours: instrumented HTTP clients ask
// the span that they find in the context for its provider.
type ourSpan struct {
	trace.Span
	of ours
}

// TracerProvider implements trace.Span.
func (s ourSpan) TracerProvider() trace.TracerProvider { return s.of }

// ourMeters likewise leaves out the libraries' metrics, which have a series for
// each address that a client spoke to.
type ourMeters struct{ metric.MeterProvider }

// Meter implements metric.MeterProvider.
func (o ourMeters) Meter(name string, options ...metric.MeterOption) metric.Meter {
	if name != telemetry.Scope {
		return noopmetric.NewMeterProvider().Meter(name)
	}
	return o.MeterProvider.Meter(name, options...)
}

const (
	// flushTimeout bounds what a request waits for its spans to leave.
	flushTimeout = time.Second
	// flushPause keeps requests from waiting for a collector that is away.
	flushPause = 30 * time.Second
	// metricsEvery is how often requests send metrics. Cloud Monitoring takes a
	// point of a series every 5 seconds.
	metricsEvery = 10 * time.Second
)

// Flush sends what waits, within a second; call it at the end of each request
// where the processor is taken away between requests. While the collector is
// away it returns at once.
func (p *Provider) Flush(ctx context.Context) {
	if p == nil || !p.flush {
		return
	}
	now := time.Now()
	p.mu.Lock()
	if now.Before(p.retry) {
		p.mu.Unlock()
		return
	}
	metered := now.Sub(p.metered) >= metricsEvery
	if metered {
		p.metered = now
	}
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	if err := p.force(ctx, metered); err != nil {
		p.mu.Lock()
		p.retry = time.Now().Add(flushPause)
		p.mu.Unlock()
		p.log.Warn("telemetry cannot be delivered; spans and metrics are dropped", "error", err, "again_in", flushPause)
	}
}

// force sends spans and metrics side by side.
func (p *Provider) force(ctx context.Context, metered bool) error {
	var faults [2]error
	var wait sync.WaitGroup
	if p.traces != nil {
		wait.Go(func() { faults[0] = p.traces.ForceFlush(ctx) })
	}
	if p.metrics != nil && metered {
		wait.Go(func() { faults[1] = p.metrics.ForceFlush(ctx) })
	}
	wait.Wait()
	return errors.Join(faults[:]...)
}

// ShutdownOnTerm waits for SIGTERM, shuts down, and lets the signal end the
// process as it would have: for programs whose main is not the loop's own.
func (p *Provider) ShutdownOnTerm() {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	<-term
	if err := p.Shutdown(context.Background()); err != nil {
		p.log.Warn("telemetry was not delivered", "error", err)
	}
	signal.Stop(term)
	if self, err := os.FindProcess(os.Getpid()); err != nil || self.Signal(syscall.SIGTERM) != nil {
		os.Exit(128 + int(syscall.SIGTERM))
	}
}

// shutdownTimeout bounds the last flush: SIGTERM leaves ten seconds for
// everything.
const shutdownTimeout = 2 * time.Second

// Shutdown sends what waits, within two seconds, and ends the provider. The
// process goes on without telemetry. What could not be sent is an error, for the
// log alone.
func (p *Provider) Shutdown(ctx context.Context) error {
	if p == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	var faults [2]error
	var wait sync.WaitGroup
	if p.traces != nil {
		otel.SetTracerProvider(noop.NewTracerProvider())
		wait.Go(func() { faults[0] = p.traces.Shutdown(ctx) })
	}
	if p.metrics != nil {
		wait.Go(func() { faults[1] = p.metrics.Shutdown(ctx) })
	}
	wait.Wait()
	return errors.Join(faults[:]...)
}
