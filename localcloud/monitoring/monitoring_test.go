package monitoring

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	api "google.golang.org/api/monitoring/v3"
	"google.golang.org/api/option"

	"github.com/litterloop/litterloop/localcloud/pubsub"
	"github.com/litterloop/litterloop/localcloud/run"
	"github.com/litterloop/litterloop/shared/cloudmonitoring"
	"github.com/litterloop/litterloop/shared/rollout"
	"github.com/litterloop/litterloop/shared/status"
)

// What the loop asks of Cloud Monitoring, Google's own client asks here.
func TestHandler_answersGooglesClient(t *testing.T) {
	now := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	mux := http.NewServeMux()
	mux.Handle("/v3/projects/{project}/timeSeries", Handler(Sources{
		Subscriptions: func() []pubsub.SubscriptionStats {
			return []pubsub.SubscriptionStats{
				{Subscription: "projects/local/subscriptions/alerts"},
				{Subscription: "projects/local/subscriptions/train", Waiting: 3, Oldest: now.Add(-time.Minute)},
			}
		},
		Revisions: func(string) []run.RevisionStats {
			return []run.RevisionStats{{Revision: "litter-v1", Requests: 100}, {Revision: "litter-v2", Requests: 10, Errors: 4}}
		},
		Now: func() time.Time { return now },
	}))
	s := httptest.NewServer(mux)
	defer s.Close()
	service, err := api.NewService(t.Context(), option.WithEndpoint(s.URL+"/"), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	c := cloudmonitoring.New(service, "local", 0, func() time.Time { return now })
	queues, err := c.Queues(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]status.Queue{{Subscription: "alerts"}, {Subscription: "train", Waiting: 3, Oldest: 60}}, queues); d != "" {
		t.Errorf("queues (-want +got):\n%s", d)
	}
	got, err := c.Requests(t.Context(), "litter", "litter-v2", now)
	if err != nil || got != (rollout.Requests{Total: 10, Errors: 4}) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := service.Projects.TimeSeries.List("projects/local").Filter(`metric.type = starts_with("run")`).Do(); err == nil {
		t.Error("a filter that is not understood was answered")
	}
	if _, err := service.Projects.TimeSeries.List("projects/local").Filter(`metric.type = "run.googleapis.com/other"`).Do(); err == nil {
		t.Error("a metric that is not there was answered")
	}
}
