package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/litterloop/litterloop/cmd/litterloop/local"
	"github.com/litterloop/litterloop/shared/telemetry/export"
)

// checkTraces asserts that a state's passes of the loop are one trace each, from
// the drop, or the drift check, to the deployed model.
func checkTraces(t *testing.T, state string) {
	t.Helper()
	spans, err := export.ReadFile(local.Traces(state))
	if err != nil {
		t.Fatal(err)
	}
	var passes []export.Trace
	for _, x := range export.Traces(spans) {
		if len(x.Find("rollout promote")) > 0 {
			passes = append(passes, x)
		}
	}
	if len(passes) != 2 {
		t.Fatalf("%d traces lead to a deployed model, want the first pass and the retraining", len(passes))
	}
	beginnings := [][]string{
		{"drop", "convert object-finalized", "validate object-finalized", "publish train", "train train"},
		{"drift schedule", "publish retrain", "train retrain"},
	}
	for i, x := range passes {
		want := append(beginnings[i], "training job", "load the data set", "fit", "epoch", "package", "measure the candidate", "publish register",
			"register register", "publish deploy", "deploy deploy", "rollout deploy", "rollout check", "rollout shift", "rollout hold",
			"POST /v1/detect", "decode", "letterbox", "run", "nms", "rollout clean")
		for _, name := range want {
			if len(x.Find(name)) == 0 {
				t.Errorf("pass %d has no span %q", i+1, name)
			}
		}
		if len(x.Roots) != 1 || x.Roots[0].Orphan || x.Roots[0].Name != beginnings[i][0] {
			for _, r := range x.Roots {
				t.Errorf("pass %d has a root %q [%s], orphan: %v", i+1, r.Name, r.Service, r.Orphan)
			}
		}
	}
	var out bytes.Buffer
	printTrace(&out, passes[0], false)
	if !strings.Contains(out.String(), "drop [") || !strings.Contains(out.String(), "training job [trainer]") {
		t.Errorf("`litterloop trace` prints:\n%s", &out)
	}
}
