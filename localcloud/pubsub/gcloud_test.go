//go:build peers

package pubsub_test

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/litterloop/litterloop/localcloud/pubsub"
)

// TestGcloud is a session of the real gcloud with the JSON API.
func TestGcloud(t *testing.T) {
	if _, err := exec.LookPath("gcloud"); err != nil {
		t.Skip("no gcloud on this machine")
	}
	s, err := pubsub.New(pubsub.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	web := httptest.NewServer(s)
	defer web.Close()
	config := t.TempDir()
	gcloud := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("gcloud", append([]string{"pubsub"}, args...)...)
		cmd.Env = append(os.Environ(), "CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB="+web.URL+"/", "CLOUDSDK_CORE_PROJECT=p",
			"CLOUDSDK_AUTH_DISABLE_CREDENTIALS=true", "CLOUDSDK_CONFIG="+config, "CLOUDSDK_CORE_DISABLE_PROMPTS=1")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("gcloud pubsub %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
		}
		return strings.TrimSpace(string(out))
	}
	gcloud("topics", "create", "train")
	gcloud("topics", "create", "dead-letters")
	gcloud("subscriptions", "create", "train", "--topic=train", "--ack-deadline=60", "--min-retry-delay=1s", "--max-retry-delay=60s",
		"--dead-letter-topic=dead-letters", "--max-delivery-attempts=5", `--message-filter=attributes.type = "train"`)
	if got := gcloud("topics", "list", "--format=value(name)"); got != "projects/p/topics/dead-letters\nprojects/p/topics/train" {
		t.Errorf("topics list: %q", got)
	}
	gcloud("topics", "publish", "train", "--message=not wanted", "--attribute=type=deploy")
	gcloud("topics", "publish", "train", "--message=hello", "--attribute=type=train,id=7")
	var pulled []struct {
		Message struct{ Data, MessageID string }
	}
	if err := json.Unmarshal([]byte(gcloud("subscriptions", "pull", "train", "--auto-ack", "--limit=10", "--format=json")), &pulled); err != nil {
		t.Fatal(err)
	}
	if len(pulled) != 1 || pulled[0].Message.Data != "aGVsbG8=" {
		t.Errorf("pulled %+v", pulled)
	}
	gcloud("subscriptions", "update", "train", "--ack-deadline=120")
	gcloud("subscriptions", "modify-push-config", "train", "--push-endpoint=http://127.0.0.1:1/")
	if got := gcloud("subscriptions", "describe", "train", "--format=value(ackDeadlineSeconds,pushConfig.pushEndpoint,deadLetterPolicy.maxDeliveryAttempts)"); got != "120\thttp://127.0.0.1:1/\t5" {
		t.Errorf("describe: %q", got)
	}
	if got := gcloud("topics", "list-subscriptions", "train"); !strings.Contains(got, "projects/p/subscriptions/train") {
		t.Errorf("list-subscriptions: %q", got)
	}
	gcloud("subscriptions", "delete", "train")
	gcloud("topics", "delete", "train")
	if n := len(s.Stats()); n != 0 {
		t.Errorf("%d subscriptions left", n)
	}
}
