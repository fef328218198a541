package storage_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/localcloud/storage"
)

type published struct {
	Topic      string
	Attributes map[string]string
	Object     map[string]any
}

// publishTo returns a Notify that hands over what it gets.
func publishTo(ch chan<- published) func(context.Context, string, map[string]string, []byte) error {
	return func(ctx context.Context, topic string, attributes map[string]string, data []byte) error {
		p := published{Topic: topic, Attributes: attributes}
		if data != nil {
			if err := json.Unmarshal(data, &p.Object); err != nil {
				return err
			}
		}
		select {
		case ch <- p:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestNotification_attributes(t *testing.T) {
	ch := make(chan published, 10)
	now := time.Date(2026, 11, 23, 18, 0, 0, 123456789, time.UTC)
	srv := open(t, options(t, func(o *serverOptions) {
		o.Notify = publishTo(ch)
		o.Now = func() time.Time { return now }
	}))
	defer srv.Close()
	n := storage.Notification{Topic: "projects/p/topics/incoming", Prefix: "in/", Attributes: map[string]string{"env": "test"}}
	for range 2 { // the second time changes nothing
		if err := srv.PutNotification(t.Context(), "bench", n); err != nil {
			t.Fatal(err)
		}
	}
	do := func(method, path, body string) {
		t.Helper()
		w := httptest.NewRecorder()
		r := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
		srv.ServeHTTP(w, r)
		if w.Code >= 300 {
			t.Fatalf("%s %s: status %d: %s", method, path, w.Code, w.Body)
		}
	}
	do("POST", "/upload/storage/v1/b/bench/o?uploadType=media&name=elsewhere", "x") // not under the prefix
	do("POST", "/upload/storage/v1/b/bench/o?uploadType=media&name=in/ü", "hello")

	created := <-ch
	common := map[string]string{
		"notificationConfig": "projects/_/buckets/bench/notificationConfigs/1", "payloadFormat": "JSON_API_V1",
		"bucketId": "bench", "objectId": "in/ü", "env": "test", "eventTime": "2026-11-23T18:00:00.123456Z",
	}
	with := func(more map[string]string) map[string]string {
		for k, v := range common {
			more[k] = v
		}
		return more
	}
	gen1 := created.Attributes["objectGeneration"]
	if diff := cmp.Diff(with(map[string]string{"eventType": "OBJECT_FINALIZE", "objectGeneration": gen1}), created.Attributes); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	if created.Topic != n.Topic || created.Object["name"] != "in/ü" || created.Object["size"] != "5" || created.Object["kind"] != "storage#object" || created.Object["generation"] != gen1 {
		t.Errorf("published %+v", created)
	}

	do("PATCH", "/storage/v1/b/bench/o/in%2F%C3%BC", `{"metadata":{"k":"v"}}`)
	if got := <-ch; got.Attributes["eventType"] != "OBJECT_METADATA_UPDATE" || got.Object["metageneration"] != "2" {
		t.Errorf("after a patch: %+v", got)
	}

	do("POST", "/upload/storage/v1/b/bench/o?uploadType=media&name=in/ü", "again")
	got := map[string]map[string]string{}
	for range 2 { // in no promised order
		p := <-ch
		got[p.Attributes["eventType"]] = p.Attributes
	}
	gen2 := got["OBJECT_FINALIZE"]["objectGeneration"]
	want := map[string]map[string]string{
		"OBJECT_FINALIZE": with(map[string]string{"eventType": "OBJECT_FINALIZE", "objectGeneration": gen2, "overwroteGeneration": gen1}),
		"OBJECT_DELETE":   with(map[string]string{"eventType": "OBJECT_DELETE", "objectGeneration": gen1, "overwrittenByGeneration": gen2}),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("an overwrite (-want +got):\n%s", diff)
	}

	do("DELETE", "/storage/v1/b/bench/o/in%2F%C3%BC", "")
	if got := <-ch; got.Attributes["eventType"] != "OBJECT_DELETE" || got.Attributes["objectGeneration"] != gen2 {
		t.Errorf("after a delete: %+v", got)
	}
}

// A topic that fails is tried again, ever more slowly, and holds up no other.
func TestNotification_repeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries []time.Duration
		start := time.Now()
		done := make(chan struct{})
		other := make(chan struct{}, 1)
		srv := open(t, options(t, func(o *serverOptions) {
			o.Notify = func(_ context.Context, topic string, _ map[string]string, _ []byte) error {
				if topic == "projects/p/topics/other" {
					other <- struct{}{}
					return nil
				}
				tries = append(tries, time.Since(start).Round(10*time.Millisecond))
				if len(tries) < 4 {
					return errors.New("away")
				}
				close(done)
				return nil
			}
		}))
		for _, topic := range []string{"projects/p/topics/failing", "projects/p/topics/other"} {
			if err := srv.PutNotification(t.Context(), "bench", storage.Notification{Topic: topic}); err != nil {
				t.Fatal(err)
			}
		}
		r := httptest.NewRequest("POST", "http://localhost/upload/storage/v1/b/bench/o?uploadType=media&name=o", strings.NewReader("x"))
		srv.ServeHTTP(httptest.NewRecorder(), r)
		<-other
		<-done
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond, 700 * time.Millisecond}, tries); diff != "" {
			t.Errorf("published after (-want +got):\n%s", diff)
		}
	})
}

// What was not published when the server ended is published by the next, and
// what was published is not.
func TestNotification_acrossRestarts(t *testing.T) {
	o := options(t)
	delivered := make(chan string, 10)
	o.Notify = func(_ context.Context, _ string, attributes map[string]string, _ []byte) error {
		if attributes["objectId"] == "b" {
			return errors.New("away")
		}
		delivered <- attributes["objectId"]
		return nil
	}
	srv := open(t, o)
	if err := srv.PutNotification(t.Context(), "bench", storage.Notification{Topic: "projects/p/topics/t"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		r := httptest.NewRequest("POST", "http://localhost/upload/storage/v1/b/bench/o?uploadType=media&name="+name, strings.NewReader("x"))
		srv.ServeHTTP(httptest.NewRecorder(), r)
	}
	<-delivered
	<-delivered
	srv.Close()

	ch := make(chan published)
	o.Notify = publishTo(ch)
	srv = open(t, o)
	defer srv.Close()
	again := map[string]bool{}
	for !again["b"] { // a and c may come again, b must
		got := <-ch
		if got.Object["name"] != got.Attributes["objectId"] {
			t.Errorf("published %+v", got)
		}
		again[got.Attributes["objectId"]] = true
	}
}

func TestNotification_methods(t *testing.T) {
	base := newServer(t, options(t)) + "/storage/v1/b/bench/notificationConfigs"
	made := document(t, call(t, "POST", base, `{"topic":"//pubsub.googleapis.com/projects/p/topics/t","event_types":["OBJECT_FINALIZE"],"object_name_prefix":"in/","payload_format":"JSON_API_V1","custom_attributes":{"k":"v"}}`))
	got := document(t, call(t, "GET", base+"/"+made["id"].(string), ""))
	if diff := cmp.Diff(made, got); diff != "" {
		t.Errorf("get (-made +got):\n%s", diff)
	}
	if made["topic"] != "//pubsub.googleapis.com/projects/p/topics/t" || made["object_name_prefix"] != "in/" {
		t.Errorf("made %v", made)
	}
	if list := document(t, call(t, "GET", base, ""))["items"].([]any); len(list) != 1 {
		t.Errorf("list: %v", list)
	}
	if got := call(t, "DELETE", base+"/"+made["id"].(string), ""); got.status != http.StatusNoContent {
		t.Errorf("delete: status %d", got.status)
	}
	for name, status := range map[string]int{"GET": 404, "DELETE": 404, "PATCH": 501} {
		if got := call(t, name, base+"/"+made["id"].(string), ""); got.status != status {
			t.Errorf("%s after the delete: status %d", name, got.status)
		}
	}
	for _, body := range []string{`{}`, `{"topic":"t"}`, `{"topic":"projects//topics/t"}`, `{"topic":"projects/p/topics/t","payload_format":"XML"}`} {
		if got := call(t, "POST", base, body); got.status != http.StatusBadRequest {
			t.Errorf("%s: status %d", body, got.status)
		}
	}
}
