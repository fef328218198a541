package pubsub_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/localcloud/pubsub"
)

// rest sends one request to the JSON API and returns its answer.
func rest(t *testing.T, h http.Handler, method, path, body string) (code int, answer map[string]any) {
	t.Helper()
	r := httptest.NewRequest(method, "/v1/"+path, strings.NewReader(body))
	// What curl -d says of any body.
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	p, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(p, &answer); err != nil {
		t.Fatalf("%s %s: %d, %q: %v", method, path, w.Code, p, err)
	}
	return w.Code, answer
}

func TestREST(t *testing.T) {
	s, err := pubsub.New(pubsub.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const sub = `projects/p/subscriptions/sub`
	steps := []struct {
		name, method, path, body string
		code                     int
		want                     map[string]any // nil: not looked at
	}{
		{"create a topic", "PUT", "projects/p/topics/train", `{}`, 200, map[string]any{"name": "projects/p/topics/train", "state": "ACTIVE"}},
		{"create it again", "PUT", "projects/p/topics/train", ``, 409, nil},
		{"create a subscription", "PUT", sub, `{"topic":"projects/p/topics/train","retryPolicy":{"minimumBackoff":"1s"}}`, 200, nil},
		{"of a missing topic", "PUT", sub + "2", `{"topic":"projects/p/topics/nowhere"}`, 404, map[string]any{"error": map[string]any{
			"code": 404.0, "status": "NOT_FOUND", "message": `topic "projects/p/topics/nowhere" does not exist: create it first`}}},
		{"change it", "PATCH", sub, `{"subscription":{"ackDeadlineSeconds":60},"updateMask":"ackDeadlineSeconds"}`, 200, map[string]any{
			"name": sub, "topic": "projects/p/topics/train", "ackDeadlineSeconds": 60.0, "state": "ACTIVE",
			"messageRetentionDuration": "604800s", "retryPolicy": map[string]any{"minimumBackoff": "1s", "maximumBackoff": "600s"}}},
		{"change what cannot be", "PATCH", sub, `{"subscription":{"filter":"attributes:x"},"updateMask":"filter"}`, 400, nil},
		{"list topics", "GET", "projects/p/topics?pageSize=1", ``, 200, map[string]any{"topics": []any{map[string]any{"name": "projects/p/topics/train", "state": "ACTIVE"}}}},
		{"list subscriptions of a topic", "GET", "projects/p/topics/train/subscriptions", ``, 200, map[string]any{"subscriptions": []any{sub}}},
		{"list of another project", "GET", "projects/q/subscriptions", ``, 200, map[string]any{}},
		{"bad page size", "GET", "projects/p/topics?pageSize=x", ``, 400, nil},
		{"publish", "POST", "projects/p/topics/train:publish", `{"messages":[{"data":"eA==","attributes":{"k":"v"}}]}`, 200, nil},
		{"publish what is no JSON", "POST", "projects/p/topics/train:publish", `{"messages":`, 400, nil},
		{"pull", "POST", sub + ":pull", `{"maxMessages":5}`, 200, nil},
		{"acknowledge an id that is none", "POST", sub + ":acknowledge", `{"ackIds":["x"]}`, 400, nil},
		{"push from now on", "POST", sub + ":modifyPushConfig", `{"pushConfig":{"pushEndpoint":"http://127.0.0.1:1/"}}`, 200, map[string]any{}},
		{"pull what is pushed", "POST", sub + ":pull", `{"maxMessages":5}`, 400, nil},
		{"unknown verb", "POST", sub + ":explode", `{}`, 501, nil},
		{"unknown collection", "GET", "projects/p/schemas/x", ``, 501, nil},
		{"delete", "DELETE", sub, ``, 200, map[string]any{}},
		{"get what is deleted", "GET", sub, ``, 404, nil},
	}
	for _, step := range steps {
		code, got := rest(t, s, step.method, step.path, step.body)
		if code != step.code {
			t.Errorf("%s: %d %v, want %d", step.name, code, got, step.code)
		}
		if diff := cmp.Diff(step.want, got); step.want != nil && diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
}

func TestREST_pullAndAcknowledge(t *testing.T) {
	s, err := pubsub.New(pubsub.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rest(t, s, "PUT", "projects/p/topics/train", ``)
	rest(t, s, "PUT", "projects/p/subscriptions/sub", `{"topic":"projects/p/topics/train"}`)
	_, published := rest(t, s, "POST", "projects/p/topics/train:publish", `{"messages":[{"data":"eA==","attributes":{"k":"v"}}]}`)
	_, got := rest(t, s, "POST", "projects/p/subscriptions/sub:pull", `{"maxMessages":5}`)
	received := got["receivedMessages"].([]any)[0].(map[string]any)
	message := received["message"].(map[string]any)
	delete(message, "publishTime")
	want := map[string]any{"data": "eA==", "attributes": map[string]any{"k": "v"}, "messageId": published["messageIds"].([]any)[0]}
	if diff := cmp.Diff(want, message); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
	ack, err := json.Marshal(map[string]any{"ackIds": []any{received["ackId"]}})
	if err != nil {
		t.Fatal(err)
	}
	rest(t, s, "POST", "projects/p/subscriptions/sub:acknowledge", string(ack))
	if st := s.Stats()[0]; st.Acked != 1 || st.Waiting != 0 {
		t.Errorf("stats after the acknowledgement: %+v", st)
	}
}
