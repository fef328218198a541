package store

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/btree"
)

// Bucket is a bucket's own record.
type Bucket struct {
	Name           string    `json:"name"`
	Metageneration int64     `json:"metageneration"`
	Created        time.Time `json:"created"`
	Updated        time.Time `json:"updated"`
	// Fields are the resource's other fields as the client gave them
	// (lifecycle, labels, versioning …): kept and returned, not acted on.
	Fields map[string]json.RawMessage `json:"fields,omitempty"`
}

// Notification tells which changes of a bucket are published, and to what topic.
type Notification struct {
	ID     string `json:"id"`
	Bucket string `json:"bucket"`
	// Topic is projects/PROJECT/topics/TOPIC.
	Topic string `json:"topic"`
	// Prefix limits it to objects whose names start so.
	Prefix string `json:"prefix,omitempty"`
	// EventTypes limits it to these; empty means every one.
	EventTypes []string `json:"event_types,omitempty"`
	// Attributes are added to each message.
	Attributes map[string]string `json:"attributes,omitempty"`
	// PayloadFormat is JSON_API_V1 (the object's resource) or NONE.
	PayloadFormat string `json:"payload_format"`
}

func (n *Notification) wants(eventType, object string) bool {
	if !strings.HasPrefix(object, n.Prefix) {
		return false
	}
	for _, t := range n.EventTypes {
		if t == eventType {
			return true
		}
	}
	return len(n.EventTypes) == 0
}

// bucketState is what the store holds of one bucket in memory.
type bucketState struct {
	meta          *Bucket
	objects       btree.Map[string, *Object]
	notifications []*Notification
}

// same says whether both ask for the same, whatever their ids.
func (n *Notification) same(m *Notification) bool {
	return n.Topic == m.Topic && n.Prefix == m.Prefix && n.PayloadFormat == m.PayloadFormat &&
		slices.Equal(n.EventTypes, m.EventTypes) && maps.Equal(n.Attributes, m.Attributes)
}
