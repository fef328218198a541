package drift

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/litterloop/litterloop/shared/errs"
)

// scrapeTimeout bounds the one read that a scrape costs.
const scrapeTimeout = 5 * time.Second

var (
	metricLabels  = []string{"model", "version"}
	scoreMetric   = prometheus.NewDesc("litterloop_drift_score", "Distance of the newest window from the reference, in spreads summed over features.", metricLabels, nil)
	limitMetric   = prometheus.NewDesc("litterloop_drift_threshold", "Score above which the newest window counts as drift.", metricLabels, nil)
	driftMetric   = prometheus.NewDesc("litterloop_drift", "1 when the newest window drifted, 0 when it did not or was too small to tell.", metricLabels, nil)
	photosMetric  = prometheus.NewDesc("litterloop_drift_window_photos", "Photos in the newest window.", metricLabels, nil)
	shareMetric   = prometheus.NewDesc("litterloop_drift_columns_share", "Share of columns that drifted by Evidently's tests.", metricLabels, nil)
	missingMetric = prometheus.NewDesc("litterloop_drift_log_missing_files", "Files of the prediction log that were written and are not there, in the newest window.", metricLabels, nil)
	droppedMetric = prometheus.NewDesc("litterloop_drift_log_dropped_photos", "Photos that the newest window's instances answered and could not log.", metricLabels, nil)
	timeMetric    = prometheus.NewDesc("litterloop_drift_report_timestamp_seconds", "When the newest report was made; alert when it falls behind the schedule.", metricLabels, nil)
)

// Collector exposes the newest report as Prometheus metrics, read at each
// scrape. Before the first report there are none.
func (s *Store) Collector() prometheus.Collector { return collector{s} }

type collector struct{ store *Store }

// Describe implements prometheus.Collector.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{scoreMetric, limitMetric, driftMetric, photosMetric, shareMetric, missingMetric, droppedMetric, timeMetric} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	l, err := c.store.Latest(ctx)
	if errors.Is(err, errs.NotFound) {
		return
	}
	if err != nil {
		ch <- prometheus.NewInvalidMetric(scoreMetric, err)
		return
	}
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, l.Model, l.ModelVersion)
	}
	gauge(scoreMetric, l.Verdict.Score)
	gauge(limitMetric, l.Verdict.Threshold)
	gauge(driftMetric, indicator(l.Verdict.Outcome == Drifted))
	gauge(photosMetric, float64(l.Window.Photos))
	gauge(shareMetric, l.Share)
	gauge(missingMetric, float64(l.Log.missing()))
	gauge(droppedMetric, float64(l.Log.Dropped))
	gauge(timeMetric, float64(l.Created.Unix()))
}
