package pubsub

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"strings"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/litterloop/litterloop/localcloud/internal/rest"
)

// ServeHTTP is the JSON API, under /v1/projects/: what gcloud speaks.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.rest.ServeHTTP(w, r) }

// A resource in the path is "ID" or "ID:verb", which a mux pattern cannot tell
// apart; the handlers are therefore keyed by "METHOD collection:verb".
func (s *Server) routes() http.Handler {
	p, r := publisher{s: s}, subscriber{s: s}
	one := map[string]http.HandlerFunc{
		"PUT topics:": endpoint(p.CreateTopic, func(q *pb.Topic, c restCall) { q.Name = c.name }),
		"PATCH topics:": endpoint(p.UpdateTopic, func(q *pb.UpdateTopicRequest, c restCall) {
			topicOf(q).Name, q.UpdateMask = c.name, cmp.Or(q.UpdateMask, c.mask)
		}),
		"GET topics:":         endpoint(p.GetTopic, func(q *pb.GetTopicRequest, c restCall) { q.Topic = c.name }),
		"DELETE topics:":      endpoint(p.DeleteTopic, func(q *pb.DeleteTopicRequest, c restCall) { q.Topic = c.name }),
		"POST topics:publish": endpoint(p.Publish, func(q *pb.PublishRequest, c restCall) { q.Topic = c.name }),

		"PUT subscriptions:": endpoint(r.CreateSubscription, func(q *pb.Subscription, c restCall) { q.Name = c.name }),
		"PATCH subscriptions:": endpoint(r.UpdateSubscription, func(q *pb.UpdateSubscriptionRequest, c restCall) {
			subscriptionOf(q).Name, q.UpdateMask = c.name, cmp.Or(q.UpdateMask, c.mask)
		}),
		"GET subscriptions:":                   endpoint(r.GetSubscription, func(q *pb.GetSubscriptionRequest, c restCall) { q.Subscription = c.name }),
		"DELETE subscriptions:":                endpoint(r.DeleteSubscription, func(q *pb.DeleteSubscriptionRequest, c restCall) { q.Subscription = c.name }),
		"POST subscriptions:pull":              endpoint(r.Pull, func(q *pb.PullRequest, c restCall) { q.Subscription = c.name }),
		"POST subscriptions:acknowledge":       endpoint(r.Acknowledge, func(q *pb.AcknowledgeRequest, c restCall) { q.Subscription = c.name }),
		"POST subscriptions:modifyAckDeadline": endpoint(r.ModifyAckDeadline, func(q *pb.ModifyAckDeadlineRequest, c restCall) { q.Subscription = c.name }),
		"POST subscriptions:modifyPushConfig":  endpoint(r.ModifyPushConfig, func(q *pb.ModifyPushConfigRequest, c restCall) { q.Subscription = c.name }),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/projects/{project}/{collection}/{resource}", func(w http.ResponseWriter, q *http.Request) {
		_, verb, _ := strings.Cut(q.PathValue("resource"), ":")
		if h := one[q.Method+" "+q.PathValue("collection")+":"+verb]; h != nil {
			h(w, q)
			return
		}
		rest.Error(w, status.Errorf(codes.Unimplemented, "the local Pub/Sub does not serve %s %s", q.Method, q.URL.Path))
	})
	mux.HandleFunc("GET /v1/projects/{project}/topics", endpoint(p.ListTopics, func(q *pb.ListTopicsRequest, c restCall) {
		q.Project, q.PageSize, q.PageToken = c.project, c.pageSize, c.pageToken
	}))
	mux.HandleFunc("GET /v1/projects/{project}/subscriptions", endpoint(r.ListSubscriptions, func(q *pb.ListSubscriptionsRequest, c restCall) {
		q.Project, q.PageSize, q.PageToken = c.project, c.pageSize, c.pageToken
	}))
	mux.HandleFunc("GET /v1/projects/{project}/snapshots", endpoint(r.ListSnapshots, func(q *pb.ListSnapshotsRequest, c restCall) {
		q.Project = c.project
	}))
	mux.HandleFunc("GET /v1/projects/{project}/{collection}/{resource}/subscriptions", endpoint(p.ListTopicSubscriptions, func(q *pb.ListTopicSubscriptionsRequest, c restCall) {
		q.Topic, q.PageSize, q.PageToken = c.name, c.pageSize, c.pageToken
	}))
	return mux
}

// restCall is what the URL says.
type restCall struct {
	project   string // projects/P
	name      string // projects/P/collection/ID, without a verb
	pageSize  int32
	pageToken string
	mask      *fieldmaskpb.FieldMask // nil when the URL has none: it may be in the body
}

func topicOf(q *pb.UpdateTopicRequest) *pb.Topic {
	if q.Topic == nil {
		q.Topic = &pb.Topic{}
	}
	return q.Topic
}

func subscriptionOf(q *pb.UpdateSubscriptionRequest) *pb.Subscription {
	if q.Subscription == nil {
		q.Subscription = &pb.Subscription{}
	}
	return q.Subscription
}

// endpoint turns a method of a service into a handler: the body is the request,
// and fill adds what the URL says.
func endpoint[T any, Q interface {
	*T
	proto.Message
}, A proto.Message](call func(context.Context, Q) (A, error), fill func(Q, restCall)) http.HandlerFunc {
	return rest.Method(call, func(q Q) proto.Message { return q }, func(q Q, r *http.Request) error {
		// Not r.FormValue: it would eat a body that curl -d labels as a form.
		query := r.URL.Query()
		c := restCall{project: "projects/" + r.PathValue("project"), pageToken: query.Get("pageToken")}
		id, _, _ := strings.Cut(r.PathValue("resource"), ":")
		c.name = c.project + "/" + r.PathValue("collection") + "/" + id
		if n := query.Get("pageSize"); n != "" {
			size, err := strconv.ParseInt(n, 10, 32)
			if err != nil {
				return invalid("pageSize %q is not a number", n)
			}
			c.pageSize = int32(size)
		}
		if mask := query.Get("updateMask"); mask != "" {
			c.mask = &fieldmaskpb.FieldMask{}
			if err := protojson.Unmarshal([]byte(strconv.Quote(mask)), c.mask); err != nil {
				return invalid("updateMask %q: %v", mask, err)
			}
		}
		fill(q, c)
		return nil
	})
}
