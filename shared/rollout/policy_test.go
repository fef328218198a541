package rollout

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

func TestPolicy_reportsEveryFaultAtOnce(t *testing.T) {
	if err := DefaultPolicy().Validate(); err != nil {
		t.Errorf("the default policy: %v", err)
	}
	err := Policy{Steps: []int{50, 20}, Hold: Duration(time.Hour), MaxErrorRate: 2, LatencyFactor: 0.5}.Validate()
	for _, want := range []string{"rollout.steps", "rollout.hold", "rollout.max_error_rate", "rollout.latency_factor", "rollout.keep_revisions"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %s: %v", want, err)
		}
	}
}

func TestPolicy_isReadAsItIsWritten(t *testing.T) {
	want := DefaultPolicy()
	want.Hold = Duration(90 * time.Second)
	for name, coder := range map[string]struct {
		marshal   func(any) ([]byte, error)
		unmarshal func([]byte, any) error
	}{
		"json": {json.Marshal, json.Unmarshal},
		"yaml": {yaml.Marshal, func(p []byte, v any) error { return yaml.Unmarshal(p, v) }},
	} {
		p, err := coder.marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(p), "1m30s") {
			t.Errorf("%s: %s", name, p)
		}
		var got Policy
		if err := coder.unmarshal(p, &got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
