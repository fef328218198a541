package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/litterloop/litterloop/cmd/litterloop/client"
	"github.com/litterloop/litterloop/cmd/litterloop/local"
	"github.com/litterloop/litterloop/shared/bus"
)

// provider asks the control plane as Terraform's provider does.
type provider struct {
	t    *testing.T
	base string
}

func (p provider) call(method, path string, body any) map[string]any {
	p.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		p.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.base+path, bytes.NewReader(text))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer local")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	var result map[string]any
	if err := json.Unmarshal(answer, &result); err != nil || resp.StatusCode != http.StatusOK {
		p.t.Fatalf("%s %s: %s %s", method, path, resp.Status, answer)
	}
	return result
}

// Photos dropped into a cloud that was declared piece by piece become a version
// that passes: in functions run by their entry points, each with the environment
// that was declared for it and no other.
func TestUp_runsWhatIsDeclared(t *testing.T) {
	state := t.TempDir()
	l, err := local.Start(t.Context(), local.Options{State: state, Declared: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	p := provider{t, "http://" + l.Cloud.Endpoints.ControlPlane}
	buckets := map[string]string{"INCOMING_BUCKET": "in", "DATASETS_BUCKET": "data", "MODELS_BUCKET": "models", "PREDICTIONS_BUCKET": "predictions", "LEDGER_BUCKET": "ledger"}
	environment := map[string]string{"GOOGLE_CLOUD_PROJECT": "local"}
	for variable, name := range buckets {
		name = "declared-" + name
		environment[variable] = name
		p.call("POST", "/storage/v1/b?project=local", map[string]any{"name": name, "location": "EUROPE-WEST1", "versioning": map[string]bool{"enabled": true}})
	}
	topics := []string{bus.IncomingObjects, bus.DatasetObjects, bus.Train, bus.Alerts, bus.DeadLetters, bus.Retrain}
	for _, topic := range topics {
		p.call("PUT", "/pubsub/v1/projects/local/topics/"+topic, map[string]any{})
	}
	for _, n := range [][3]string{{"declared-in", bus.IncomingObjects, ""}, {"declared-data", bus.DatasetObjects, "versions/"}} {
		p.call("POST", "/storage/v1/b/"+n[0]+"/notificationConfigs", map[string]any{"topic": "projects/local/topics/" + n[1], "payload_format": "JSON_API_V1", "event_types": []string{"OBJECT_FINALIZE"}, "object_name_prefix": n[2]})
	}
	const functions = "/cloudfunctions/v2/projects/local/locations/europe-west1/functions"
	for name, topic := range map[string]string{"convert": bus.IncomingObjects, "validate": bus.DatasetObjects} {
		p.call("POST", functions+"?functionId="+name, map[string]any{
			"buildConfig":   map[string]any{"entryPoint": name, "runtime": "go126", "source": map[string]any{"storageSource": map[string]string{"bucket": "source", "object": "functions.zip"}}},
			"serviceConfig": map[string]any{"environmentVariables": environment, "serviceAccountEmail": name + "@local.iam.gserviceaccount.com"},
		})
		config, _ := p.call("GET", functions+"/"+name, nil)["serviceConfig"].(map[string]any)
		p.call("PUT", "/pubsub/v1/projects/local/subscriptions/"+name, map[string]any{
			"topic": "projects/local/topics/" + topic, "ackDeadlineSeconds": 600, "expirationPolicy": map[string]any{},
			"pushConfig":       map[string]any{"pushEndpoint": config["uri"], "oidcToken": map[string]any{"serviceAccountEmail": "push@local.iam.gserviceaccount.com", "audience": config["uri"]}},
			"retryPolicy":      map[string]string{"minimumBackoff": "0.2s", "maximumBackoff": "5s"},
			"deadLetterPolicy": map[string]any{"deadLetterTopic": "projects/local/topics/" + bus.DeadLetters, "maxDeliveryAttempts": 12},
		})
	}

	dir := filepath.Join(t.TempDir(), "sample")
	if err := (&dataSampleCmd{Dir: dir, Photos: 30, Seed: 1}).Run(&globals{stdout: io.Discard, stderr: os.Stderr}); err != nil {
		t.Fatal(err)
	}
	files, err := client.Directory(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Drop(t.Context(), l.Bucket("declared-in"), "batch", files, func(int, int) {}); err != nil {
		t.Fatal(err)
	}
	for variable, name := range environment { // the client reads what the functions write
		t.Setenv(variable, name)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	current := l.Bucket("declared-data")
	for {
		if _, err := current.Stat(t.Context(), "current"); err == nil {
			break
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("no version passed")
		}
	}
	p.call("DELETE", functions+"/convert", nil)
	logs, err := filepath.Glob(filepath.Join(state, "run", "logs", "*", "*", "*", "*", "services", "validate", "*", "*"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("no log of the function: %v", err)
	}
	text, err := os.ReadFile(logs[0])
	if err != nil || strings.Contains(string(text), "panic") {
		t.Errorf("the function's log: %v\n%s", err, text)
	}
}
