package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/litterloop/litterloop/shared/errs"
)

// Attribute keys of a published event.
const (
	AttrID          = "id"
	AttrType        = "type"
	AttrTime        = "time"
	AttrTraceparent = "traceparent"
	AttrTracestate  = "tracestate"
)

// maxBody bounds a request: Pub/Sub's largest message is 10 MB, base64 makes it 13.4.
const maxBody = 16 << 20

// CodeMalformed marks a request that carries no event we know.
const CodeMalformed errs.Code = "event-malformed"

// Decode reads one event from a request: a Pub/Sub push (wrapped), an Eventarc
// CloudEvent in binary or structured mode, or a CloudEvent of our own sent
// directly. What is none of these is a permanent error, CodeMalformed; a body
// cut short is transient.
func Decode(r *http.Request) (Event, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return Event{}, fmt.Errorf("read event: %w: %w", errs.Unavailable, err)
	}
	if len(body) > maxBody {
		return Event{}, errs.Permanentf(CodeMalformed, "event of more than %d bytes", maxBody)
	}
	e, err := decode(r.Header, body)
	if err != nil {
		return Event{}, errs.Permanent(CodeMalformed, err)
	}
	if len(e.Trace) == 0 {
		e.Trace = traceOf(r.Header.Get(AttrTraceparent), r.Header.Get(AttrTracestate))
	}
	return e, nil
}

func decode(h http.Header, body []byte) (Event, error) {
	media, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	switch {
	case media == "application/cloudevents+json":
		var ce cloudEvent
		if err := json.Unmarshal(body, &ce); err != nil {
			return Event{}, fmt.Errorf("structured CloudEvent: %w", err)
		}
		return ce.event()
	case h.Get("Ce-Type") != "":
		ce := cloudEvent{ID: h.Get("Ce-Id"), Type: h.Get("Ce-Type"), Time: h.Get("Ce-Time"), Traceparent: h.Get("Ce-Traceparent"), Data: body}
		return ce.event()
	}
	return pushed(body)
}

// cloudEvent is the envelope of a CloudEvent, whatever mode carried it.
type cloudEvent struct {
	ID          string          `json:"id"`
	Type        string          `json:"type"`
	Time        string          `json:"time"`
	Traceparent string          `json:"traceparent"`
	Data        json.RawMessage `json:"data"`
}

func (ce cloudEvent) event() (Event, error) {
	switch ce.Type {
	case "google.cloud.pubsub.topic.v1.messagePublished":
		return pushed(ce.Data)
	case "google.cloud.storage.object.v1.finalized":
		return finalized(ce.Data, nil)
	}
	if strings.HasPrefix(ce.Type, "google.") {
		return Event{}, fmt.Errorf("CloudEvent type %q is not one the loop handles", ce.Type)
	}
	if ce.ID == "" {
		return Event{}, errors.New("CloudEvent has no id")
	}
	return ours(ce.ID, ce.Type, ce.Time, ce.Data, traceOf(ce.Traceparent, ""))
}

// pushed decodes the body of a Pub/Sub push: one of our events, or a storage
// notification, told apart by the attributes.
func pushed(body []byte) (Event, error) {
	var p struct {
		Message *struct {
			Data        []byte            `json:"data"`
			Attributes  map[string]string `json:"attributes"`
			MessageID   string            `json:"messageId"`
			PublishTime string            `json:"publishTime"`
		} `json:"message"`
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return Event{}, fmt.Errorf("request body is neither a Pub/Sub push nor a CloudEvent: %w", err)
	}
	if p.Message == nil {
		return Event{}, errors.New("request body is neither a Pub/Sub push (no message) nor a CloudEvent (no ce-type)")
	}
	m := p.Message
	tr := traceOf(m.Attributes[AttrTraceparent], m.Attributes[AttrTracestate])
	if t := m.Attributes["eventType"]; t != "" {
		if t != "OBJECT_FINALIZE" {
			return Event{}, fmt.Errorf("storage notification %q is not one the loop handles", t)
		}
		o := &Object{Bucket: m.Attributes["bucketId"], Name: m.Attributes["objectId"]}
		o.Generation, _ = strconv.ParseInt(m.Attributes["objectGeneration"], 10, 64)
		e, err := finalized(m.Data, o)
		if tr != nil {
			e.Trace = tr
		}
		return e, err
	}
	id, at := m.Attributes[AttrID], m.Attributes[AttrTime]
	if id == "" { // published by hand, as with gcloud: the bus's id is all there is
		id = m.MessageID
	}
	if at == "" {
		at = m.PublishTime
	}
	if id == "" {
		return Event{}, errors.New("message has no id")
	}
	return ours(id, m.Attributes[AttrType], at, m.Data, tr)
}

// finalized builds an ObjectFinalized event from an object resource, or from
// the notification's attributes where they are given.
func finalized(resource []byte, o *Object) (Event, error) {
	var r struct {
		Bucket     string            `json:"bucket"`
		Name       string            `json:"name"`
		Generation string            `json:"generation"`
		Updated    time.Time         `json:"updated"`
		Metadata   map[string]string `json:"metadata"`
	}
	if len(resource) > 0 {
		if err := json.Unmarshal(resource, &r); err != nil && o == nil {
			return Event{}, fmt.Errorf("object resource: %w", err)
		}
	}
	if o == nil {
		gen, err := strconv.ParseInt(r.Generation, 10, 64)
		if err != nil {
			return Event{}, fmt.Errorf("object generation %q: %w", r.Generation, err)
		}
		o = &Object{Bucket: r.Bucket, Name: r.Name, Generation: gen}
	}
	if o.Bucket == "" || o.Name == "" || o.Generation <= 0 {
		return Event{}, errors.New("storage event names no bucket, object or generation")
	}
	e, err := New(ObjectFinalized, r.Updated, o, o.Bucket, o.Name, strconv.FormatInt(o.Generation, 10))
	// Cloud Storage carries no trace; whoever wrote the object may have left it there.
	e.Trace = traceOf(r.Metadata[AttrTraceparent], r.Metadata[AttrTracestate])
	return e, err
}

func ours(id, typ, at string, data []byte, tr map[string]string) (Event, error) {
	switch Type(typ) {
	case Train, Retrain, Register, Deploy, Alert:
	default:
		return Event{}, fmt.Errorf("event type %q is not one of the loop's", typ)
	}
	if !json.Valid(data) {
		return Event{}, fmt.Errorf("data of the %s event is not JSON", typ)
	}
	t, err := time.Parse(time.RFC3339Nano, at)
	if at != "" && err != nil {
		return Event{}, fmt.Errorf("time of the %s event: %w", typ, err)
	}
	return Event{ID: id, Type: Type(typ), Time: t.UTC(), Trace: tr, Data: data}, nil
}

func traceOf(parent, state string) map[string]string {
	if parent == "" {
		return nil
	}
	t := map[string]string{AttrTraceparent: parent}
	if state != "" {
		t[AttrTracestate] = state
	}
	return t
}

// Into decodes e's data, which must be of type want, into v. An event of
// another type, or whose data does not fit, is a permanent error.
func (e Event) Into(want Type, v any) error {
	if e.Type != want {
		return errs.Permanentf(CodeMalformed, "event %s is of type %q, not %q", e.ID, e.Type, want)
	}
	if err := json.Unmarshal(e.Data, v); err != nil {
		return errs.Permanentf(CodeMalformed, "data of %s event %s: %w", e.Type, e.ID, err)
	}
	return nil
}
