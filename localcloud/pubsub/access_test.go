package pubsub

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/litterloop/litterloop/localcloud/iam"
)

const (
	agent   = "serviceAccount:agent@example.iam.gserviceaccount.com"
	account = "serviceAccount:account@example.iam.gserviceaccount.com"
)

// granting makes an Authorizer of single grants: role, member, resource.
func granting(grants ...[3]string) *iam.Authorizer {
	return iam.New(iam.Options{Project: "p", Policy: func(resource string) (all []iam.Binding) {
		for _, g := range grants {
			if g[2] == resource {
				all = append(all, iam.Binding{Role: g[0], Members: []string{g[1]}})
			}
		}
		return all
	}})
}

// Pub/Sub's own account moves dead letters: without either of its grants the
// message stays where it is, and the subscription tells why.
func TestDeadLetter_needsTheGrantsOfPubSubsOwnAccount(t *testing.T) {
	publishes := [3]string{"roles/pubsub.publisher", agent, deadTopic}
	acknowledges := [3]string{"roles/pubsub.subscriber", agent, trainSub}
	for _, tt := range []struct {
		name   string
		grants [][3]string
		want   string // of the last error; "" moves the message
	}{
		{"both", [][3]string{publishes, acknowledges}, ""},
		{"may not publish", [][3]string{acknowledges}, "pubsub.topics.publish access to " + deadTopic},
		{"may not acknowledge", [][3]string{publishes}, "pubsub.subscriptions.consume access to " + trainSub},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &fakeEndpoint{answer: func(n int, _ string) int {
					if n <= 8 {
						return http.StatusBadRequest
					}
					return http.StatusOK
				}}
				s := start(t, Options{HTTPClient: &http.Client{Transport: e}, Access: granting(tt.grants...), Agent: agent})
				makeTopics(t, s, trainTopic, deadTopic)
				makeSub(t, s, &pb.Subscription{Name: deadSub, Topic: deadTopic})
				makeSub(t, s, pushTo(&pb.Subscription{Name: trainSub, Topic: trainTopic, DeadLetterPolicy: &pb.DeadLetterPolicy{DeadLetterTopic: deadTopic}}))
				publishOne(t, s, "x")
				pass(10 * time.Minute)
				dead, told := 0, ""
				for _, st := range s.Stats() {
					if st.Subscription == trainSub {
						dead, told = st.Dead, st.LastError
					}
				}
				if tt.want == "" && dead != 1 || tt.want != "" && (dead != 0 || len(e.gaps())+1 != 9) {
					t.Errorf("%d dead letters after %d attempts", dead, len(e.gaps())+1)
				}
				if tt.want != "" && !strings.Contains(told, tt.want) {
					t.Errorf("the subscription tells %q, want %q", told, tt.want)
				}
			})
		})
	}
}

func TestServer_callsNeedTheirPermission(t *testing.T) {
	s := start(t, Options{Access: granting([3]string{"roles/pubsub.publisher", account, trainTopic}, [3]string{"roles/pubsub.subscriber", account, trainSub})})
	makeTopics(t, s, trainTopic, deadTopic)
	makeSub(t, s, &pb.Subscription{Name: trainSub, Topic: trainTopic})
	makeSub(t, s, &pb.Subscription{Name: deadSub, Topic: deadTopic})
	ctx := iam.As(t.Context(), account)
	p, r := publisher{s: s}, subscriber{s: s}
	message := []*pb.PubsubMessage{{Data: []byte("x")}}
	for name, tt := range map[string]struct {
		call func(context.Context) error
		want codes.Code
	}{
		"publish": {func(ctx context.Context) error {
			_, err := p.Publish(ctx, &pb.PublishRequest{Topic: trainTopic, Messages: message})
			return err
		}, codes.OK},
		"publish elsewhere": {func(ctx context.Context) error {
			_, err := p.Publish(ctx, &pb.PublishRequest{Topic: deadTopic, Messages: message})
			return err
		}, codes.PermissionDenied},
		"see a topic": {func(ctx context.Context) error {
			_, err := p.GetTopic(ctx, &pb.GetTopicRequest{Topic: trainTopic})
			return err
		}, codes.PermissionDenied},
		"delete a topic": {func(ctx context.Context) error {
			_, err := p.DeleteTopic(ctx, &pb.DeleteTopicRequest{Topic: trainTopic})
			return err
		}, codes.PermissionDenied},
		"pull": {func(ctx context.Context) error {
			_, err := r.Acknowledge(ctx, &pb.AcknowledgeRequest{Subscription: trainSub})
			return err
		}, codes.OK},
		"pull elsewhere": {func(ctx context.Context) error {
			_, err := r.Acknowledge(ctx, &pb.AcknowledgeRequest{Subscription: deadSub})
			return err
		}, codes.PermissionDenied},
		"subscribe": {func(ctx context.Context) error {
			_, err := r.CreateSubscription(ctx, &pb.Subscription{Name: trainSub + "2", Topic: trainTopic})
			return err
		}, codes.PermissionDenied},
		"not there": {func(ctx context.Context) error {
			_, err := p.Publish(ctx, &pb.PublishRequest{Topic: trainTopic + "2", Messages: message})
			return err
		}, codes.PermissionDenied},
	} {
		if err := tt.call(ctx); status.Code(err) != tt.want {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	if _, err := p.GetTopic(t.Context(), &pb.GetTopicRequest{Topic: deadTopic}); err != nil {
		t.Errorf("the owner: %v", err)
	}
}

func TestIdentify_whomTokensAreFor(t *testing.T) {
	began := time.Now()
	var passed atomic.Int64 // read by the server's own clock too
	s := start(t, Options{Now: func() time.Time { return began.Add(time.Duration(passed.Load())) }})
	other := start(t, Options{})
	token, err := s.Token("a@b", "http://service")
	if err != nil {
		t.Fatal(err)
	}
	if email, audience, err := s.Identify(token); email != "a@b" || audience != "http://service" || err != nil {
		t.Errorf("%q, %q, %v", email, audience, err)
	}
	parts := strings.Split(token, ".")
	for name, bad := range map[string]string{
		"nothing": "", "no JWT": "abc", "no signature": parts[0] + "." + parts[1] + ".", "half": parts[0] + "." + parts[1],
		"other claims": parts[0] + "." + parts[1] + "x." + parts[2],
	} {
		if _, _, err := s.Identify(bad); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, _, err := other.Identify(token); err == nil {
		t.Error("another cloud's token was taken")
	}
	passed.Store(int64(2 * tokenLife))
	if _, _, err := s.Identify(token); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an old token: %v", err)
	}
}
