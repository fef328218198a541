package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/litterloop/litterloop/localcloud"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/telemetry/export"
)

// Traces is the file of the spans of everything that runs on a state.
func Traces(state string) string { return filepath.Join(state, "traces.jsonl") }

// observe sets up spans, to the state's file or where OpenTelemetry's variables
// say, and metrics, which stand at /metrics of the functions' address.
func (l *Loop) observe(ctx context.Context, o Options) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(queues{l.Cloud})
	reader, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo())
	if err != nil {
		return fmt.Errorf("metrics of the local loop: %w", err)
	}
	l.registry = registry
	l.metrics = promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
	l.telemetry, err = export.Start(ctx, export.Options{
		Service: "functions", Version: "development", Getenv: os.Getenv, File: Traces(o.State), Always: true,
		Readers: []metric.Reader{reader}, Log: o.Log,
	})
	return err
}

// detectorMetrics are those of the deployed detector, at an address that stays
// when its service is made again. Before the first deployment there are none,
// which is no fault.
func (l *Loop) detectorMetrics(w http.ResponseWriter, r *http.Request) {
	at, err := l.DetectorURL(r.Context())
	if errors.Is(err, errs.NotFound) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	to, err := url.Parse(at)
	if err != nil {
		http.Error(w, "the detector's address: "+err.Error(), http.StatusBadGateway)
		return
	}
	proxy := httputil.ReverseProxy{Transport: l.HTTP().Transport, Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(to)
		p.Out.URL.Path = "/metrics"
	}}
	proxy.ServeHTTP(w, r)
}

// refusals are what IAM policies did not allow since the start.
func (l *Loop) refusals(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(l.Cloud.Access.Refusals()) // a client that is gone asks again
}

// queues tells how the subscriptions of the local Pub/Sub fare. On Google Cloud,
// Pub/Sub's own metrics say the same.
type queues struct{ cloud *localcloud.Cloud }

var (
	queueLabels = []string{"subscription"}
	waiting     = prometheus.NewDesc("litterloop_subscription_waiting", "Messages not acknowledged yet.", queueLabels, nil)
	delivered   = prometheus.NewDesc("litterloop_subscription_deliveries_total", "Attempts to deliver, repeats included.", queueLabels, nil)
	acked       = prometheus.NewDesc("litterloop_subscription_acknowledged_total", "Messages acknowledged.", queueLabels, nil)
	retried     = prometheus.NewDesc("litterloop_subscription_failures_total", "Attempts that failed.", queueLabels, nil)
	refused     = prometheus.NewDesc("litterloop_iam_refusals_total", "Calls that IAM policies did not allow.", []string{"principal", "permission"}, nil)
	dead        = prometheus.NewDesc("litterloop_subscription_dead_letters_total", "Messages given up as dead letters.", queueLabels, nil)
)

// Describe implements prometheus.Collector.
func (queues) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{waiting, delivered, acked, retried, dead, refused} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (q queues) Collect(ch chan<- prometheus.Metric) {
	times := map[[2]string]int{}
	for _, r := range q.cloud.Access.Refusals() {
		times[[2]string{r.Principal, r.Permission}] += r.Times
	}
	for who, n := range times {
		ch <- prometheus.MustNewConstMetric(refused, prometheus.CounterValue, float64(n), who[:]...)
	}
	for _, s := range q.cloud.PubSub.Stats() {
		name := path.Base(s.Subscription)
		ch <- prometheus.MustNewConstMetric(waiting, prometheus.GaugeValue, float64(s.Waiting), name)
		for d, n := range map[*prometheus.Desc]int{delivered: s.Delivered, acked: s.Acked, retried: s.Retried, dead: s.Dead} {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), name)
		}
	}
}
