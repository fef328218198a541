package service

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/litterloop/litterloop/shared/detector"
)

// halves is a 32x32 input of one value, in JSON.
func halves(change func(*InferRequest)) []byte {
	data, _ := json.Marshal(make([]float32, 3*32*32))
	req := InferRequest{ID: "42", Inputs: []InferTensor{{Name: "images", Shape: []int64{1, 3, 32, 32}, Datatype: "FP32", Data: data}}}
	if change != nil {
		change(&req)
	}
	p, _ := json.Marshal(req)
	return p
}

func (r running) infer(t testing.TB, path string, length int, body []byte) (int, http.Header, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if length >= 0 {
		req.Header.Set(headerLength, strconv.Itoa(length))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out bytes.Buffer
	if _, err := out.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, out.Bytes()
}

func TestOIP_metadata(t *testing.T) {
	s := start(t, nil)
	s.detect(t, "", "image/png", read(t, testdata+"exact.png")) // ready
	for path, want := range map[string]string{
		"/v2":                                 `{"name":"litterloop","version":"1","extensions":["binary_tensor_data"]}`,
		"/v2/health/live":                     `{"live":true}`,
		"/v2/health/ready":                    `{"ready":true}`,
		"/v2/models/dynamic/ready":            `{"name":"dynamic","ready":true}`,
		"/v2/models/dynamic/versions/1/ready": `{"name":"dynamic","ready":true}`,
		"/v2/models/dynamic":                  `{"name":"dynamic","versions":["1"],"platform":"onnxruntime_onnx","inputs":[{"name":"images","datatype":"FP32","shape":[-1,3,-1,-1]}],"outputs":[{"name":"output0","datatype":"FP32","shape":[1,11,-1]}]}`,
	} {
		code, _, p := s.do(t, http.MethodGet, path, "", nil)
		if got := strings.TrimSpace(string(p)); code != http.StatusOK || got != want {
			t.Errorf("%s: %d %s, want %s", path, code, got, want)
		}
	}
	for _, path := range []string{"/v2/models/other", "/v2/models/other/ready", "/v2/models/dynamic/versions/2", "/v2/models/dynamic/versions/2/ready"} {
		var e ProtocolError
		code, _, p := s.do(t, http.MethodGet, path, "", nil)
		if json.Unmarshal(p, &e) != nil || code != http.StatusNotFound || !strings.Contains(e.Error, "dynamic") {
			t.Errorf("%s: %d %s", path, code, p)
		}
	}
}

// JSON, binary data behind the JSON, and nothing but binary data give the same.
func TestOIP_threeFormsOneAnswer(t *testing.T) {
	for _, model := range []string{"dynamic", "static", "end2end", "half"} {
		t.Run(model, func(t *testing.T) {
			s := start(t, func(c *Config, _ *Deps) { c.ModelURI = testdata + model + ".onnx" })
			kind, values, raw := "FP32", make([]float32, 3*96*96), []byte(nil)
			if model == "half" {
				kind = "FP16"
			}
			for i := range values {
				values[i] = float32(i%256) / 256
				if kind == "FP16" {
					raw = binary.LittleEndian.AppendUint16(raw, detector.Half(values[i]))
				} else {
					raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(values[i]))
				}
			}
			path := "/v2/models/" + model + "/infer"
			data, _ := json.Marshal(values)
			shape := []int64{1, 3, 96, 96}
			plain, _ := json.Marshal(InferRequest{ID: "42", Inputs: []InferTensor{{Name: "images", Shape: shape, Datatype: kind, Data: data}}})
			code, _, p := s.infer(t, path, -1, plain)
			var want InferResponse
			if err := json.Unmarshal(p, &want); code != http.StatusOK || err != nil || want.ID != "42" || want.ModelName != model || want.Outputs[0].Name != "output0" || want.Outputs[0].Datatype != kind {
				t.Fatalf("%d %v %.300s", code, err, p)
			}
			var numbers []float32
			if err := json.Unmarshal(want.Outputs[0].Data, &numbers); err != nil {
				t.Fatal(err)
			}
			size := len(raw)
			header, _ := json.Marshal(InferRequest{
				Inputs:  []InferTensor{{Name: "images", Shape: shape, Datatype: kind, Parameters: &TensorParameters{&size}}},
				Outputs: []RequestedOutput{{"output0", &OutputParameters{true}}},
			})
			requests := map[string]struct {
				length int
				body   []byte
			}{"behind the JSON": {len(header), append(header, raw...)}}
			if model == "static" {
				requests["without JSON"] = struct {
					length int
					body   []byte
				}{0, raw}
			}
			for name, r := range requests {
				code, h, p := s.infer(t, path, r.length, r.body)
				n, err := strconv.Atoi(h.Get(headerLength))
				if code != http.StatusOK || err != nil {
					t.Fatalf("%s: %d %v %.300s", name, code, err, p)
				}
				var got InferResponse
				if err := json.Unmarshal(p[:n], &got); err != nil {
					t.Fatal(err)
				}
				var back []float32
				for b := p[n:]; len(b) > 0; {
					if kind == "FP16" {
						back, b = append(back, detector.FromHalf(binary.LittleEndian.Uint16(b))), b[2:]
					} else {
						back, b = append(back, math.Float32frombits(binary.LittleEndian.Uint32(b))), b[4:]
					}
				}
				if d := cmp.Diff(numbers, back); d != "" || !cmp.Equal(got.Outputs[0].Shape, want.Outputs[0].Shape) {
					t.Errorf("%s: shape %v, values (-JSON +binary): %.500s", name, got.Outputs[0].Shape, d)
				}
			}
		})
	}
}

func TestOIP_refusals(t *testing.T) {
	s := start(t, func(c *Config, _ *Deps) { c.MaxBody = 1 << 20 })
	edit := func(f func(*InferTensor)) []byte {
		return halves(func(r *InferRequest) { f(&r.Inputs[0]) })
	}
	size := 7
	for name, c := range map[string]struct {
		path   string
		length int
		body   []byte
		status int
		says   string
	}{
		"another model":         {"other", -1, halves(nil), 404, `"dynamic" version 1 is served`},
		"another version":       {"dynamic/versions/3", -1, halves(nil), 404, "version"},
		"nothing":               {"dynamic", -1, nil, 400, "JSON"},
		"not JSON":              {"dynamic", -1, []byte("{"), 400, "JSON"},
		"no input":              {"dynamic", -1, halves(func(r *InferRequest) { r.Inputs = nil }), 400, "images"},
		"another input":         {"dynamic", -1, edit(func(i *InferTensor) { i.Name = "x" }), 400, "images"},
		"another output":        {"dynamic", -1, halves(func(r *InferRequest) { r.Outputs = []RequestedOutput{{Name: "x"}} }), 400, "output0"},
		"bytes for floats":      {"dynamic", -1, edit(func(i *InferTensor) { i.Datatype = "UINT8" }), 400, "FP32"},
		"a negative dimension":  {"dynamic", -1, edit(func(i *InferTensor) { i.Shape[2] = -32 }), 400, "shape"},
		"too few numbers":       {"dynamic", -1, edit(func(i *InferTensor) { i.Data = json.RawMessage("[1]") }), 400, "4 bytes"},
		"text among numbers":    {"dynamic", -1, edit(func(i *InferTensor) { i.Data = json.RawMessage(`[1,"x"]`) }), 400, "no number"},
		"a number":              {"dynamic", -1, edit(func(i *InferTensor) { i.Data = json.RawMessage("1") }), 400, "list"},
		"above float32":         {"dynamic", -1, edit(func(i *InferTensor) { i.Data = json.RawMessage("[1e300]") }), 400, "no number"},
		"a length of the moon":  {"dynamic", 1 << 30, halves(nil), 400, headerLength},
		"a size that is not so": {"dynamic", len(edit(func(i *InferTensor) { i.Data, i.Parameters = nil, &TensorParameters{&size} })), edit(func(i *InferTensor) { i.Data, i.Parameters = nil, &TensorParameters{&size} }), 400, "0 bytes follow"},
		"only bytes, any shape": {"dynamic", 0, []byte("1234"), 400, "shape"},
		"two megabytes":         {"dynamic", -1, make([]byte, 2<<20), 413, "1 MB"},
	} {
		t.Run(name, func(t *testing.T) {
			code, header, p := s.infer(t, "/v2/models/"+c.path+"/infer", c.length, c.body)
			var e ProtocolError
			if err := json.Unmarshal(p, &e); err != nil || code != c.status || !strings.Contains(e.Error, c.says) || header.Get("Content-Type") != "application/json" {
				t.Errorf("%d %s, want %d that says %q", code, p, c.status, c.says)
			}
		})
	}
}

// A raw NaN goes in and must not come out as broken JSON.
func TestOIP_whatJSONCannotWrite(t *testing.T) {
	s := start(t, nil)
	raw := bytes.Repeat(binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(math.NaN()))), 3*32*32)
	size := len(raw)
	header, _ := json.Marshal(InferRequest{Inputs: []InferTensor{{Name: "images", Shape: []int64{1, 3, 32, 32}, Datatype: "FP32", Parameters: &TensorParameters{&size}}}})
	code, _, p := s.infer(t, "/v2/models/dynamic/infer", len(header), append(header, raw...))
	if code != http.StatusBadRequest || !strings.Contains(string(p), "NaN") {
		t.Errorf("%d %.200s", code, p)
	}
}

func TestOIP_overloadIsToldInItsForm(t *testing.T) {
	needRuntime(t)
	s := start(t, func(c *Config, _ *Deps) { c.MaxInFlight = 1 })
	s.detect(t, "", "image/png", read(t, testdata+"exact.png"))

	body, done := s.stall(t, t.Context())
	defer func() { body.Close(); <-done }()
	code, header, p := s.infer(t, "/v2/models/dynamic/infer", -1, halves(nil))
	if code != http.StatusTooManyRequests || header.Get("Retry-After") == "" || !strings.HasPrefix(string(p), `{"error":`) {
		t.Errorf("%d %v %s", code, header, p)
	}
}
