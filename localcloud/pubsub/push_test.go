package pubsub_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/localcloud/pubsub"
)

func TestPush_bodyAsGoogleSendsIt(t *testing.T) {
	got := make(chan map[string]any, 1)
	header := make(chan http.Header, 1)
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := io.ReadAll(r.Body)
		var body map[string]any
		if err := json.Unmarshal(p, &body); err != nil {
			t.Error(err)
		}
		header <- r.Header
		got <- body
		w.WriteHeader(http.StatusNoContent)
	}))
	defer endpoint.Close()
	s, c := open(t, pubsub.Options{Dir: t.TempDir()})
	topic := createTopic(t, c, "train")
	createSub(t, c, &pb.Subscription{Name: "train", Topic: topic, PushConfig: &pb.PushConfig{
		PushEndpoint:         endpoint.URL,
		AuthenticationMethod: &pb.PushConfig_OidcToken_{OidcToken: &pb.PushConfig_OidcToken{ServiceAccountEmail: "push@p.iam"}},
	}})
	if err := s.Publish(t.Context(), topic, map[string]string{"type": "train"}, []byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	h, body := <-header, <-got
	message := body["message"].(map[string]any)
	if message["messageId"] != message["message_id"] || message["publishTime"] != message["publish_time"] {
		t.Errorf("both spellings differ: %v", message)
	}
	for _, k := range []string{"messageId", "message_id", "publishTime", "publish_time"} {
		if message[k] == "" {
			t.Errorf("no %s", k)
		}
		delete(message, k)
	}
	want := map[string]any{
		"message":      map[string]any{"attributes": map[string]any{"type": "train"}, "data": "eyJhIjoxfQ=="},
		"subscription": "projects/p/subscriptions/train",
	}
	if diff := cmp.Diff(want, body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if h.Get("Authorization")[:10] != "Bearer eyJ" {
		t.Errorf("Authorization = %q", h.Get("Authorization"))
	}
}
