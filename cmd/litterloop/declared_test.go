package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/litterloop/litterloop/cmd/litterloop/client"
	"github.com/litterloop/litterloop/cmd/litterloop/local"
	"github.com/litterloop/litterloop/localcloud/iam"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/config"
)

// audit remembers which calls were made.
type audit struct {
	mu    sync.Mutex
	calls map[iam.Call]bool
}

func (a *audit) note(c iam.Call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls[c] = true
}

// declared starts a cloud in which the loop is declared with these grants.
func declared(t *testing.T, grants []grant, heard func(iam.Call)) (*local.Loop, provider, string) {
	t.Helper()
	state := t.TempDir()
	l, err := local.Start(t.Context(), local.Options{State: state, Declared: true, Audit: heard, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	resp, err := http.Get("http://" + l.Cloud.Endpoints.Functions + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("metrics of a cloud with nothing in it: %s", resp.Status)
	}
	p := provider{t, "http://" + l.Cloud.Endpoints.ControlPlane}
	p.declare(grants)
	return l, p, state
}

// sample are labelled photos, drawn.
func sample(t *testing.T, photos int) []client.File {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sample")
	if err := (&dataSampleCmd{Dir: dir, Photos: photos, Seed: 1}).Run(&globals{stdout: io.Discard, stderr: os.Stderr}); err != nil {
		t.Fatal(err)
	}
	files, err := client.Directory(dir)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// until asks again and again.
func until(t *testing.T, what string, reached func() (bool, error)) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := reached()
		if err == nil && ok {
			return
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// Photos dropped into a cloud that was declared piece by piece go the whole way
// to a model that serves, in processes that run as their accounts, with the
// rights of terraform/access.tf and no other. Each right is then taken away in
// turn: some call that was made would have been refused, or the right is one
// that this machine cannot show the need for.
func TestUp_rightsSufficeAndAreNeeded(t *testing.T) {
	needRuntime(t)
	grants := append(tableOfRights(t), moduleGrants()...)
	heard := audit{calls: map[iam.Call]bool{}}
	l, p, _ := declared(t, grants, heard.note)
	ctx := t.Context()
	if _, err := l.Bucket("local-models").Write(ctx, config.Object, strings.NewReader(string(smallPolicy)), blob.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Drop(ctx, l.Bucket("local-incoming"), "batch", sample(t, 60), func(int, int) {}); err != nil {
		t.Fatal(err)
	}
	service := p.call("GET", "/run/v2/"+inRegion+"services/tracking", nil)
	look := func() {
		t.Helper()
		page, err := l.HTTP().Get(service["uri"].(string) + "/loop")
		if err != nil {
			t.Fatal(err)
		}
		page.Body.Close()
		if page.StatusCode != http.StatusOK {
			t.Errorf("the tracking server's page: %s", page.Status)
		}
	}
	checked := false
	until(t, "a model serves", func() (bool, error) {
		if r := l.Cloud.Access.Refusals(); len(r) > 0 {
			t.Fatalf("refused: %+v", r)
		}
		s, err := l.Snapshot(ctx)
		if err != nil {
			return false, err
		}
		if len(s.Trainings) > 0 && !checked {
			checked = true
			look()
			p.call("POST", "/cloudscheduler/v1/"+inRegion+"jobs/watch:run", nil)
		}
		return s.Aliases["staging"] == 1, nil
	})
	at, err := l.DetectorURL(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range sample(t, 45) {
		if !strings.HasSuffix(f.Name, ".jpg") {
			continue
		}
		open, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		photo, err := io.ReadAll(open)
		open.Close()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Detect(ctx, at, photo, 0.25); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "predictions are logged", func() (bool, error) {
		for _, err := range l.Bucket("local-predictions").List(ctx, "log/") {
			return true, err
		}
		return false, nil
	})
	p.call("POST", "/cloudscheduler/v1/"+inRegion+"jobs/drift:run", nil)
	look()
	if r := l.Cloud.Access.Refusals(); len(r) > 0 {
		t.Errorf("refused: %+v", r)
	}

	heard.mu.Lock()
	defer heard.mu.Unlock()
	for i, g := range grants {
		left := bindings(slices.Delete(slices.Clone(grants), i, i+1))
		without := iam.New(iam.Options{Project: "local", Policy: func(resource string) []iam.Binding { return left[resource] }})
		var refused error
		for call := range heard.calls {
			if refused = without.Allowed(call.Principal, call.Permission, call.Resource); refused != nil {
				break
			}
		}
		switch {
		case refused == nil && !slices.ContainsFunc(unshown, func(u *regexp.Regexp) bool { return u.MatchString(g.name) }):
			t.Errorf("nothing of the loop needs the grant %q", g.name)
		case refused != nil && !strings.Contains(refused.Error(), strings.TrimPrefix(g.binding.Members[0], "serviceAccount:")):
			t.Errorf("the refusal names no account: %v", refused)
		}
	}
}

// unshown are grants of whose need a loop without faults shows nothing, or not
// every time.
var unshown = []*regexp.Regexp{
	regexp.MustCompile(`roles/(cloudtrace.agent|monitoring.metricWriter) project$`), // spans and metrics go to files here
	regexp.MustCompile(`^builder `),                                                                // functions are run from this program, not built
	regexp.MustCompile(`^trainer roles/run.invoker service tracking$`),                             // the Ultralytics trainer asks it
	regexp.MustCompile(`roles/storage.objectViewer bucket (ledger|predictions)$`),                  // a write whose answer was lost is looked up
	regexp.MustCompile(`roles/pubsub.publisher topic alerts$`),                                     // there is nothing to alert of
	regexp.MustCompile(`^(validate|register|drift) roles/pubsub.publisher topic (train|retrain)$`), // decisions that this loop does not come to
	regexp.MustCompile(`^train roles/pubsub.publisher topic register$`),                            // a training that ended without a word
	regexp.MustCompile(`^(train|register) roles/run.(viewer|jobsExecutorWithOverrides) `),          // trainings that wait or vanished
	regexp.MustCompile(`^deploy roles/run.invoker service detector$`),                              // Google lets run.developer invoke as well; not always so
	regexp.MustCompile(`^dead letters `),                                                           // localcloud/pubsub's own test
}

// A grant that is missing shows: in words that name account, permission and
// resource, in what the function answers, in the status and in the metrics.
func TestUp_missingGrantShows(t *testing.T) {
	const missing = "convert roles/storage.objectUser bucket datasets"
	grants := append(tableOfRights(t), moduleGrants()...)
	n := len(grants)
	grants = slices.DeleteFunc(grants, func(g grant) bool { return g.name == missing })
	if len(grants) != n-1 {
		t.Fatalf("no grant %q", missing)
	}
	l, p, state := declared(t, grants, nil)
	if _, err := client.Drop(t.Context(), l.Bucket("local-incoming"), "batch", sample(t, 5), func(int, int) {}); err != nil {
		t.Fatal(err)
	}
	until(t, "a refusal", func() (bool, error) {
		refused, err := l.Refused(t.Context())
		return len(refused) > 0, err
	})
	refused, err := l.Refused(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range refused {
		if r.Principal != iam.Account(email("convert")) || !strings.HasPrefix(r.Permission, "storage.objects.") || !strings.HasPrefix(r.Resource, "projects/_/buckets/local-datasets") {
			t.Errorf("refused: %+v", r)
		}
	}
	until(t, "the subscription tells", func() (bool, error) {
		for _, s := range l.Cloud.PubSub.Stats() {
			if strings.Contains(s.LastError, "does not have storage.objects.") {
				return true, nil
			}
		}
		return false, nil
	})
	for path, want := range map[string]string{"/metrics": `litterloop_iam_refusals_total{permission="storage.objects.`, client.Refusals: email("convert")} {
		resp, err := http.Get("http://" + l.Cloud.Endpoints.Functions + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s does not tell %q: %v\n%s", path, want, err, text)
		}
	}
	logs, err := filepath.Glob(filepath.Join(state, "run", "logs", "*", "*", "*", "*", "services", "convert", "*", "*"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("no log of the function: %v", err)
	}
	text, err := os.ReadFile(logs[0])
	if err != nil || strings.Contains(string(text), "panic") || !strings.Contains(string(text), email("convert")+" does not have storage.objects.") {
		t.Errorf("the function's log: %v\n%s", err, text)
	}

	// Services answer no stranger.
	config, _ := p.call("GET", "/cloudfunctions/v2/"+inRegion+"functions/convert", nil)["serviceConfig"].(map[string]any)
	url, _ := config["uri"].(string)
	for name, tt := range map[string]struct {
		token func() (string, error)
		want  int
	}{
		"nobody":                 {func() (string, error) { return "", nil }, http.StatusForbidden},
		"another account":        {func() (string, error) { return l.Cloud.PubSub.Token(email("train"), url) }, http.StatusForbidden},
		"a token for another":    {func() (string, error) { return l.Cloud.PubSub.Token(email("push-convert"), "http://127.0.0.1:1") }, http.StatusUnauthorized},
		"a token made up":        {func() (string, error) { return "a.b.c", nil }, http.StatusUnauthorized},
		"who may, with no event": {func() (string, error) { return l.Cloud.PubSub.Token(email("push-convert"), url) }, 0},
	} {
		token, err := tt.token()
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if refused := resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusUnauthorized; tt.want != resp.StatusCode && (tt.want != 0 || refused) {
			t.Errorf("%s: %s, want %d", name, resp.Status, tt.want)
		}
	}
	p.call("DELETE", "/cloudfunctions/v2/"+inRegion+"functions/convert", nil)
}
