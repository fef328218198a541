package controlplane_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/litterloop/litterloop/localcloud/controlplane"
	"github.com/litterloop/litterloop/localcloud/pubsub"
	"github.com/litterloop/litterloop/localcloud/run"
	"github.com/litterloop/litterloop/localcloud/scheduler"
	"github.com/litterloop/litterloop/localcloud/storage"
)

// TestMain lets this test binary stand in for containers.
func TestMain(m *testing.M) {
	if port := os.Getenv("PORT"); port != "" {
		err := http.ListenAndServe("127.0.0.1:"+port, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "ok")
		}))
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// deployed are functions that were asked for, by name.
type deployed map[string]map[string]string

func (d deployed) Deploy(_ context.Context, name, entryPoint, account string, env map[string]string) (string, error) {
	d[name] = maps.Clone(env)
	d[name]["ENTRY"], d[name]["ACCOUNT"] = entryPoint, account
	return "http://127.0.0.1:1/" + entryPoint, nil
}

func (d deployed) Remove(_ context.Context, name string) error {
	delete(d, name)
	return nil
}

// cloud is a control plane with the local cloud's real servers behind it.
type cloud struct {
	*httptest.Server
	functions deployed
	schedule  *scheduler.Scheduler
	restart   func()
}

func start(t *testing.T, project string) *cloud {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ps, err := pubsub.New(pubsub.Options{Dir: filepath.Join(dir, "pubsub")})
	must(err)
	t.Cleanup(func() { must(ps.Close()) })
	st, err := storage.New(storage.Options{Dir: filepath.Join(dir, "storage"), Notify: ps.Publish})
	must(err)
	t.Cleanup(func() { must(st.Close()) })
	cr, err := run.New(run.Options{Dir: filepath.Join(dir, "run"), Images: map[string][]string{"detector": {self}, "retrain": {self}}})
	must(err)
	t.Cleanup(func() { must(cr.Close(context.WithoutCancel(t.Context()))) })
	sch, err := scheduler.New(scheduler.Options{Dir: filepath.Join(dir, "scheduler")})
	must(err)
	t.Cleanup(func() { must(sch.Close()) })
	c := &cloud{functions: deployed{}, schedule: sch}
	open := func() http.Handler {
		docs, err := controlplane.Open(filepath.Join(dir, "controlplane"))
		must(err)
		return controlplane.New(controlplane.Options{Documents: docs, Project: project, Storage: st, PubSub: ps, Run: cr, Functions: c.functions, Schedule: sch})
	}
	c.Server = httptest.NewServer(open())
	t.Cleanup(c.Close)
	c.restart = func() { c.Config.Handler = open() }
	return c
}

// exchange is one recorded call of the provider.
type exchange struct {
	Method   string          `json:"m"`
	Path     string          `json:"path"`
	Query    string          `json:"q"`
	Phase    string          `json:"phase"`
	Request  map[string]any  `json:"req"`
	Response json.RawMessage `json:"res"`
	Status   int             `json:"status"`
	Service  string          `json:"svc"`
	Raw      string          `json:"reqRaw"`
}

// The google provider itself applied a root with every kind of resource, planned
// it again, changed it and destroyed it. What it was answered then it must find
// again, but for what servers make up.
func TestReplay_whatTheProviderAsked(t *testing.T) {
	file, err := os.Open("../../../shared/contracts/terraform/traffic.jsonl")
	if os.IsNotExist(err) {
		t.Skip("the recorded traffic is not here")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	c := start(t, "local-project")
	names := map[string]string{} // path as recorded -> id here, of resources named by the server
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	phase, asked := "", 0
	for lines.Scan() {
		var x exchange
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
			t.Fatal(err)
		}
		if x.Service == "storage" && strings.HasPrefix(x.Path, "/upload/") {
			upload(t, c, x)
			continue
		}
		if x.Phase != phase {
			phase = x.Phase
			c.restart() // what was declared is still there
		}
		if id := names[x.Path]; id != "" {
			x.Path = x.Path[:strings.LastIndex(x.Path, "/")+1] + id
		}
		status, got := ask(t, c, x)
		asked++
		if want := x.Status; status != want {
			t.Errorf("%s %s %s: status %d, want %d: %v", x.Phase, x.Method, x.Path, status, want, got)
			continue
		}
		if len(x.Response) == 0 {
			continue
		}
		var want map[string]any
		if err := json.Unmarshal(x.Response, &want); err != nil {
			t.Fatal(err)
		}
		if x.Method == http.MethodPost && x.Service == "monitoring" || strings.HasSuffix(x.Path, "/notificationConfigs") {
			for _, key := range []string{"name", "id"} {
				was, _ := want[key].(string)
				is, _ := got[key].(string)
				if was != "" {
					names[x.Path+"/"+was[strings.LastIndex(was, "/")+1:]] = is[strings.LastIndex(is, "/")+1:]
				}
			}
			delete(want, "name")
			delete(want, "id")
		}
		if x.Service == "monitoring" {
			delete(want, "name")
		}
		if x.Phase == "destroy" && x.Method == http.MethodDelete {
			continue
		}
		for _, d := range lacking("", want, got) {
			t.Errorf("%s %s %s: %s", x.Phase, x.Method, x.Path, d)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if asked < 300 {
		t.Errorf("%d calls replayed", asked)
	}
	if len(c.functions) > 0 || len(c.schedule.List()) > 0 {
		t.Errorf("left after destroy: %v, %v", c.functions, c.schedule.List())
	}
}

// upload puts a function's source where the recording has it; its bytes were not
// recorded.
func upload(t *testing.T, c *cloud, x exchange) {
	t.Helper()
	path := strings.Replace(x.Path, "multipart", "media", 1) + "?" + strings.Replace(x.Query, "uploadType=multipart", "uploadType=media", 1)
	resp, err := http.Post(c.URL+path, "application/zip", strings.NewReader("PK"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("upload %s: %s", path, resp.Status)
	}
}

func ask(t *testing.T, c *cloud, x exchange) (int, map[string]any) {
	t.Helper()
	var body io.Reader
	if x.Request != nil {
		text, err := json.Marshal(servable(x.Request))
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(text)
	}
	url := c.URL + strings.ReplaceAll(x.Path, " ", "%20")
	if x.Query != "" {
		url += "?" + x.Query
	}
	req, err := http.NewRequestWithContext(t.Context(), x.Method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer local")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if len(bytes.TrimSpace(text)) > 0 {
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%s %s: %v\n%s", x.Method, x.Path, err, text)
		}
	}
	return resp.StatusCode, got
}

// servable is a recorded request without what the local Cloud Run refuses with a
// reason (values from secrets, several tasks), and without etags of the
// recording.
func servable(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			if k == "etag" || k == "taskCount" {
				continue
			}
			out[k] = servable(x)
		}
		return out
	case []any:
		return slices.DeleteFunc(apply(v, servable), func(x any) bool {
			m, ok := x.(map[string]any)
			return ok && m["valueSource"] != nil
		})
	}
	return v
}

func apply(in []any, f func(any) any) []any {
	out := make([]any, len(in))
	for i, x := range in {
		out[i] = f(x)
	}
	return out
}

// made are fields that servers make up, or that their clients do not look at.
var made = []string{"etag", "createTime", "updateTime", "userUpdateTime", "uid", "uniqueId", "oauth2ClientId", "generation", "metageneration",
	"timeCreated", "updated", "timeStorageClassUpdated", "timeFinalized", "selfLink", "mediaLink", "mutationRecord", "creationRecord", "conditions", "terminalCondition",
	"latestCreatedRevision", "latestReadyRevision", "uri", "url", "urls", "registryUri", "build", "metadata", "observedGeneration", "md5Hash", "crc32c", "size",
	"id", "state", "trafficStatuses", "traffic", "taskCount", "maxDoublings", "maxRetryDuration", "nextScheduledTime", "launchStage", "projectNumber", "location", "locationType",
	"minBackoffDuration", "maxBackoffDuration", "updateTransforms", "reconciling", "resolvedPath", "selfLinkWithId", "requestId", "softDeleteTime", "hardDeleteTime", "lastModifier", "contentType", "storageClass", "revision", "environment", "effectiveTime"}

// lacking tells what of want is not in got.
func lacking(at string, want, got any) []string {
	want = servable(want)
	switch want := want.(type) {
	case map[string]any:
		m, _ := got.(map[string]any)
		var all []string
		for _, k := range slices.Sorted(maps.Keys(want)) {
			if want[k] == nil || slices.Contains(made, k) || at == "" && k == "name" && strings.Contains(fmt.Sprint(want[k]), "operations/") {
				continue
			}
			all = append(all, lacking(at+"."+k, want[k], m[k])...)
		}
		return all
	case []any:
		l, _ := got.([]any)
		if len(l) != len(want) {
			return []string{fmt.Sprintf("%s is %v, want %v", at, got, want)}
		}
		var all []string
		for i := range want {
			all = append(all, lacking(fmt.Sprint(at, "[", i, "]"), want[i], l[i])...)
		}
		return all
	}
	// Cloud Storage names a topic by its service too; the provider takes both.
	if w, g := fmt.Sprint(want), strings.TrimPrefix(fmt.Sprint(got), "//pubsub.googleapis.com/"); w != g && !(got == nil && (w == "false" || w == "0")) {
		return []string{fmt.Sprintf("%s is %v, want %v", at, got, want)}
	}
	return nil
}
