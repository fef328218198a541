package storage

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/litterloop/litterloop/localcloud/storage/internal/store"
)

// notificationConfig is the JSON API's resource of a notification. Its topic has
// a form of its own: //pubsub.googleapis.com/projects/PROJECT/topics/TOPIC.
type notificationConfig struct {
	Kind       string            `json:"kind"`
	ID         string            `json:"id"`
	SelfLink   string            `json:"selfLink,omitempty"`
	Etag       string            `json:"etag,omitempty"`
	Topic      string            `json:"topic"`
	Prefix     string            `json:"object_name_prefix,omitempty"`
	EventTypes []string          `json:"event_types,omitempty"`
	Attributes map[string]string `json:"custom_attributes,omitempty"`
	Payload    string            `json:"payload_format"`
}

const topicHost = "//pubsub.googleapis.com/"

func notificationResource(n *store.Notification, base string) notificationConfig {
	return notificationConfig{
		Kind: "storage#notification", ID: n.ID, Etag: n.ID,
		SelfLink: fmt.Sprintf("%s/storage/v1/b/%s/notificationConfigs/%s", base, n.Bucket, n.ID),
		Topic:    topicHost + n.Topic, Prefix: n.Prefix, EventTypes: n.EventTypes, Attributes: n.Attributes, Payload: n.PayloadFormat,
	}
}

// notificationMethod serves /b/BUCKET/notificationConfigs and its members.
func (s *Server) notificationMethod(w http.ResponseWriter, r *request, rest []string) error {
	verb := "update"
	if r.Method == http.MethodGet {
		verb = "get"
	}
	if err := s.may(r, "storage.buckets."+verb, onBucket(r.bucket)); err != nil {
		return err
	}
	switch {
	case len(rest) == 0 && r.Method == http.MethodPost:
		return s.createNotification(w, r)
	case len(rest) == 0 && r.Method == http.MethodGet:
		all, err := s.store.Notifications(r.bucket)
		if err != nil {
			return err
		}
		items := []notificationConfig{}
		for _, n := range all {
			items = append(items, notificationResource(n, r.base()))
		}
		writeJSON(w, http.StatusOK, map[string]any{"kind": "storage#notifications", "items": items})
		return nil
	case len(rest) == 1 && r.Method == http.MethodGet:
		all, err := s.store.Notifications(r.bucket)
		if err != nil {
			return err
		}
		for _, n := range all {
			if n.ID == rest[0] {
				writeJSON(w, http.StatusOK, notificationResource(n, r.base()))
				return nil
			}
		}
		return fmt.Errorf("%s/%s: %w", r.bucket, rest[0], store.ErrNoNotification)
	case len(rest) == 1 && r.Method == http.MethodDelete:
		if err := s.store.DeleteNotification(r.bucket, rest[0]); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return unknown(r.Request)
}

func (s *Server) createNotification(w http.ResponseWriter, r *request) error {
	var c notificationConfig
	if err := decode(r.Body, &c); err != nil {
		return err
	}
	topic := strings.TrimPrefix(c.Topic, topicHost)
	if p := strings.Split(topic, "/"); len(p) != 4 || p[0] != "projects" || p[2] != "topics" || p[1] == "" || p[3] == "" {
		return badRequest("invalid", "topic %q: must be %sprojects/PROJECT/topics/TOPIC", c.Topic, topicHost)
	}
	// Cloud Storage too asks when a notification is declared, not when it is due.
	if err := s.opts.Access.Allowed(s.opts.Agent, "pubsub.topics.publish", topic); err != nil {
		return &apiError{http.StatusForbidden, "forbidden", fmt.Sprintf("The service account does not have permission to publish messages to the Cloud Pub/Sub topic %s%s, or that topic does not exist. %v", topicHost, topic, err)}
	}
	switch c.Payload {
	case "":
		c.Payload = payloadJSON
	case payloadJSON, "NONE":
	default:
		return badRequest("invalid", "payload_format %q: %s or NONE", c.Payload, payloadJSON)
	}
	n, err := s.store.AddNotification(store.Notification{
		Bucket: r.bucket, Topic: topic, Prefix: c.Prefix, EventTypes: c.EventTypes, Attributes: c.Attributes, PayloadFormat: c.Payload,
	}, false)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, notificationResource(n, r.base()))
	return nil
}
