package cloud

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fake puts a program in terraform's place that says what lines say, writes its
// arguments to a file whose path is returned, and ends with status.
func fake(t *testing.T, lines string, status int) (args string) {
	t.Helper()
	dir := t.TempDir()
	args = filepath.Join(dir, "args")
	said := filepath.Join(dir, "said")
	script := fmt.Sprintf("#!/bin/sh\nprintf '%%s\\n' \"$@\" >%s\ncat %s\nexit %d\n", args, said, status)
	for name, text := range map[string]string{said: lines, filepath.Join(dir, "terraform"): script} {
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return args
}

// What Terraform 1.11.4 says, shortened.
const applied = `{"@level":"info","@message":"Terraform 1.11.4","type":"version"}
{"@message":"google_pubsub_topic.topic: Plan to create","change":{"resource":{"addr":"google_pubsub_topic.topic[\"train\"]"},"action":"create"},"type":"planned_change"}
{"@message":"google_pubsub_topic.topic: Plan to create","change":{"resource":{"addr":"google_pubsub_topic.topic[\"deploy\"]"},"action":"create"},"type":"planned_change"}
{"@message":"Plan: 2 to add","changes":{"add":2,"change":0,"import":0,"remove":0,"operation":"plan"},"type":"change_summary"}
{"@message":"Creating...","hook":{"resource":{"addr":"google_pubsub_topic.topic[\"train\"]"},"action":"create"},"type":"apply_start"}
{"@message":"Creation complete","hook":{"resource":{"addr":"google_pubsub_topic.topic[\"train\"]"},"action":"create","elapsed_seconds":1},"type":"apply_complete"}
not JSON
{"@message":"Creation complete","hook":{"resource":{"addr":"google_pubsub_topic.topic[\"deploy\"]"},"action":"create","elapsed_seconds":1},"type":"apply_complete"}
{"@message":"Apply complete!","changes":{"add":2,"change":0,"import":0,"remove":0,"operation":"apply"},"type":"change_summary"}
`

func TestApply_tellsHowFarItIs(t *testing.T) {
	args := fake(t, applied, 0)
	tf := Terraform{Dir: t.TempDir(), Project: "streets-1", Vars: []string{"release=v1"}}
	var told []string
	s, err := tf.Apply(t.Context(), func(done, total int, about string) { told = append(told, fmt.Sprint(done, "/", total, " ", about)) }, "module.source")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Summary{Add: 2}, s); d != "" {
		t.Error(d)
	}
	want := []string{`0/2 google_pubsub_topic.topic["train"]`, `1/2 google_pubsub_topic.topic["train"]`, `2/2 google_pubsub_topic.topic["deploy"]`}
	if d := cmp.Diff(want, told); d != "" {
		t.Error(d)
	}
	given, err := os.ReadFile(args)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"apply", "-json", "-input=false", "-auto-approve", "-var-file=envs/streets-1.tfvars", "-var", "release=v1", "-target=module.source"}, strings.Fields(string(given))); d != "" {
		t.Error(d)
	}
}

func TestApply_tellsEveryFaultOnceWithWhatMendsIt(t *testing.T) {
	const fault = `{"@message":"Error","diagnostic":{"severity":"error","summary":"Error creating Job","detail":"googleapi: Error 429: Quota exceeded","address":"module.trainer.google_cloud_run_v2_job.this"},"type":"diagnostic"}
`
	fake(t, fault+fault+`{"diagnostic":{"severity":"warning","summary":"Deprecated"},"type":"diagnostic"}
`, 1)
	_, err := Terraform{Dir: t.TempDir(), Project: "streets-1"}.Apply(t.Context(), nil)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"module.trainer.google_cloud_run_v2_job.this: Error creating Job", "mend it: ask for more: https://console.cloud.google.com/iam-admin/quotas?project=streets-1"} {
		if strings.Count(err.Error(), want) != 1 {
			t.Errorf("told %d times: %s\n%v", strings.Count(err.Error(), want), want, err)
		}
	}
	if strings.Contains(err.Error(), "Deprecated") {
		t.Error("a warning counts as a fault")
	}
}
