package cloudmonitoring

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	monitoring "google.golang.org/api/monitoring/v3"
	"google.golang.org/api/option"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/rollout"
	"github.com/litterloop/litterloop/shared/status"
)

var at = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// answering is a client of a Cloud Monitoring that answers as the metric asked
// for has it, and remembers the questions.
func answering(t *testing.T, answers map[string]string) (*Client, *[]string) {
	t.Helper()
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		asked = append(asked, r.URL.Path+" "+q.Get("filter")+" from "+q.Get("interval.startTime")+" to "+q.Get("interval.endTime"))
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		for metric, answer := range answers {
			if strings.Contains(q.Get("filter"), metric) {
				if code, text, ok := strings.Cut(answer, " "); ok && code == "503" || code == "403" || code == "404" {
					w.WriteHeader(map[string]int{"503": 503, "403": 403, "404": 404}[code])
					answer = `{"error":{"code":` + code + `,"message":"` + text + `"}}`
				}
				io.WriteString(w, answer)
			}
		}
	}))
	t.Cleanup(s.Close)
	service, err := monitoring.NewService(t.Context(), option.WithEndpoint(s.URL+"/"), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	return New(service, "streets-1", Delay, func() time.Time { return at }), &asked
}

// The shape is timeSeries.list's: int64 values are strings, a series for each
// code, a point a minute, newest first.
const requests = `{"timeSeries": [
 {"metric": {"type": "run.googleapis.com/request_count", "labels": {"response_code": "200", "response_code_class": "2xx"}},
  "resource": {"type": "cloud_run_revision", "labels": {"service_name": "litter", "revision_name": "litter-v2"}}, "metricKind": "DELTA", "valueType": "INT64",
  "points": [{"interval": {"startTime": "2026-11-02T11:58:00Z", "endTime": "2026-11-02T11:59:00Z"}, "value": {"int64Value": "60"}},
             {"interval": {"startTime": "2026-11-02T11:57:00Z", "endTime": "2026-11-02T11:58:00Z"}, "value": {"int64Value": "30"}}]},
 {"metric": {"type": "run.googleapis.com/request_count", "labels": {"response_code": "503", "response_code_class": "5xx"}},
  "resource": {"type": "cloud_run_revision", "labels": {"service_name": "litter", "revision_name": "litter-v2"}}, "metricKind": "DELTA", "valueType": "INT64",
  "points": [{"interval": {"startTime": "2026-11-02T11:58:00Z", "endTime": "2026-11-02T11:59:00Z"}, "value": {"int64Value": "10"}}]}
], "unit": "1"}`

func TestRequests_addsUpCodesAndMinutes(t *testing.T) {
	c, asked := answering(t, map[string]string{"request_count": requests})
	got, err := c.Requests(t.Context(), "litter", "litter-v2", at.Add(-5*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(rollout.Requests{Total: 100, Errors: 10}, got); d != "" {
		t.Errorf("requests (-want +got):\n%s", d)
	}
	want := `/v3/projects/streets-1/timeSeries metric.type = "run.googleapis.com/request_count" AND resource.labels.service_name = "litter" AND resource.labels.revision_name = "litter-v2" from 2026-11-02T11:55:00Z to 2026-11-02T12:00:00Z`
	if len(*asked) != 1 || (*asked)[0] != want {
		t.Errorf("asked %q", *asked)
	}
}

func TestRequests_whatIsNotKnownIsNoHealth(t *testing.T) {
	for name, c := range map[string]struct {
		answer      string
		unavailable bool
	}{
		"away":          {"503 try again", true},
		"no permission": {"403 Permission monitoring.timeSeries.list denied", false},
	} {
		client, _ := answering(t, map[string]string{"request_count": c.answer})
		_, err := client.Requests(t.Context(), "litter", "litter-v2", at)
		if err == nil || errors.Is(err, errs.Unavailable) != c.unavailable {
			t.Errorf("%s: %v", name, err)
		}
		if _, permanent := errs.Reason(err); permanent {
			t.Errorf("%s: the version is blamed: %v", name, err)
		}
	}
}

func TestRequests_noneYet(t *testing.T) {
	for name, answer := range map[string]string{"no series": `{"unit": "1"}`, "a metric that nobody has written": "404 Cannot find metric(s) that match type"} {
		c, _ := answering(t, map[string]string{"request_count": answer})
		if got, err := c.Requests(t.Context(), "litter", "litter-v2", at); err != nil || got != (rollout.Requests{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestQueues_newestValueCounts(t *testing.T) {
	series := func(subscription, points string) string {
		return `{"metric": {"type": "m"}, "resource": {"type": "pubsub_subscription", "labels": {"subscription_id": "` + subscription + `"}}, "points": [` + points + `]}`
	}
	c, _ := answering(t, map[string]string{
		"num_undelivered_messages":   `{"timeSeries": [` + series("train", `{"value": {"int64Value": "2"}}, {"value": {"int64Value": "7"}}`) + `,` + series("dead-letters", `{"value": {"int64Value": "0"}}`) + `]}`,
		"oldest_unacked_message_age": `{"timeSeries": [` + series("train", `{"value": {"int64Value": "90"}}`) + `]}`,
	})
	got, err := c.Queues(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]status.Queue{{Subscription: "dead-letters"}, {Subscription: "train", Waiting: 2, Oldest: 90}}, got); d != "" {
		t.Errorf("queues (-want +got):\n%s", d)
	}
}
