package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/litterloop/litterloop/cmd/litterloop/client"
	"github.com/litterloop/litterloop/cmd/litterloop/local"
	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/drawing"
	"github.com/litterloop/litterloop/shared/event"
	"github.com/litterloop/litterloop/shared/telemetry/otlptest"
)

// asProject makes the local loop of a state the Google Cloud that commands with
// --project local speak to.
func asProject(t *testing.T, state string) *local.Loop {
	t.Helper()
	l, err := local.Start(t.Context(), local.Options{State: state, Schedule: "0 4 * * *", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	setenv(t, l.Cloud.Endpoints.Environ())
	return l
}

// succeeds runs a command on the project and returns what it answered.
func succeeds(t *testing.T, args ...string) string {
	t.Helper()
	code, out, said := litterloop(t, append(args, "--project", "local")...)
	if code != 0 {
		t.Fatalf("%q: %d %s%s", args, code, out, said)
	}
	return out
}

// The commands do on a project what they do on this machine; a drop's span goes
// where OpenTelemetry's variables say, and what waits for its labels is shown.
func TestProject_commandsSucceed(t *testing.T) {
	l := asProject(t, t.TempDir())
	dir := filepath.Join(t.TempDir(), "unlabelled")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.jpg"), []byte("no photo"), 0o644); err != nil {
		t.Fatal(err)
	}
	collector := otlptest.Start(t)
	refuses := httptest.NewServer(http.NotFoundHandler())
	defer refuses.Close()
	for _, c := range []struct {
		collector, want string
	}{{collector.URL, `"sent": 1`}, {refuses.URL, `"already": 1`}} {
		t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", c.collector+"/v1/traces")
		if out := succeeds(t, "drop", dir, "--json"); !strings.Contains(out, c.want) {
			t.Errorf("drop: %s", out)
		}
	}
	collector.Spans(t, "drop", func(s otlptest.Span) bool { return s.Service == "litterloop" && s.Name == "drop" && s.Parent == "" })

	until(t, "the batch is shown", func() (bool, error) {
		return strings.Contains(succeeds(t, "status"), "unlabelled"), nil
	})
	if out := succeeds(t, "events"); out != "none\n" {
		t.Errorf("events: %s", out)
	}
	alert, err := event.New(event.Alert, time.Now(), event.AlertData{Code: "stalled", Message: "nothing moves"}, "once")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Publisher().Publish(t.Context(), bus.Alerts, alert); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"events", "--alerts"}, {"events", "--alerts", "--clear"}} {
		if out := succeeds(t, args...); !strings.Contains(out, "nothing moves") {
			t.Errorf("%v: %s", args, out)
		}
	}
	if out := succeeds(t, "events", "--alerts"); out != "none\n" {
		t.Errorf("alerts that were cleared: %s", out)
	}
	photo := filepath.Join(dir, "a.jpg")
	for _, c := range []struct {
		args []string
		want string
	}{{[]string{"predict", photo}, "no model is deployed yet"}, {[]string{"drift"}, "gcloud scheduler jobs run drift --location europe-west1 --project local"}} {
		if code, _, said := litterloop(t, append(c.args, "--project", "local")...); code != 1 || !strings.Contains(said, c.want) {
			t.Errorf("%v: %d %s", c.args, code, said)
		}
	}
}

// checkProject asks the model that a state serves, and where its loop stands, as
// a project on Google Cloud is asked.
func checkProject(t *testing.T, state string) {
	t.Helper()
	t.Run("as a project", func(t *testing.T) {
		asProject(t, state)
		photos, err := drawing.Set(1, 1, drawing.Day)
		if err != nil {
			t.Fatal(err)
		}
		photo := filepath.Join(t.TempDir(), "photo.jpg")
		if err := os.WriteFile(photo, photos[0].JPEG, 0o644); err != nil {
			t.Fatal(err)
		}
		var answer client.Answer
		if err := json.Unmarshal([]byte(succeeds(t, "predict", photo, "--json")), &answer); err != nil || answer.Model.Version != "2" {
			t.Errorf("predict: %+v %v", answer, err)
		}
		if out := succeeds(t, "status"); !strings.Contains(out, "SERVING") || !strings.Contains(out, "litter/2") {
			t.Errorf("status:\n%s", out)
		}
	})
}

// recorded is a trace as Cloud Trace's REST API has it.
const recorded = `{"projectId":"streets-1","traceId":%q,"spans":[
	{"spanId":"1","name":"drop","startTime":"2026-11-01T10:00:00Z","endTime":"2026-11-01T10:00:01.5Z","labels":{"service.name":"litterloop","batch":"march"}},
	{"spanId":"18446744073709551615","parentSpanId":"1","kind":"RPC_SERVER","name":"validate object-finalized","startTime":"2026-11-01T10:00:02Z","endTime":"2026-11-01T10:00:03Z","labels":{"service.name":"validate","event.type":"object-finalized","object":"versions/1"}},
	{"spanId":"3","parentSpanId":"18446744073709551615","name":%q,"startTime":"2026-11-01T10:00:02.5Z","endTime":"2026-11-01T10:00:02.6Z","labels":{"/error/message":"no such topic"}}]}`

func TestTrace_ofAProject(t *testing.T) {
	pass, other := strings.Repeat("ab", 16), strings.Repeat("cd", 16)
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		w.Header().Set("Content-Type", "application/json")
		q := r.URL.Query()
		switch {
		case r.URL.Path == "/v1/projects/streets-1/traces/"+other:
			fmt.Fprintf(w, recorded, other, "publish alerts")
		case r.URL.Path != "/v1/projects/streets-1/traces":
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"error":{"code":404,"message":"Requested entity was not found.","status":"NOT_FOUND"}}`)
		case q.Get("filter") != "span:publish" || q.Get("view") != "COMPLETE" || q.Get("orderBy") != "start desc" || q.Get("startTime") == "":
			t.Errorf("asked %s", r.URL)
		case q.Get("pageToken") == "":
			fmt.Fprintf(w, `{"nextPageToken":"2","traces":[`+recorded+`]}`, other, "publish alerts")
		case q.Get("pageToken") == "2":
			fmt.Fprintf(w, `{"nextPageToken":"3","traces":[`+recorded+`]}`, pass, "publish train")
		default:
			io.WriteString(w, `{}`)
		}
	}))
	defer s.Close()
	setenv(t, []string{"TRACE_EMULATOR_HOST=" + s.URL, "STORAGE_EMULATOR_HOST=" + s.URL, "PUBSUB_EMULATOR_HOST=127.0.0.1:1"})
	for name, c := range map[string]struct {
		id    string
		want  []string
		calls int
	}{
		"the newest pass":         {"last", []string{"trace " + pass, "drop [litterloop] batch=march", "    validate object-finalized [validate] object=versions/1", "publish train FAILED: no such topic"}, 2},
		"a list":                  {"all", []string{pass[:12], other[:12], "3 spans"}, 3},
		"an id's beginning":       {"cdcd", []string{"trace " + other}, 1},
		"a whole id":              {other, []string{"trace " + other, "publish alerts"}, 1},
		"an id that nobody has":   {strings.Repeat("ef", 16), []string{"no trace", "in project streets-1"}, 1},
		"a beginning of no trace": {"ef", []string{`no trace "ef" is recorded in project streets-1`, "litterloop trace all"}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			asked = nil
			_, out, said := litterloop(t, "trace", c.id, "--project", "streets-1")
			for _, want := range c.want {
				if !strings.Contains(strings.Join(strings.Fields(out+said), " "), strings.Join(strings.Fields(want), " ")) {
					t.Errorf("%s%s lacks %q", out, said, want)
				}
			}
			if len(asked) != c.calls {
				t.Errorf("asked %q, want %d calls", asked, c.calls)
			}
		})
	}
}

func TestTrace_refusalsOfAProjectMend(t *testing.T) {
	for message, want := range map[string]string{
		"Cloud Trace API has not been used in project 12 before or it is disabled. Enable it by visiting https://console.developers.google.com/apis/api/cloudtrace.googleapis.com/overview?project=12 then retry.": "gcloud services enable cloudtrace.googleapis.com --project streets-1",
		"Permission 'cloudtrace.traces.list' denied on resource (or it may not exist).": "--role roles/cloudtrace.user",
		"The caller does not have permission":                                           "--role roles/cloudtrace.user",
	} {
		var body bytes.Buffer
		fmt.Fprintf(&body, `{"error":{"code":403,"message":%q,"status":"PERMISSION_DENIED"}}`, message)
		refusing(t, http.StatusForbidden, body.String(), nil)
		t.Setenv("TRACE_EMULATOR_HOST", os.Getenv("STORAGE_EMULATOR_HOST"))
		code, _, said := litterloop(t, "trace", "--project", "streets-1")
		if code != 1 || strings.Count(said, "\n") != 1 || !strings.Contains(said, "mend it: ") || !strings.Contains(said, want) {
			t.Errorf("%d %q, want %s", code, said, want)
		}
	}
}
