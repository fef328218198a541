package telemetry

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const carried = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestLogger_speaksCloudLoggingOnCloudRun(t *testing.T) {
	env := map[string]string{"K_SERVICE": "train", "GOOGLE_CLOUD_PROJECT": "streets"}
	var out bytes.Buffer
	log := Logger(&out, func(k string) string { return env[k] }).With("function", "train")
	ctx := Continue(t.Context(), map[string]string{Traceparent: carried})
	log.WarnContext(ctx, "slow", "level", "is a word like others")
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "time")
	want := map[string]any{
		"severity": "WARNING", "message": "slow", "function": "train", "level": "is a word like others",
		"logging.googleapis.com/trace":         "projects/streets/traces/0af7651916cd43dd8448eb211c80319c",
		"logging.googleapis.com/spanId":        "b7ad6b7169203331",
		"logging.googleapis.com/trace_sampled": true,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("line (-want +got):\n%s", d)
	}
}

func TestLogger_isTextAtADesk(t *testing.T) {
	var out bytes.Buffer
	log := Logger(&out, func(string) string { return "" })
	log.InfoContext(Continue(t.Context(), map[string]string{Traceparent: carried}), "ready")
	if line := out.String(); !strings.Contains(line, "msg=ready trace=0af7651916cd43dd8448eb211c80319c span=b7ad6b7169203331") {
		t.Errorf("line %q", line)
	}
	out.Reset()
	log.Debug("not asked for")
	log.Info("no trace")
	if line := out.String(); strings.Contains(line, "trace=") || strings.Contains(line, "asked") {
		t.Errorf("lines %q", line)
	}
}
