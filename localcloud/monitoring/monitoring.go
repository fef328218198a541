// Package monitoring answers Cloud Monitoring's timeSeries.list for the few
// metrics of Google's own that the loop reads. What is counted begins with the
// process.
package monitoring

import (
	"fmt"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/litterloop/litterloop/localcloud/internal/rest"
	"github.com/litterloop/litterloop/localcloud/pubsub"
	"github.com/litterloop/litterloop/localcloud/run"
)

// Sources are what counts. All are required.
type Sources struct {
	Subscriptions func() []pubsub.SubscriptionStats
	Revisions     func(service string) []run.RevisionStats
	Now           func() time.Time
}

// Handler serves GET …/projects/P/timeSeries.
func Handler(s Sources) http.Handler {
	began := s.Now()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			rest.Error(w, status.Errorf(codes.Unimplemented, "the local cloud does not serve %s %s", r.Method, r.URL.Path))
			return
		}
		all, err := s.list(r.FormValue("filter"), began)
		if err != nil {
			rest.Error(w, err)
			return
		}
		rest.Answer(w, http.StatusOK, map[string]any{"timeSeries": all})
	})
}

// term is one comparison of a filter; a filter is terms with AND between them
// (https://cloud.google.com/monitoring/api/v3/filters).
var term = regexp.MustCompile(`^([a-z_.]+) ?= ?"([^"\\]*)"(?: AND )?`)

func parse(filter string) (map[string]string, error) {
	terms := map[string]string{}
	for rest := filter; rest != ""; {
		m := term.FindStringSubmatch(rest)
		if m == nil {
			return nil, status.Errorf(codes.InvalidArgument, "filter %q: the local cloud knows FIELD = \"VALUE\" with AND between", filter)
		}
		terms[m[1]], rest = m[2], rest[len(m[0]):]
	}
	return terms, nil
}

// series is one time series with one point.
type series struct {
	Metric   labelled `json:"metric"`
	Resource labelled `json:"resource"`
	Kind     string   `json:"metricKind"`
	Type     string   `json:"valueType"`
	Points   []point  `json:"points"`
}

type labelled struct {
	Type   string            `json:"type"`
	Labels map[string]string `json:"labels,omitempty"`
}

type point struct {
	Interval struct {
		Start string `json:"startTime"`
		End   string `json:"endTime"`
	} `json:"interval"`
	Value struct {
		Int64 string `json:"int64Value"`
	} `json:"value"`
}

func (s Sources) one(kind string, metric, resource labelled, from time.Time, n int64) series {
	out := series{Metric: metric, Resource: resource, Kind: kind, Type: "INT64", Points: make([]point, 1)}
	out.Points[0].Interval.Start, out.Points[0].Interval.End = stamp(from), stamp(s.Now())
	out.Points[0].Value.Int64 = strconv.FormatInt(n, 10)
	return out
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func (s Sources) list(filter string, began time.Time) ([]series, error) {
	terms, err := parse(filter)
	if err != nil {
		return nil, err
	}
	all := []series{}
	switch metric := terms["metric.type"]; metric {
	case "run.googleapis.com/request_count":
		service := terms["resource.labels.service_name"]
		for _, r := range s.Revisions(service) {
			if want := terms["resource.labels.revision_name"]; want != "" && want != r.Revision {
				continue
			}
			on := labelled{"cloud_run_revision", map[string]string{"service_name": service, "revision_name": r.Revision}}
			for class, n := range map[string]int64{"2xx": r.Requests - r.Errors, "5xx": r.Errors} {
				all = append(all, s.one("DELTA", labelled{metric, map[string]string{"response_code_class": class}}, on, began, n))
			}
		}
	case "pubsub.googleapis.com/subscription/num_undelivered_messages", "pubsub.googleapis.com/subscription/oldest_unacked_message_age":
		for _, q := range s.Subscriptions() {
			n := int64(q.Waiting)
			if path.Base(metric) == "oldest_unacked_message_age" {
				n = 0
				if !q.Oldest.IsZero() {
					n = int64(s.Now().Sub(q.Oldest) / time.Second)
				}
			}
			on := labelled{"pubsub_subscription", map[string]string{"subscription_id": path.Base(q.Subscription)}}
			all = append(all, s.one("GAUGE", labelled{Type: metric}, on, s.Now(), n))
		}
	default:
		return nil, status.Error(codes.NotFound, fmt.Sprintf("Cannot find metric(s) that match type = %q", metric))
	}
	return all, nil
}
