// Package cloudmonitoring asks Cloud Monitoring what Google Cloud counts by
// itself: how a revision of Cloud Run answered, whichever of its instances did,
// and what waits in Pub/Sub's subscriptions.
package cloudmonitoring

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"time"

	"google.golang.org/api/googleapi"
	monitoring "google.golang.org/api/monitoring/v3"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/rollout"
	"github.com/litterloop/litterloop/shared/status"
)

// Metrics that are read, and their labels
// (https://cloud.google.com/monitoring/api/metrics_gcp).
const (
	requestCount = "run.googleapis.com/request_count"
	undelivered  = "pubsub.googleapis.com/subscription/num_undelivered_messages"
	oldest       = "pubsub.googleapis.com/subscription/oldest_unacked_message_age"
)

// Delay is how long after it was answered a request is counted for sure: it is
// sampled every 60 s and shown up to 120 s later.
const Delay = 3 * time.Minute

// gaugeAge is how far back the newest value of a gauge may lie. A subscription
// that nobody used for longer has no values, and nothing waits in it.
const gaugeAge = 10 * time.Minute

// Client asks about one project.
type Client struct {
	series  *monitoring.ProjectsTimeSeriesService
	project string
	delay   time.Duration
	now     func() time.Time
}

var _ rollout.Traffic = (*Client)(nil)

// New returns a client of the project. delay is Delay on Google Cloud, and what a
// stand-in needs elsewhere.
func New(s *monitoring.Service, project string, delay time.Duration, now func() time.Time) *Client {
	return &Client{series: s.Projects.TimeSeries, project: project, delay: delay, now: now}
}

// Delay implements rollout.Traffic.
func (c *Client) Delay() time.Duration { return c.delay }

// Requests implements rollout.Traffic. Requests that never reached an instance,
// for want of one, count as well.
func (c *Client) Requests(ctx context.Context, service, revision string, from time.Time) (r rollout.Requests, err error) {
	defer errs.Wrap(&err, "count the requests of %s in Cloud Monitoring", revision)
	filter := fmt.Sprintf(`metric.type = %q AND resource.labels.service_name = %q AND resource.labels.revision_name = %q`, requestCount, service, revision)
	err = c.list(ctx, filter, from, func(s *monitoring.TimeSeries) {
		for _, p := range s.Points {
			n := value(p)
			r.Total += n
			if s.Metric.Labels["response_code_class"] == "5xx" {
				r.Errors += n
			}
		}
	})
	return r, err
}

// Queues returns what waits in the project's subscriptions, by their names.
func (c *Client) Queues(ctx context.Context) (_ []status.Queue, err error) {
	defer errs.Wrap(&err, "ask Cloud Monitoring what waits")
	found := map[string]*status.Queue{}
	read := func(metric string, set func(q *status.Queue, v float64)) error {
		return c.list(ctx, fmt.Sprintf(`metric.type = %q`, metric), c.now().Add(-gaugeAge), func(s *monitoring.TimeSeries) {
			name := path.Base(s.Resource.Labels["subscription_id"])
			if len(s.Points) == 0 || name == "." {
				return
			}
			if found[name] == nil {
				found[name] = &status.Queue{Subscription: name}
			}
			set(found[name], value(s.Points[0])) // newest first
		})
	}
	err = errors.Join(
		read(undelivered, func(q *status.Queue, v float64) { q.Waiting = int64(v) }),
		read(oldest, func(q *status.Queue, v float64) { q.Oldest = v }),
	)
	if err != nil {
		return nil, err
	}
	var all []status.Queue
	for _, q := range found {
		all = append(all, *q)
	}
	slices.SortFunc(all, func(a, b status.Queue) int { return cmp.Compare(a.Subscription, b.Subscription) })
	return all, nil
}

func (c *Client) list(ctx context.Context, filter string, from time.Time, each func(*monitoring.TimeSeries)) error {
	call := c.series.List("projects/" + c.project).Filter(filter).
		IntervalStartTime(from.UTC().Format(time.RFC3339Nano)).IntervalEndTime(c.now().UTC().Format(time.RFC3339Nano))
	err := call.Pages(ctx, func(page *monitoring.ListTimeSeriesResponse) error {
		for _, s := range page.TimeSeries {
			if s.Metric != nil && s.Resource != nil {
				each(s)
			}
		}
		return nil
	})
	return translate(err)
}

func value(p *monitoring.Point) float64 {
	switch {
	case p.Value == nil:
		return 0
	case p.Value.Int64Value != nil:
		return float64(*p.Value.Int64Value)
	case p.Value.DoubleValue != nil:
		return *p.Value.DoubleValue
	}
	return 0
}

// translate marks what is worth asking again.
func translate(err error) error {
	var e *googleapi.Error
	if errors.As(err, &e) && (e.Code == http.StatusTooManyRequests || e.Code >= http.StatusInternalServerError) {
		return fmt.Errorf("%w: %w", errs.Unavailable, err)
	}
	if errors.As(err, &e) && e.Code == http.StatusNotFound { // nobody has written such a metric yet
		return nil
	}
	return err
}
