package service

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/litterloop/litterloop/shared/detector"
	"github.com/litterloop/litterloop/shared/predictionlog"
	"github.com/litterloop/litterloop/shared/telemetry"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are a service's own, in a registry of its own.
type metrics struct {
	registry   *prometheus.Registry
	requests   *prometheus.CounterVec
	latency    *prometheus.HistogramVec
	steps      *prometheus.HistogramVec
	inFlight   prometheus.Gauge
	model      *prometheus.GaugeVec
	boxes      *prometheus.CounterVec
	confidence prometheus.Histogram
	skipped    prometheus.Counter
}

// seconds spans a cached answer to a timeout; a detection takes 20 to 100 ms.
var seconds = []float64{.001, .0025, .005, .01, .02, .03, .05, .075, .1, .15, .25, .5, 1, 2.5, 5, 10, 30, 60}

func newMetrics(log *predictionlog.Logger) *metrics {
	m := &metrics{
		registry:   prometheus.NewRegistry(),
		requests:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "litterloop_requests_total", Help: "Requests answered, by route and status code."}, []string{"route", "code"}),
		latency:    prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "litterloop_request_seconds", Help: "Time from a request's header to the end of its answer.", Buckets: seconds}, []string{"route"}),
		steps:      prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "litterloop_step_seconds", Help: "Time of a photo in each step.", Buckets: seconds}, []string{"step"}),
		inFlight:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "litterloop_in_flight", Help: "Requests being answered."}),
		model:      prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "litterloop_model_info", Help: "1 for the model that is served."}, []string{"name", "version", "sha256", "dataset"}),
		boxes:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "litterloop_detections_total", Help: "Objects found, by class."}, []string{"class"}),
		confidence: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "litterloop_confidence", Help: "Confidence of the objects found.", Buckets: prometheus.LinearBuckets(.1, .1, 10)}),
		skipped:    prometheus.NewCounter(prometheus.CounterOpts{Name: "litterloop_log_skipped_total", Help: "Predictions kept out of the log at their caller's wish, such as a rollout's checks."}),
	}
	m.registry.MustRegister(m.requests, m.latency, m.steps, m.inFlight, m.model, m.boxes, m.confidence, m.skipped,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if log != nil {
		for name, of := range map[string]func(predictionlog.Accounting) uint64{
			"accepted": func(a predictionlog.Accounting) uint64 { return a.Accepted },
			"written":  func(a predictionlog.Accounting) uint64 { return a.Written },
			"dropped":  func(a predictionlog.Accounting) uint64 { return a.Dropped },
		} {
			m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
				Name: "litterloop_log_" + name + "_total", Help: "Predictions the log has " + name + "; accepted = written + waiting + dropped.",
			}, func() float64 { return float64(of(log.Stats())) }))
		}
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "litterloop_log_waiting", Help: "Predictions that wait to be written.",
		}, func() float64 { return float64(log.Stats().Waiting) }))
	}
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

func (m *metrics) serves(s *served) {
	m.model.Reset()
	m.model.WithLabelValues(s.Name, s.Version, s.SHA256, s.Dataset).Set(1)
	for _, class := range s.Spec().Classes {
		m.boxes.WithLabelValues(class)
	}
}

func (m *metrics) answered(ctx context.Context, r detector.Result) {
	for step, took := range map[string]time.Duration{
		"wait": r.Timings.Wait, "decode": r.Timings.Decode, "preprocess": r.Timings.Preprocess,
		"inference": r.Timings.Inference, "postprocess": r.Timings.Postprocess,
	} {
		observe(ctx, m.steps.WithLabelValues(step), took.Seconds())
	}
	for _, d := range r.Detections {
		m.boxes.WithLabelValues(d.Class).Inc()
		m.confidence.Observe(d.Confidence)
	}
}

// measure counts and times every request under the pattern it matched, never
// under its path: paths are the client's to choose.
func (m *metrics) measure(next http.Handler, now func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := now()
		m.inFlight.Inc()
		defer m.inFlight.Dec()
		rec := &recorder{ResponseWriter: w, code: http.StatusOK}
		r, span := traced(r)
		next.ServeHTTP(rec, r)
		route := telemetry.Route(r)
		span.Answered(r.Method, route, rec.code)
		m.requests.WithLabelValues(route, strconv.Itoa(rec.code)).Inc()
		observe(r.Context(), m.latency.WithLabelValues(route), now().Sub(began).Seconds())
	})
}

// recorder remembers the status code.
type recorder struct {
	http.ResponseWriter
	code  int
	wrote bool
}

func (r *recorder) WriteHeader(code int) {
	if !r.wrote {
		r.code, r.wrote = code, true
	}
	r.ResponseWriter.WriteHeader(code)
}

func (r *recorder) Write(p []byte) (int, error) {
	r.wrote = true
	return r.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
