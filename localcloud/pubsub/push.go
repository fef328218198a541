package pubsub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/litterloop/litterloop/localcloud/pubsub/internal/journal"
)

// pump starts push requests while the subscription's window and backlog allow;
// the lock is held.
func (s *Server) pump(sub *subscription) {
	for s.journal != nil && !s.closed && sub.push() && sub.probe == nil && sub.pushing < sub.window {
		d := sub.backlog.next()
		if d == nil {
			return
		}
		d.state = leased
		d.lease++
		sub.pushing++
		sub.count.delivered++
		config, attempt := sub.config, d.failures+1
		s.work.Go(func() { s.pushed(d, s.pushOnce(config, d.message, attempt)) })
	}
}

// pushed books the outcome of a push.
func (s *Server) pushed(d *delivery, err error) {
	sub := d.sub
	s.mu.Lock()
	sub.pushing--
	var at journal.Position
	switch {
	case s.closed && err != nil, d.state != leased:
		// Cut off by Close, or the subscription was deleted meanwhile.
	case err == nil:
		sub.window, sub.unreached = min(sub.window+1, s.o.MaxPushes), 0
		at = s.acknowledge(sub, []uint64{d.message.id})
	case notReached(err):
		sub.count.lastError = err.Error()
		s.hold(d)
	default:
		sub.window, sub.unreached = max(sub.window/2, 1), 0
		sub.count.lastError = err.Error()
		s.o.Log.Info("pubsub: push failed", "subscription", sub.config.Name,
			"message", d.message.MessageId, "attempt", d.failures+1, "error", err)
		at = s.fail(d, err.Error())
	}
	s.pump(sub)
	s.mu.Unlock()
	if err := s.commit(at); err != nil {
		s.o.Log.Error("pubsub: record the outcome of a push", "subscription", sub.config.Name, "error", err)
	}
}

// Bounds of the wait for an endpoint that nobody listens on.
const (
	minProbe = 50 * time.Millisecond
	maxProbe = time.Second
)

// notReached: no request was sent, because nobody listens.
func notReached(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// hold gives d back and stops pushing to its subscription for a while, then
// tries with d alone. Unlike in Pub/Sub this is no attempt: on one machine the
// endpoint is a process that starts, or starts again, beside this one, and
// messages must not reach the dead letters by way of restarts.
func (s *Server) hold(d *delivery) {
	sub := d.sub
	if sub.probe != nil {
		s.ready(d)
		return
	}
	s.o.Log.Debug("pubsub: nobody listens on the push endpoint", "subscription", sub.config.Name, "endpoint", sub.config.PushConfig.GetPushEndpoint())
	wait := min(minProbe<<min(sub.unreached, 10), maxProbe)
	sub.unreached++
	sub.window, sub.probe, d.state = 1, d, waiting
	s.schedule(d, s.o.Now().Add(wait))
}

// pushOnce sends one request; nil means that the endpoint acknowledged.
func (s *Server) pushOnce(c *pb.Subscription, m *message, attempt int) error {
	ctx, cancel := context.WithTimeout(s.ctx, time.Duration(c.AckDeadlineSeconds)*time.Second)
	defer cancel()
	req, err := s.pushRequest(ctx, c, m, attempt)
	if err != nil {
		return err
	}
	res, err := s.o.HTTPClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	if err == nil {
		// Read on, so that the connection is kept.
		_, err = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20))
	}
	switch res.StatusCode {
	case http.StatusProcessing, http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent:
		return nil // the status alone acknowledges
	}
	if err != nil {
		return fmt.Errorf("%s answered %s: %w", c.PushConfig.PushEndpoint, res.Status, err)
	}
	return fmt.Errorf("%s answered %s: %.300s", c.PushConfig.PushEndpoint, res.Status, bytes.TrimSpace(answer))
}

// pushBody is the wrapped form: every name in both spellings, as Pub/Sub sends it.
type pushBody struct {
	DeliveryAttempt int         `json:"deliveryAttempt,omitempty"`
	Message         pushMessage `json:"message"`
	Subscription    string      `json:"subscription"`
}

type pushMessage struct {
	Attributes   map[string]string `json:"attributes,omitempty"`
	Data         []byte            `json:"data,omitempty"`
	MessageID    string            `json:"messageId"`
	MessageID2   string            `json:"message_id"`
	OrderingKey  string            `json:"orderingKey,omitempty"`
	PublishTime  string            `json:"publishTime"`
	PublishTime2 string            `json:"publish_time"`
}

// pushTime is the form of publishTime in a push: milliseconds, UTC.
const pushTime = "2006-01-02T15:04:05.000Z07:00"

func (s *Server) pushRequest(ctx context.Context, c *pb.Subscription, m *message, attempt int) (*http.Request, error) {
	at := m.PublishTime.AsTime().Format(pushTime)
	header := http.Header{"User-Agent": {"CloudPubSub-Google"}}
	body := m.Data
	if raw := c.PushConfig.GetNoWrapper(); raw == nil {
		header.Set("Content-Type", "application/json")
		b := pushBody{
			Message:      pushMessage{m.Attributes, m.Data, m.MessageId, m.MessageId, m.OrderingKey, at, at},
			Subscription: c.Name,
		}
		if c.DeadLetterPolicy != nil {
			b.DeliveryAttempt = attempt
		}
		var err error
		if body, err = json.Marshal(b); err != nil {
			return nil, fmt.Errorf("encode push body: %w", err)
		}
	} else if raw.WriteMetadata {
		header.Set("X-Goog-Pubsub-Subscription-Name", c.Name)
		header.Set("X-Goog-Pubsub-Message-Id", m.MessageId)
		header.Set("X-Goog-Pubsub-Publish-Time", at)
		if m.OrderingKey != "" {
			header.Set("X-Goog-Pubsub-Ordering-Key", m.OrderingKey)
		}
		for k, v := range m.Attributes {
			header.Set(k, v)
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.PushConfig.PushEndpoint, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("push endpoint of %s: %w", c.Name, err)
	}
	req.Header = header
	if token := c.PushConfig.GetOidcToken(); token != nil {
		audience := token.Audience
		if audience == "" {
			audience = c.PushConfig.PushEndpoint
		}
		bearer, err := s.signer.token(token.ServiceAccountEmail, audience)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	return req, nil
}
