package service

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/predictionlog"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/schema_validation"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
)

// contract is a served OpenAPI document.
type contract struct {
	model     *v3.Document
	validator validator.Validator
	schemas   schema_validation.SchemaValidator
}

// contracts by the document: services of the same routes serve the same.
var contracts sync.Map

func (r running) contract(t testing.TB) contract {
	t.Helper()
	resp, err := http.Get(r.url + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if known, ok := contracts.Load(string(text)); ok {
		return known.(contract)
	}
	document, err := libopenapi.NewDocument(text)
	if err != nil {
		t.Fatal(err)
	}
	model, err := document.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	v, faults := validator.NewValidator(document)
	if len(faults) > 0 {
		t.Fatal(errors.Join(faults...))
	}
	if ok, faults := v.ValidateDocument(); !ok {
		for _, f := range faults {
			t.Errorf("the document is no OpenAPI: %v", f)
		}
	}
	c := contract{&model.Model, v, schema_validation.NewSchemaValidator()}
	contracts.Store(string(text), c)
	return c
}

// hold fails when an answer is none that the document declares.
func (c contract) hold(t testing.TB, name string, req *http.Request, resp *http.Response, body []byte) {
	t.Helper()
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	if kind == lineKind { // each line is an answer
		media := c.operation(t, req).Responses.Codes.GetOrZero(fmt.Sprint(resp.StatusCode)).Content.GetOrZero(kind)
		for line := range bytes.Lines(body) {
			c.fits(t, name, media, line)
		}
		return
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if ok, faults := c.validator.ValidateHttpResponse(req, resp); !ok {
		for _, f := range faults {
			t.Errorf("%s: %s %s: %d %.300s: %s: %s", name, req.Method, req.URL.Path, resp.StatusCode, body, f.Message, f.Reason)
			for _, s := range f.SchemaValidationErrors {
				t.Errorf("  %s at %s", s.Reason, s.FieldPath)
			}
		}
	}
}

func (c contract) operation(t testing.TB, req *http.Request) *v3.Operation {
	t.Helper()
	item := c.model.Paths.PathItems.GetOrZero(req.URL.Path)
	if item == nil {
		t.Fatalf("%s is not in the document", req.URL.Path)
	}
	return item.GetOperations().GetOrZero(strings.ToLower(req.Method))
}

// fits fails when JSON is not what a media type's schema says.
func (c contract) fits(t testing.TB, name string, media *v3.MediaType, text []byte) {
	t.Helper()
	if media == nil {
		t.Errorf("%s: its media type is not declared: %s", name, text)
		return
	}
	if ok, faults := c.schemas.ValidateSchemaString(media.Schema.Schema(), string(text)); !ok {
		for _, f := range faults {
			t.Errorf("%s: %s: %s %v", name, text, f.Reason, f.SchemaValidationErrors)
		}
	}
}

// Every answer over all routes, of every status that can be had without a fault of
// the machine, is what the served OpenAPI document declares.
func TestOpenAPI_answersAreAsDeclared(t *testing.T) {
	dir := t.TempDir()
	r := start(t, func(c *Config, _ *Deps) {
		c.AdminToken, c.MaxBody, c.MaxPixels = "secret", 1<<20, 1<<20
		c.LogTo, c.Log = dir, predictionlog.DefaultPolicy()
	})
	quiet := start(t, nil) // keeps no log, has no token
	loading := start(t, func(c *Config, d *Deps) {
		c.ModelURI, c.Timeout = "gs://away/", 500*time.Millisecond
		d.Bucket = func(ctx context.Context, _ string) (blob.Bucket, error) { <-ctx.Done(); return nil, ctx.Err() }
	})
	photo := read(t, testdata+"exact.png")
	text := base64.StdEncoding.EncodeToString(photo)
	large := strings.Repeat(" ", 2<<20)
	answer := r.detect(t, "", "image/png", photo)
	kind, formBody := form(t, map[string]string{"conf": "0.4"}, testdata+"exact.png")
	several, twoPhotos := form(t, nil, testdata+"exact.png", testdata+"exact.png")
	zeros := strings.TrimSuffix(strings.Repeat("0,", 3*64*64), ",")
	tensor := fmt.Sprintf(`{"inputs":[{"name":"images","shape":[1,3,64,64],"datatype":"FP32","data":[%s]}]}`, zeros)
	packaged := filepath.Join(t.TempDir(), "package")
	writePackage(t, dirWriter(t, packaged), nil)
	seen := map[string]bool{}
	for _, c := range []struct {
		name, method, path string
		header             []string
		body               string
		status             int
		of                 *running
	}{
		{"photo", "POST", "/v1/detect", []string{"Content-Type", "image/png"}, string(photo), 200, nil},
		{"photo with options", "POST", "/v1/detect?conf=0.1&iou=0.5&max_det=3&classes=1&agnostic_nms=true", []string{"Content-Type", "image/png"}, string(photo), 200, nil},
		{"nothing found", "POST", "/v1/detect?conf=0.999999", []string{"Content-Type", "image/png"}, string(photo), 200, nil},
		{"form", "POST", "/v1/detect", []string{"Content-Type", kind}, string(formBody), 200, nil},
		{"form of two", "POST", "/v1/detect", []string{"Content-Type", several}, string(twoPhotos), 200, nil},
		{"JSON", "POST", "/v1/detect", []string{"Content-Type", "application/json"}, fmt.Sprintf(`{"content":%q}`, text), 200, nil},
		{"JSON list", "POST", "/v1/detect", []string{"Content-Type", "application/json"}, fmt.Sprintf(`{"photos":[{"content":%q}]}`, text), 200, nil},
		{"lines", "POST", "/v1/detect", []string{"Content-Type", lineKind}, fmt.Sprintf("{\"content\":%q}\n{}\n{\"content\":\"aGVsbG8=\"}\n{\"content\":%q,\"conf\":0.9}\n", text, text), 200, nil},
		{"drawn", "POST", "/v1/detect?annotate=true", []string{"Content-Type", "image/png"}, string(photo), 200, nil},
		{"drawn as PNG", "POST", "/v1/detect", []string{"Content-Type", "image/png", "Accept", "image/png"}, string(photo), 200, nil},
		{"empty", "POST", "/v1/detect", []string{"Content-Type", "image/png"}, "", 400, nil},
		{"no JSON", "POST", "/v1/detect", []string{"Content-Type", "application/json"}, "{", 400, nil},
		{"no lines", "POST", "/v1/detect", []string{"Content-Type", lineKind}, "", 400, nil},
		{"too large", "POST", "/v1/detect", []string{"Content-Type", "image/png"}, large, 413, nil},
		{"a text", "POST", "/v1/detect", []string{"Content-Type", "text/plain"}, "x", 415, nil},
		{"HEIC", "POST", "/v1/detect", []string{"Content-Type", "image/heic"}, "\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", 415, nil},
		{"no photo", "POST", "/v1/detect", []string{"Content-Type", "image/png"}, "hello", 422, nil},
		{"an option with a slip", "POST", "/v1/detect?confidence=1", []string{"Content-Type", "image/png"}, string(photo), 422, nil},
		{"an option out of range", "POST", "/v1/detect?conf=7", []string{"Content-Type", "image/png"}, string(photo), 422, nil},
		{"a class of no model", "POST", "/v1/detect?classes=unicorn", []string{"Content-Type", "image/png"}, string(photo), 422, nil},
		{"a URI that is refused", "POST", "/v1/detect", []string{"Content-Type", "application/json"}, `{"uri":"https://127.0.0.1/x"}`, 422, nil},
		{"model is loading", "POST", "/v1/detect", []string{"Content-Type", "image/png"}, string(photo), 504, &loading},
		{"model", "GET", "/v1/model", nil, "", 200, nil},
		{"no model yet", "GET", "/v1/model", nil, "", 504, &loading},
		{"swap", "POST", "/v1/model", []string{"Content-Type", "application/json", "Authorization", "Bearer secret"}, fmt.Sprintf(`{"uri":%q}`, packaged), 200, nil},
		{"model of a package", "GET", "/v1/model", nil, "", 200, nil},
		{"swap without a token", "POST", "/v1/model", []string{"Content-Type", "application/json"}, `{"uri":"x"}`, 401, nil},
		{"swap where none may", "POST", "/v1/model", []string{"Content-Type", "application/json"}, `{"uri":"x"}`, 403, &quiet},
		{"swap to nothing", "POST", "/v1/model", []string{"Content-Type", "application/json", "Authorization", "Bearer secret"}, `{"uri":""}`, 422, nil},
		{"swap to what is not there", "POST", "/v1/model", []string{"Content-Type", "application/json", "Authorization", "Bearer secret"}, `{"uri":"/nowhere.onnx"}`, 0, nil},
		{"swap, no JSON", "POST", "/v1/model", []string{"Content-Type", "application/json", "Authorization", "Bearer secret"}, "{", 400, nil},
		{"swap, too large", "POST", "/v1/model", []string{"Content-Type", "application/json", "Authorization", "Bearer secret"}, large, 413, nil},
		{"feedback", "POST", "/v1/feedback", []string{"Content-Type", "application/json"}, fmt.Sprintf(`{"id":%q,"boxes":[{"box":[1,2,3,4],"class":"x"}]}`, answer.ID), 201, nil},
		{"feedback of nothing", "POST", "/v1/feedback", []string{"Content-Type", "application/json"}, `{"id":"x","boxes":[]}`, 422, nil},
		{"feedback, no JSON", "POST", "/v1/feedback", []string{"Content-Type", "application/json"}, `{`, 400, nil},
		{"feedback, another shape", "POST", "/v1/feedback", []string{"Content-Type", "application/json"}, `{"id":3}`, 422, nil},
		{"feedback without a log", "POST", "/v1/feedback", []string{"Content-Type", "application/json"}, fmt.Sprintf(`{"id":%q,"boxes":[]}`, answer.ID), 409, &quiet},
		{"feedback, too large", "POST", "/v1/feedback", []string{"Content-Type", "application/json"}, large, 413, nil},
		{"predict", "POST", "/predict", []string{"Content-Type", "application/json"}, fmt.Sprintf(`{"instances":[{"content":%q},{"b64":%q}],"parameters":{"conf":0.4}}`, text, text), 200, nil},
		{"predict nothing", "POST", "/predict", []string{"Content-Type", "application/json"}, `{"instances":[]}`, 422, nil},
		{"predict, no JSON", "POST", "/predict", []string{"Content-Type", "application/json"}, `{`, 400, nil},
		{"predict, no photo", "POST", "/predict", []string{"Content-Type", "application/json"}, `{"instances":[{"content":"aGVsbG8="}]}`, 422, nil},
		{"predict, too large", "POST", "/predict", []string{"Content-Type", "application/json"}, large, 413, nil},
		{"predict, compressed", "POST", "/predict", []string{"Content-Type", "application/json", "Content-Encoding", "gzip"}, "x", 415, nil},
		{"predict while loading", "POST", "/predict", []string{"Content-Type", "application/json"}, `{}`, 504, &loading},
		{"server", "GET", "/v2", nil, "", 200, nil},
		{"live", "GET", "/v2/health/live", nil, "", 200, nil},
		{"ready", "GET", "/v2/health/ready", nil, "", 200, nil},
		{"not ready", "GET", "/v2/health/ready", nil, "", 503, &loading},
		{"metadata", "GET", "/v2/models/dynamic", nil, "", 200, &quiet},
		{"metadata of a version", "GET", "/v2/models/dynamic/versions/1", nil, "", 200, &quiet},
		{"metadata of another", "GET", "/v2/models/other", nil, "", 404, &quiet},
		{"metadata while loading", "GET", "/v2/models/dynamic", nil, "", 504, &loading},
		{"model ready", "GET", "/v2/models/dynamic/ready", nil, "", 200, &quiet},
		{"version ready", "GET", "/v2/models/dynamic/versions/1/ready", nil, "", 200, &quiet},
		{"model not ready", "GET", "/v2/models/dynamic/ready", nil, "", 503, &loading},
		{"infer", "POST", "/v2/models/dynamic/infer", []string{"Content-Type", "application/json"}, tensor, 200, &quiet},
		{"infer by a version", "POST", "/v2/models/dynamic/versions/1/infer", []string{"Content-Type", "application/json"}, tensor, 200, &quiet},
		{"infer, answered as bytes", "POST", "/v2/models/dynamic/infer", []string{"Content-Type", "application/json"}, strings.Replace(tensor, "{", `{"parameters":{"binary_data_output":true},`, 1), 200, &quiet},
		{"infer, no JSON", "POST", "/v2/models/dynamic/infer", []string{"Content-Type", "application/json"}, "{", 400, &quiet},
		{"infer, another tensor", "POST", "/v2/models/dynamic/infer", []string{"Content-Type", "application/json"}, `{"inputs":[]}`, 400, &quiet},
		{"infer another model", "POST", "/v2/models/other/infer", []string{"Content-Type", "application/json"}, tensor, 404, &quiet},
		{"infer, compressed", "POST", "/v2/models/dynamic/infer", []string{"Content-Type", "application/json", "Content-Encoding", "gzip"}, "x", 415, &quiet},
		{"infer, too large", "POST", "/v2/models/package/infer", []string{"Content-Type", "application/json"}, large, 0, nil},
		{"infer while loading", "POST", "/v2/models/dynamic/infer", []string{"Content-Type", "application/json"}, tensor, 504, &loading},
		{"alive", "GET", "/healthz", nil, "", 200, nil},
		{"is ready", "GET", "/readyz", nil, "", 200, nil},
		{"is not ready", "GET", "/readyz", nil, "", 503, &loading},
		{"metrics", "GET", "/metrics", nil, "", 200, nil},
	} {
		of := &r
		if c.of != nil {
			of = c.of
		}
		req, err := http.NewRequestWithContext(t.Context(), c.method, of.url+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(c.header); i += 2 {
			req.Header.Set(c.header[i], c.header[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || c.status != 0 && resp.StatusCode != c.status {
			t.Errorf("%s: %d %.300s, want %d; %v", c.name, resp.StatusCode, body, c.status, err)
		}
		path := req.URL.Path
		of.contract(t).hold(t, c.name, req, resp, body)
		for _, part := range []string{"dynamic", "other", "package"} {
			path = strings.Replace(path, "/models/"+part, "/models/{name}", 1)
		}
		seen[c.method+" "+strings.Replace(path, "/versions/1", "/versions/{version}", 1)] = true
	}
	for path, item := range r.contract(t).model.Paths.PathItems.FromOldest() {
		for method := range item.GetOperations().FromOldest() {
			if name := strings.ToUpper(method) + " " + path; !seen[name] {
				t.Errorf("no request above asks for %s", name)
			}
		}
	}
}

// Each operation has examples of what is sent and of every answer, and they are
// what the schemas say.
func TestOpenAPI_examples(t *testing.T) {
	c := start(t, nil).contract(t)
	check := func(name string, content map[string]*v3.MediaType) {
		for kind, media := range content {
			var examples []any
			add := func(decode func(any) error) {
				var v any
				if err := decode(&v); err != nil {
					t.Errorf("%s, %s: %v", name, kind, err)
				}
				examples = append(examples, v)
			}
			if media.Example != nil {
				add(media.Example.Decode)
			}
			if media.Examples != nil {
				for e := range media.Examples.ValuesFromOldest() {
					add(e.Value.Decode)
				}
			}
			bytes := slices.Contains(media.Schema.Schema().Type, "string") && media.Schema.Schema().Format == "binary"
			if len(examples) == 0 && !bytes && kind != "multipart/form-data" {
				t.Errorf("%s, %s: there is no example", name, kind)
			}
			for _, e := range examples {
				text, err := json.Marshal(e)
				if err != nil {
					t.Fatal(err)
				}
				c.fits(t, name+", "+kind, media, text)
			}
		}
	}
	for path, item := range c.model.Paths.PathItems.FromOldest() {
		for method, o := range item.GetOperations().FromOldest() {
			name := method + " " + path
			if o.RequestBody != nil {
				content := map[string]*v3.MediaType{}
				for kind, media := range o.RequestBody.Content.FromOldest() {
					content[kind] = media
				}
				check(name, content)
			}
			for status, r := range o.Responses.Codes.FromOldest() {
				content := map[string]*v3.MediaType{}
				for kind, media := range r.Content.FromOldest() {
					content[kind] = media
				}
				check(name+" "+status, content)
			}
		}
	}
}
