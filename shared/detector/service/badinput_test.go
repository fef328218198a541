package service

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// quiet is a service without a port, its model loaded, for inputs by the
// thousand.
func quiet(t testing.TB, change func(*Config)) http.Handler {
	t.Helper()
	needRuntime(t)
	c, err := FromEnv(func(k string) string {
		return map[string]string{"MODEL_URI": testdata + "dynamic.onnx", "MAX_BODY_MB": "8", "WORKERS": "1", "MAX_MEGAPIXELS": "20"}[k]
	})
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&c)
	}
	s, err := newServer(t.Context(), c, Deps{Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	return s.handler()
}

// send is one request; what comes back must be an answer, or a clear refusal.
func send(t testing.TB, h http.Handler, path string, header map[string]string, body []byte) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, bytes.NewReader(body))
	for k, v := range header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	clear(t, fmt.Sprintf("%s %v %.60q", path, header, body), w)
	return w
}

// clear checks that an answer is of use to its reader.
func clear(t testing.TB, what string, w *httptest.ResponseRecorder) {
	t.Helper()
	kind := w.Header().Get("Content-Type")
	switch {
	case w.Code == http.StatusOK:
		for line := range bytes.Lines(w.Body.Bytes()) {
			if kind == lineKind && !json.Valid(line) {
				t.Errorf("%s: a line is no JSON: %.200s", what, line)
			}
		}
		if kind == "application/json" && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: no JSON: %.200s", what, w.Body)
		}
	case w.Code < 400 || w.Code > 499:
		t.Errorf("%s: %d %.300s", what, w.Code, w.Body)
	case strings.HasPrefix(w.Header().Get("Content-Type"), "application/problem+json"):
		var p Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Code == "" || p.Detail == "" || p.Status != w.Code {
			t.Errorf("%s: %d without a code or words: %.300s", what, w.Code, w.Body)
		}
	default:
		var p ProtocolError
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Error == "" {
			t.Errorf("%s: %d without words: %.300s", what, w.Code, w.Body)
		}
	}
}

// awkward is what real photos gave trouble with.
const awkward = "../../../../shared/data/awkward"

func TestDetect_awkwardPhotos(t *testing.T) {
	files, err := os.ReadDir(awkward)
	if err != nil {
		t.Skip("no awkward photos on this machine: ", err)
	}
	h := quiet(t, nil)
	answered := 0
	for _, f := range files {
		photo := read(t, filepath.Join(awkward, f.Name()))
		plain := send(t, h, "/v1/detect", map[string]string{"Content-Type": "image/jpeg"}, photo)
		body, _ := json.Marshal(map[string]string{"content": base64.StdEncoding.EncodeToString(photo)})
		if w := send(t, h, "/v1/detect", map[string]string{"Content-Type": "application/json"}, body); w.Code != plain.Code && len(photo) > 0 {
			t.Errorf("%s: %d as a body and %d in JSON", f.Name(), plain.Code, w.Code)
		}
		if w := send(t, h, "/v1/detect?annotate=true", nil, photo); w.Code != plain.Code {
			t.Errorf("%s: %d, and %d annotated: %s", f.Name(), plain.Code, w.Code, w.Body)
		}
		if plain.Code == http.StatusOK {
			answered++
		} else {
			t.Logf("%d %s %.160s", plain.Code, f.Name(), plain.Body)
		}
	}
	if answered < 20 {
		t.Errorf("%d of %d files are answered", answered, len(files))
	}
}

// A photo cut short anywhere is refused in words; so is the rest of it.
func TestDetect_everyPrefix(t *testing.T) {
	h := quiet(t, nil)
	files := []string{testdata + "turned.jpg", testdata + "gray.jpg"} // the first with EXIF; those below progressive, and EXIF at length
	for _, f := range []string{"app13-multiple.jpg", "orientation_rectangle.jpg"} {
		if p := filepath.Join(awkward, f); exists(p) {
			files = append(files, p)
		}
	}
	for _, f := range files {
		photo := read(t, f)
		step := 1
		for n := 1; n < len(photo); n += step {
			if n > 700 { // headers byte by byte, the rest in steps
				step = max(1, len(photo)/100)
			}
			if w := send(t, h, "/v1/detect", nil, photo[:n]); w.Code == http.StatusOK && n < len(photo)-2 {
				t.Errorf("%s: the first %d of %d bytes are answered", filepath.Base(f), n, len(photo))
			}
		}
	}
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// FuzzDetect sends any body under any of the content types: it is answered, or
// refused with a status of 400 to 499, a code and words.
func FuzzDetect(f *testing.F) {
	h := quiet(f, func(c *Config) { c.MaxBody, c.MaxPixels = 1<<20, 1_000_000 })
	form1, body1 := form(f, map[string]string{"conf": "0.4", "classes": "can,1"}, testdata+"exact.png")
	photo := read(f, testdata+"gray.jpg")
	asJSON, _ := json.Marshal(map[string]any{"content": photo, "conf": 0.3})
	for _, seed := range []struct {
		kind, query string
		body        []byte
	}{
		{"image/jpeg", "", photo}, {"image/png", "conf=0.5&annotate=true", read(f, testdata+"exact.png")}, {"", "classes=can", photo[:200]},
		{form1, "", body1}, {"multipart/form-data", "", body1}, {"multipart/form-data; boundary=x", "max_det=0", []byte("--x\r\nContent-Disposition: form-data; name=conf\r\n\r\nNaN\r\n--x--")},
		{"application/json", "", asJSON}, {"application/json", "iou=2", []byte(`{"photos":[{"uri":"gs://b/o"},{"content":"aGk="}]}`)},
		{lineKind, "", append(append([]byte("{}\n"), asJSON...), '\n')}, {"image/jpeg; q=\"", "", photo}, {"application/json; charset=utf-16", "", asJSON},
	} {
		f.Add(seed.kind, seed.query, seed.body)
	}
	f.Fuzz(func(t *testing.T, kind, query string, body []byte) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/detect", bytes.NewReader(body))
		r.URL.RawQuery = query
		r.Header["Content-Type"] = []string{kind}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		clear(t, fmt.Sprintf("%q?%s %.100q", kind, query, body), w)
	})
}

// FuzzJSON sends any JSON to the routes that take some.
func FuzzJSON(f *testing.F) {
	h := quiet(f, func(c *Config) { c.MaxBody, c.MaxPixels = 1<<20, 1_000_000 })
	routes := []string{"/predict", "/v1/feedback", "/v1/model", "/v1/detect"}
	for i, seed := range []string{
		`{"instances":[{"b64":"aGk="}],"parameters":{"conf":0.1,"classes":["can",1]}}`, `{"id":"0198c0de-0000-7000-8000-000000000000","boxes":[{"box":[1,2,3,4],"class":"can"}]}`,
		`{"uri":"models:/x/1"}`, `{"content":"aGk=","classes":[1.5],"conf":1e400}`,
	} {
		f.Add(uint8(i), []byte(seed))
	}
	f.Fuzz(func(t *testing.T, route uint8, body []byte) {
		send(t, h, routes[int(route)%len(routes)], map[string]string{"Content-Type": "application/json"}, body)
	})
}

// FuzzOIP sends any header and tensor to the Open Inference Protocol.
func FuzzOIP(f *testing.F) {
	h := quiet(f, func(c *Config) { c.MaxBody = 1 << 20 })
	size := 3 * 32 * 32 * 4
	header, _ := json.Marshal(InferRequest{Inputs: []InferTensor{{Name: "images", Shape: []int64{1, 3, 32, 32}, Datatype: "FP32", Parameters: &TensorParameters{&size}}}, Outputs: []RequestedOutput{{"output0", &OutputParameters{true}}}})
	f.Add(fmt.Sprint(len(header)), append(header, make([]byte, size)...))
	f.Add("", halves(nil))
	f.Add("0", make([]byte, size))
	f.Add("-1", []byte("{}"))
	f.Add("", []byte(`{"inputs":[{"name":"images","shape":[1,3,-9223372036854775808,9223372036854775807],"datatype":"FP32","data":[[[1]]]}]}`))
	f.Fuzz(func(t *testing.T, length string, body []byte) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v2/models/dynamic/infer", bytes.NewReader(body))
		if length != "" {
			r.Header[http.CanonicalHeaderKey(headerLength)] = []string{length}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if n := w.Header().Get(headerLength); w.Code == http.StatusOK && n != "" {
			return // JSON and bytes
		}
		clear(t, fmt.Sprintf("%q %.100q", length, body), w)
	})
}
