package mlflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

// errMissing is a server's answer that something is not there.
var errMissing = errors.New("not there")

// Client speaks MLflow's REST API; it is a Source and, by Server, a Destination.
type Client struct {
	url    string
	http   *http.Client
	header http.Header
}

// NewClient returns a client of the tracking server at base, such as
// http://127.0.0.1:5000. header goes with each request and may be nil.
func NewClient(base string, c *http.Client, header http.Header) *Client {
	return &Client{strings.TrimRight(base, "/"), c, header}
}

// refusal is a server's error answer.
type refusal struct {
	Code    string `json:"error_code"`
	Message string `json:"message"`
	status  int
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %s: %s", r.status, r.Code, r.Message) }

// Is tells errMissing.
func (r *refusal) Is(target error) bool {
	return target == errMissing && r.Code == "RESOURCE_DOES_NOT_EXIST"
}

// do sends a request and returns the body of a good answer.
func (c *Client) do(ctx context.Context, method, at string, body io.Reader, size int64, kind string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.url+at, body)
	if err != nil {
		return nil, err
	}
	for key, values := range c.header {
		r.Header[key] = values
	}
	if body != nil {
		r.ContentLength = size
		r.Header.Set("Content-Type", kind)
	}
	if size == 0 {
		r.Body = http.NoBody
	}
	a, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	if a.StatusCode/100 == 2 {
		return a.Body, nil
	}
	defer a.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(a.Body, 1<<16)) // what there is of it is told
	no := &refusal{status: a.StatusCode}
	if json.Unmarshal(text, no) != nil || no.Code == "" {
		no.Code, no.Message = http.StatusText(a.StatusCode), strings.TrimSpace(string(text[:min(len(text), 300)]))
	}
	return nil, fmt.Errorf("%s %s: %w", method, r.URL.Redacted(), no)
}

const api = "/api/2.0/mlflow/"

func (c *Client) get(ctx context.Context, call string, query url.Values, into any) error {
	a, err := c.do(ctx, http.MethodGet, api+call+"?"+query.Encode(), nil, 0, "")
	return decode(a, err, into)
}

func (c *Client) post(ctx context.Context, call string, body, into any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	a, err := c.do(ctx, http.MethodPost, api+call, bytes.NewReader(data), int64(len(data)), "application/json")
	return decode(a, err, into)
}

func decode(a io.ReadCloser, err error, into any) error {
	if err != nil {
		return err
	}
	defer a.Close()
	if into == nil {
		return nil
	}
	return json.NewDecoder(a).Decode(into)
}

// Experiments implements Source.
func (c *Client) Experiments(ctx context.Context) (all []Experiment, err error) {
	for token, more := "", true; more; more = token != "" {
		var a struct {
			Experiments []Experiment
			Next        string `json:"next_page_token"`
		}
		if err := c.post(ctx, "experiments/search", map[string]any{"max_results": 1000, "page_token": token, "view_type": "ACTIVE_ONLY"}, &a); err != nil {
			return nil, err
		}
		all, token = append(all, a.Experiments...), a.Next
	}
	return all, nil
}

type wireRun struct {
	Info Info `json:"info"`
	Data struct {
		Params  []Tag    `json:"params"`
		Tags    []Tag    `json:"tags"`
		Metrics []Metric `json:"metrics"`
	} `json:"data"`
	Inputs struct {
		Datasets []json.RawMessage `json:"dataset_inputs"`
	} `json:"inputs"`
}

func (c *Client) search(ctx context.Context, experiments []string, filter, view string) (all []wireRun, err error) {
	for token, more := "", true; more; more = token != "" {
		var a struct {
			Runs []wireRun
			Next string `json:"next_page_token"`
		}
		if err := c.post(ctx, "runs/search", map[string]any{
			"experiment_ids": experiments, "filter": filter, "run_view_type": view, "max_results": 1000,
			"order_by": []string{"attributes.start_time ASC"}, "page_token": token,
		}, &a); err != nil {
			return nil, err
		}
		all, token = append(all, a.Runs...), a.Next
	}
	return all, nil
}

// Runs implements Source.
func (c *Client) Runs(ctx context.Context, experiment, filter string) (ids []string, err error) {
	found, err := c.search(ctx, []string{experiment}, filter, "ACTIVE_ONLY")
	for _, r := range found {
		ids = append(ids, r.Info.ID)
	}
	return ids, err
}

func (c *Client) run(ctx context.Context, id string) (wireRun, error) {
	var a struct{ Run wireRun }
	err := c.get(ctx, "runs/get", url.Values{"run_id": {id}}, &a)
	return a.Run, err
}

// Run implements Source.
func (c *Client) Run(ctx context.Context, id string) (Run, error) {
	w, err := c.run(ctx, id)
	if err != nil {
		return Run{}, err
	}
	r := Run{Info: w.Info, Params: w.Data.Params, Tags: w.Data.Tags, Inputs: w.Inputs.Datasets}
	byKey := func(a, b Tag) int { return strings.Compare(a.Key, b.Key) }
	slices.SortFunc(r.Params, byKey)
	slices.SortFunc(r.Tags, byKey)
	slices.SortFunc(w.Data.Metrics, func(a, b Metric) int { return strings.Compare(a.Key, b.Key) })
	for _, m := range w.Data.Metrics {
		for token, more := "", true; more; more = token != "" {
			var a struct {
				Metrics []Metric
				Next    string `json:"next_page_token"`
			}
			q := url.Values{"run_id": {id}, "metric_key": {m.Key}, "max_results": {"25000"}}
			if token != "" {
				q.Set("page_token", token)
			}
			if err := c.get(ctx, "metrics/get-history", q, &a); err != nil {
				return Run{}, err
			}
			r.Metrics, token = append(r.Metrics, a.Metrics...), a.Next
		}
	}
	return r, nil
}

// Models implements Source.
func (c *Client) Models(ctx context.Context) (all []Model, err error) {
	var names []string
	for token, more := "", true; more; more = token != "" {
		var a struct {
			Models []Model `json:"registered_models"`
			Next   string  `json:"next_page_token"`
		}
		if err := c.get(ctx, "registered-models/search", url.Values{"max_results": {"1000"}, "page_token": {token}, "order_by": {"name ASC"}}, &a); err != nil {
			return nil, err
		}
		for _, m := range a.Models {
			names = append(names, m.Name)
		}
		token = a.Next
	}
	for _, name := range names {
		m, err := c.model(ctx, name) // searches need not tell aliases
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

func (c *Client) model(ctx context.Context, name string) (Model, error) {
	var a struct {
		Model Model `json:"registered_model"`
	}
	err := c.get(ctx, "registered-models/get", url.Values{"name": {name}}, &a)
	return a.Model, err
}

// Versions implements Source.
func (c *Client) Versions(ctx context.Context, model string) (all []Version, err error) {
	if strings.Contains(model, "'") {
		return nil, clashf("%s: the protocol cannot search for a name with a quote", model)
	}
	for token, more := "", true; more; more = token != "" {
		var a struct {
			Versions []Version `json:"model_versions"`
			Next     string    `json:"next_page_token"`
		}
		if err := c.get(ctx, "model-versions/search", url.Values{"filter": {"name='" + model + "'"}, "max_results": {"1000"}, "page_token": {token}}, &a); err != nil {
			return nil, err
		}
		all, token = append(all, a.Versions...), a.Next
	}
	for i := range all {
		var a struct {
			URI string `json:"artifact_uri"`
		}
		if err := c.get(ctx, "model-versions/get-download-uri", url.Values{"name": {model}, "version": {all[i].Version}}, &a); err != nil {
			return nil, err
		}
		all[i].Location = a.URI
		slices.SortFunc(all[i].Tags, func(a, b Tag) int { return strings.Compare(a.Key, b.Key) })
	}
	slices.SortFunc(all, func(a, b Version) int { return number(a) - number(b) })
	return all, nil
}

// number is 0 for a version whose number is none.
func number(v Version) int {
	n, _ := strconv.Atoi(v.Version)
	return n
}

const artifacts = "/api/2.0/mlflow-artifacts/artifacts"

// List implements Files.
func (c *Client) List(ctx context.Context, uri string) (all []File, err error) {
	root, ok := held(uri)
	if !ok {
		return nil, nil
	}
	dirs := []string{""}
	for len(dirs) > 0 {
		dir := dirs[0]
		dirs = dirs[1:]
		var a struct {
			Files []struct {
				Path string
				Dir  bool            `json:"is_dir"`
				Size json.RawMessage `json:"file_size"`
			}
		}
		body, err := c.do(ctx, http.MethodGet, artifacts+"?path="+url.QueryEscape(path.Join(root, dir)), nil, 0, "")
		if err := decode(body, err, &a); err != nil {
			return nil, err
		}
		for _, f := range a.Files {
			at := path.Join(dir, f.Path)
			if f.Dir {
				dirs = append(dirs, at)
				continue
			}
			size, err := strconv.ParseInt(strings.Trim(string(f.Size), `"`), 10, 64)
			if err != nil && len(f.Size) > 0 {
				return nil, fmt.Errorf("size of %s: %w", at, err)
			}
			all = append(all, File{at, size})
		}
	}
	return all, nil
}

func fileURL(uri, file string) string {
	root, _ := held(uri)
	return artifacts + (&url.URL{Path: "/" + path.Join(root, file)}).EscapedPath()
}

// Open implements Files.
func (c *Client) Open(ctx context.Context, uri, file string) (io.ReadCloser, error) {
	return c.do(ctx, http.MethodGet, fileURL(uri, file), nil, 0, "")
}

// Put implements Files.
func (c *Client) Put(ctx context.Context, uri, file string, r io.Reader, size int64) error {
	a, err := c.do(ctx, http.MethodPut, fileURL(uri, file), r, size, "application/octet-stream")
	return decode(a, err, nil)
}
