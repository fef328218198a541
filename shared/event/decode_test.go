package event

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/errs"
)

const object = `{"bucket":"in","name":"b/p.jpg","generation":"42","updated":"2026-01-02T03:04:05Z"}`

func push(attributes, data string) string {
	return `{"message":{"attributes":` + attributes + `,"data":"` + base64.StdEncoding.EncodeToString([]byte(data)) + `","messageId":"7","publishTime":"2026-01-02T03:04:05Z"},"subscription":"s"}`
}

func TestDecode_carriers(t *testing.T) {
	ce := func(kv ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(kv); i += 2 {
			h.Set(kv[i], kv[i+1])
		}
		return h
	}
	tests := []struct {
		name, body string
		header     http.Header
		want       Type
		data       string
	}{
		{"push of a storage notification", push(`{"eventType":"OBJECT_FINALIZE","bucketId":"in","objectId":"b/p.jpg","objectGeneration":"42"}`, object), nil, ObjectFinalized, `{"bucket":"in","name":"b/p.jpg","generation":"42"}`},
		{"Eventarc storage event in binary mode", object, ce("Ce-Type", "google.cloud.storage.object.v1.finalized", "Ce-Id", "1"), ObjectFinalized, `{"bucket":"in","name":"b/p.jpg","generation":"42"}`},
		{"Eventarc storage event in structured mode", `{"id":"1","type":"google.cloud.storage.object.v1.finalized","data":` + object + `}`, ce("Content-Type", "application/cloudevents+json; charset=utf-8"), ObjectFinalized, `{"bucket":"in","name":"b/p.jpg","generation":"42"}`},
		{"Eventarc around a push", push(`{"id":"x","type":"train"}`, `{"dataset":"d"}`), ce("Ce-Type", "google.cloud.pubsub.topic.v1.messagePublished", "Ce-Id", "1"), Train, `{"dataset":"d"}`},
		{"push of an event of ours", push(`{"id":"x","type":"register","time":"2026-01-02T03:04:05.5Z"}`, `{"run":"r"}`), nil, Register, `{"run":"r"}`},
		{"direct CloudEvent", `{"run":"r"}`, ce("Ce-Type", "register", "Ce-Id", "x"), Register, `{"run":"r"}`},
	}
	ids := map[string]string{}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/", strings.NewReader(tt.body))
			for k, v := range tt.header {
				r.Header[k] = v
			}
			e, err := Decode(r)
			if err != nil {
				t.Fatal(err)
			}
			if e.Type != tt.want || e.ID == "" {
				t.Errorf("type %q id %q, want %q", e.Type, e.ID, tt.want)
			}
			if d := cmp.Diff(tt.data, string(e.Data)); d != "" {
				t.Error(d)
			}
			if prev, ok := ids[tt.data]; ok && prev != e.ID {
				t.Errorf("the same happening has ids %s and %s", prev, e.ID)
			}
			ids[tt.data] = e.ID
		})
	}
}

func TestDecode_malformedIsPermanent(t *testing.T) {
	for name, body := range map[string]string{
		"empty":            ``,
		"not JSON":         `hello`,
		"no message":       `{}`,
		"unknown type":     push(`{"id":"x","type":"party"}`, `{}`),
		"data not JSON":    push(`{"id":"x","type":"train"}`, `{`),
		"deletion":         push(`{"eventType":"OBJECT_DELETE","bucketId":"in","objectId":"o","objectGeneration":"1"}`, `{}`),
		"nameless object":  push(`{"eventType":"OBJECT_FINALIZE","bucketId":"in"}`, `{}`),
		"time not RFC3339": push(`{"id":"x","type":"train","time":"yesterday"}`, `{}`),
		"too large":        `{"x":"` + strings.Repeat("a", maxBody) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode(httptest.NewRequest("POST", "/", strings.NewReader(body)))
			if code, ok := errs.Reason(err); !ok || code != CodeMalformed {
				t.Errorf("error %v, want a permanent %s", err, CodeMalformed)
			}
		})
	}
}

func TestHandler_statusByError(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	for _, tt := range []struct {
		name string
		err  error
		want int
	}{
		{"done", nil, 204},
		{"permanent is acknowledged", errs.Permanentf("bad", "bad"), 200},
		{"transient comes again", errors.New("away"), 503},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			h := Handler("train", log, func(context.Context, Event) error { return tt.err })
			h.ServeHTTP(w, httptest.NewRequest("POST", "/", strings.NewReader(push(`{"id":"x","type":"train"}`, `{}`))))
			if w.Code != tt.want {
				t.Errorf("status %d, want %d", w.Code, tt.want)
			}
		})
	}
}

// Cloud Storage tells nothing of a trace; the object's writer may have.
func TestDecode_takesTheTraceFromTheObjectsMetadata(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	attributes := `{"eventType":"OBJECT_FINALIZE","bucketId":"in","objectId":"b/a.jpg","objectGeneration":"7"}`
	for name, c := range map[string]struct{ resource, want string }{
		"left by the writer": {`{"bucket":"in","name":"b/a.jpg","generation":"7","metadata":{"traceparent":"` + parent + `"}}`, parent},
		"none":               {`{"bucket":"in","name":"b/a.jpg","generation":"7"}`, ""},
	} {
		e, err := Decode(httptest.NewRequest("POST", "/", strings.NewReader(push(attributes, c.resource))))
		if err != nil || e.Trace[AttrTraceparent] != c.want {
			t.Errorf("%s: trace %v, %v; want %q", name, e.Trace, err, c.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("", "", push(`{"id":"x","type":"train"}`, `{}`))
	f.Add("google.cloud.storage.object.v1.finalized", "", object)
	f.Add("", "application/cloudevents+json", `{"id":"1","type":"deploy","data":{}}`)
	f.Fuzz(func(t *testing.T, ceType, contentType, body string) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		if ceType != "" {
			r.Header.Set("Ce-Type", ceType)
		}
		e, err := Decode(r)
		if err == nil && (e.ID == "" || e.Type == "") {
			t.Errorf("decoded an event without identity: %+v", e)
		}
	})
}
