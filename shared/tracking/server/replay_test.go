package server_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/tracking/server"
)

// record is a request that MLflow's client sent to MLflow's server, and the
// answer.
type record struct {
	N       int               `json:"n"`
	Label   string            `json:"label"`
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"req_headers"`
	Request any               `json:"req"`
	Size    int               `json:"req_bytes"`
	Status  int               `json:"status"`
	Answer  any               `json:"resp"`
}

// elsewhere are requests whose answers are known to differ, and why.
var elsewhere = map[string]string{
	"GET /":                           "MLflow's own pages",
	"GET /api/3.0/mlflow/server-info": "it offers a gateway and presigned uploads",
	"GET /ajax-api/3.0/mlflow/x":      "",
}

func newServer(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(server.New(server.Options{Bucket: blobmem.New("models"), Now: time.Now, Log: slog.New(slog.DiscardHandler)}))
	t.Cleanup(s.Close)
	return s
}

func records(t *testing.T, name string) []record {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Skipf("no recorded traffic: %v", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all []record
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var r record
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.UseNumber()
		if err := d.Decode(&r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// What MLflow's client and server said to each other, the server here answers
// equally but for ids and times.
func TestReplay_recordedTraffic(t *testing.T) {
	for name, file := range map[string]string{
		"a sample":         filepath.Join("testdata", "traffic.jsonl.gz"),
		"the whole client": filepath.Join("..", "..", "..", "..", "shared", "contracts", "mlflow", "traffic.jsonl.gz"),
	} {
		t.Run(name, func(t *testing.T) {
			p := &replay{ids: map[string]string{}, url: newServer(t).URL}
			for _, r := range records(t, file) {
				p.play(t, r)
			}
		})
	}
}

type replay struct {
	url string
	ids map[string]string // recorded id -> ours
}

var (
	ids         = regexp.MustCompile(`m-[0-9a-f]{32}|[0-9a-f]{32}|[a-z]{2,14}-[a-z]{2,14}-[0-9]{1,4}`)
	experiments = regexp.MustCompile(`(mlflow-artifacts:/|/artifacts/|path=|experiment_id=|such artifact: '|experiment |id=)([0-9]{1,4})\b`)
	wholly      = regexp.MustCompile(`^(m-[0-9a-f]{32}|[0-9a-f]{32}|[a-z]{2,14}-[a-z]{2,14}-[0-9]{1,4})$`)
)

// ours replaces the ids that are known.
func (p *replay) ours(s string) string {
	s = ids.ReplaceAllStringFunc(s, func(id string) string {
		if own, ok := p.ids[id]; ok {
			return own
		}
		return id
	})
	return experiments.ReplaceAllStringFunc(s, func(found string) string {
		m := experiments.FindStringSubmatch(found)
		if own, ok := p.ids["experiment "+m[2]]; ok {
			return m[1] + own
		}
		return found
	})
}

func (p *replay) body(v any, key string) any {
	switch v := v.(type) {
	case string:
		if own, ok := p.ids["experiment "+v]; ok && strings.HasPrefix(key, "experiment_id") {
			return own
		}
		return p.ours(v)
	case []any:
		for i, e := range v {
			v[i] = p.body(e, key)
		}
	case map[string]any:
		for k, e := range v {
			v[k] = p.body(e, k)
		}
	}
	return v
}

func (p *replay) play(t *testing.T, r record) {
	route, _, _ := strings.Cut(r.Path, "?")
	if _, ok := elsewhere[r.Method+" "+route]; ok || strings.HasPrefix(r.Path, "/static") || strings.HasPrefix(r.Path, "/v") && len(r.Path) < 9 && r.Path != "/version" {
		return
	}
	var body io.Reader
	sized := regexp.MustCompile(`^<binary (\d+) bytes>$`)
	switch q := r.Request.(type) {
	case string:
		if r.Method == http.MethodPut && !sized.MatchString(q) {
			body = strings.NewReader(q)
		} else if sized.MatchString(q) {
			body = strings.NewReader(strings.Repeat("b", r.Size))
		} else {
			body = strings.NewReader(p.ours(q))
		}
	case nil:
	default:
		data, err := json.Marshal(p.body(q, ""))
		if err != nil {
			t.Fatal(err)
		}
		if r.Method == http.MethodPut { // a file, which was written otherwise
			data = append(data, bytes.Repeat([]byte(" "), max(0, r.Size-len(data)))...)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(t.Context(), r.Method, p.url+p.ours(strings.ReplaceAll(r.Path, "%27", "'")), body)
	if err != nil {
		t.Fatal(err)
	}
	if media := r.Headers["Content-Type"]; media != "" {
		req.Header.Set("Content-Type", media)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	what := fmt.Sprintf("%d %s: %s %s", r.N, r.Label, r.Method, r.Path)
	if res.StatusCode != r.Status {
		t.Errorf("%s: status %d, MLflow's %d\n%s\n%v", what, res.StatusCode, r.Status, data, r.Answer)
		return
	}
	if strings.Contains(route, "mlflow-artifacts/artifacts/") && r.Status == http.StatusOK || r.Answer == nil {
		return
	}
	var got any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if _, text := r.Answer.(string); text || d.Decode(&got) != nil {
		got = string(data)
	}
	p.learn(r.Answer, got, "")
	want := normal(p.body(r.Answer, ""), "")
	if diff := cmp.Diff(want, normal(got, "")); diff != "" {
		t.Errorf("%s (-MLflow +ours):\n%s", what, diff)
	}
}

// learn pairs recorded ids with ours where the answers have them in one place.
func (p *replay) learn(want, got any, key string) {
	switch want := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		for k := range want {
			if ok {
				p.learn(want[k], g[k], k)
			}
		}
	case []any:
		g, _ := got.([]any)
		want, g = byKey(want), byKey(g)
		for i := range min(len(want), len(g)) {
			p.learn(want[i], g[i], key)
		}
	case string:
		g, ok := got.(string)
		if !ok || want == g {
			return
		}
		if key == "experiment_id" {
			p.ids["experiment "+want] = g
		} else if _, known := p.ids[want]; !known && wholly.MatchString(want) && wholly.MatchString(g) {
			p.ids[want] = g
		}
	}
}

// byKey orders a list of pairs; other lists stay.
func byKey(all []any) []any {
	type named struct {
		name string
		v    any
	}
	sorted := make([]named, len(all))
	for i, v := range all {
		m, _ := v.(map[string]any)
		sorted[i].v = v
		for _, k := range []string{"key", "alias", "current_stage"} {
			if s, ok := m[k].(string); ok {
				sorted[i].name = fmt.Sprint(s, m["step"], m["value"])
			}
		}
	}
	slices.SortStableFunc(sorted, func(a, b named) int { return strings.Compare(a.name, b.name) })
	values := make([]any, len(all))
	for i, n := range sorted {
		values[i] = n.v
	}
	return values
}

var (
	sets    = regexp.MustCompile(`\{('[^{}]*')\}`)
	details = regexp.MustCompile(`(?s) Error: \(sqlite3.*|, so the server would connect to .* to allow it`)
)

// normal leaves out what differs from one recording to the next.
func normal(v any, key string) any {
	switch v := v.(type) {
	case map[string]any:
		m := map[string]any{}
		for k, e := range v {
			m[k] = normal(e, k)
		}
		if m["error_code"] == "BAD_REQUEST" { // the database's words
			delete(m, "message")
		}
		if m["key"] == "nanm" { // MLflow answers 0 for the NaN of a logged model
			m["value"] = "NaN"
		}
		return m
	case []any:
		var all []any
		for _, e := range byKey(v) {
			all = append(all, normal(e, key))
		}
		return all
	case json.Number:
		if strings.Contains(key, "time") {
			return "a time"
		}
		f, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return f
	case string:
		switch key {
		case "next_page_token":
			return "a token"
		case "message":
			v = details.ReplaceAllString(v, "")
			return sets.ReplaceAllStringFunc(v, func(s string) string {
				names := strings.Split(s[1:len(s)-1], ", ")
				slices.Sort(names)
				return fmt.Sprint(names)
			})
		}
		return v
	}
	return v
}
