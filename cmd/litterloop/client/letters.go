package client

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Letter is a message of a pulled topic. On the dead-letter topic Pub/Sub has
// added where it comes from.
type Letter struct {
	ID           string            `json:"id"`
	Published    time.Time         `json:"published"`
	Attributes   map[string]string `json:"attributes,omitempty"`
	Data         json.RawMessage   `json:"data,omitempty"`
	Subscription string            `json:"subscription,omitempty"` // that gave it up
	Attempts     string            `json:"attempts,omitempty"`
	Replayed     bool              `json:"replayed,omitempty"`
}

// About says what the letter is about.
func (l Letter) About() string {
	if o := l.Attributes["objectId"]; o != "" {
		return "gs://" + l.Attributes["bucketId"] + "/" + o
	}
	return l.Attributes["type"] + " " + string(l.Data)
}

// Treatment is what becomes of letters once they are read.
type Treatment struct {
	Replay bool // published again on their topic, then acknowledged
	Clear  bool // acknowledged
}

// Attributes that Pub/Sub adds to a dead letter.
const (
	deadSubscription = "CloudPubSubDeadLetterSourceSubscription"
	deadAttempts     = "CloudPubSubDeadLetterSourceDeliveryCount"
	deadPrefix       = "CloudPubSubDeadLetterSource"
)

// Letters reads every message that waits in a pull subscription. Without
// treatment they wait on.
func (c *Client) Letters(ctx context.Context, subscription string, t Treatment) ([]Letter, error) {
	admin := c.PubSub().SubscriptionAdminClient
	name := "projects/" + c.Project + "/subscriptions/" + subscription
	var all []Letter
	var keep []string
	for {
		//lint:ignore SA1019 a listing must not wait for more to come
		res, err := admin.Pull(ctx, &pb.PullRequest{Subscription: name, MaxMessages: 1000, ReturnImmediately: true})
		if err != nil {
			return all, fmt.Errorf("read subscription %s: %w", subscription, err)
		}
		if len(res.ReceivedMessages) == 0 {
			break
		}
		var done []string
		for _, m := range res.ReceivedMessages {
			l := letter(m.Message)
			if t.Replay {
				if err := c.replay(ctx, l, m.Message); err != nil {
					return all, err
				}
				l.Replayed = true
			}
			if t.Replay || t.Clear {
				done = append(done, m.AckId)
			} else {
				keep = append(keep, m.AckId)
			}
			all = append(all, l)
		}
		if len(done) > 0 {
			if err := admin.Acknowledge(ctx, &pb.AcknowledgeRequest{Subscription: name, AckIds: done}); err != nil {
				return all, fmt.Errorf("acknowledge: %w", err)
			}
		}
	}
	if len(keep) > 0 { // give them back at once
		if err := admin.ModifyAckDeadline(ctx, &pb.ModifyAckDeadlineRequest{Subscription: name, AckIds: keep}); err != nil {
			return all, fmt.Errorf("give messages back: %w", err)
		}
	}
	slices.SortFunc(all, func(a, b Letter) int { return a.Published.Compare(b.Published) })
	return all, nil
}

func letter(m *pb.PubsubMessage) Letter {
	l := Letter{ID: m.MessageId, Published: m.PublishTime.AsTime(), Attributes: m.Attributes, Subscription: m.Attributes[deadSubscription], Attempts: m.Attributes[deadAttempts]}
	if json.Valid(m.Data) {
		l.Data = m.Data
	}
	return l
}

// replay publishes a dead letter again on the topic of its subscription, with
// the attributes it had.
func (c *Client) replay(ctx context.Context, l Letter, m *pb.PubsubMessage) error {
	if l.Subscription == "" {
		return fmt.Errorf("message %s does not say which subscription gave it up", l.ID)
	}
	name := "projects/" + c.Project + "/subscriptions/" + l.Subscription
	sub, err := c.PubSub().SubscriptionAdminClient.GetSubscription(ctx, &pb.GetSubscriptionRequest{Subscription: name})
	if status.Code(err) == codes.NotFound {
		return fmt.Errorf("subscription %s, which gave message %s up, is gone", l.Subscription, l.ID)
	}
	if err != nil {
		return fmt.Errorf("find the topic of %s: %w", l.Subscription, err)
	}
	attributes := maps.Clone(m.Attributes)
	maps.DeleteFunc(attributes, func(k, _ string) bool { return strings.HasPrefix(k, deadPrefix) })
	_, err = c.PubSub().TopicAdminClient.Publish(ctx, &pb.PublishRequest{Topic: sub.Topic, Messages: []*pb.PubsubMessage{{Data: m.Data, Attributes: attributes, OrderingKey: m.OrderingKey}}})
	if err != nil {
		return fmt.Errorf("publish message %s again: %w", l.ID, err)
	}
	return nil
}
