package service

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // what the service answers
	"io"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/detector"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/onnxruntime"
	"github.com/litterloop/litterloop/shared/predictionlog"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/rollout"
)

const testdata = "../testdata/"

func read(t testing.TB, path string) []byte {
	t.Helper()
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func needRuntime(t testing.TB) {
	t.Helper()
	if err := onnxruntime.Init(); err != nil {
		t.Skip(err)
	}
}

// writePackage makes a model package of the fixture in dir, its golden answers
// given by spoil a chance to be wrong.
func writePackage(t testing.TB, write func(name string, p []byte), spoil func(*modelpackage.Golden)) {
	t.Helper()
	model := read(t, testdata+"dynamic.onnx")
	d, err := detector.Open(model, detector.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	g := modelpackage.Golden{Conf: 0.25, IoU: 0.7, MaxDet: 300}
	photo := read(t, testdata+"exact.png")
	r, err := d.Detect(t.Context(), photo, detector.Query{Conf: g.Conf, IoU: g.IoU, MaxDet: g.MaxDet})
	if err != nil {
		t.Fatal(err)
	}
	g.Photos = []modelpackage.GoldenPhoto{{File: "a.png", Detections: r.Detections}}
	if spoil != nil {
		spoil(&g)
	}
	golden, _ := json.Marshal(g)
	card, _ := json.Marshal(modelpackage.Card{Name: "litter", Dataset: "d1", Classes: d.Spec().Classes})
	write(modelpackage.ModelFile, model)
	write(modelpackage.GoldenDir+"a.png", photo)
	write(modelpackage.GoldenFile, golden)
	write(modelpackage.CardFile, card)
}

func dirWriter(t testing.TB, dir string) func(string, []byte) {
	return func(name string, p []byte) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, p, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

type running struct {
	url  string
	stop func() error // ends the service and returns what Run returned
	wait func() error // waits for Run to end by itself
}

// start runs a service of the fixture model on a port of its own.
func start(t testing.TB, change func(*Config, *Deps)) running {
	t.Helper()
	needRuntime(t)
	c, err := FromEnv(func(k string) string { return map[string]string{"MODEL_URI": testdata + "dynamic.onnx"}[k] })
	if err != nil {
		t.Fatal(err)
	}
	c.Addr, c.Revision = "127.0.0.1:0", "litter-v1"
	addr := make(chan string, 1)
	d := Deps{Log: slog.New(slog.DiscardHandler), Now: time.Now, Listen: func(network, a string) (net.Listener, error) {
		l, err := net.Listen(network, a)
		if err == nil {
			addr <- l.Addr().String()
		}
		return l, err
	}}
	if change != nil {
		change(&c, &d)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, c, d) }()
	wait := sync.OnceValue(func() error { return <-ended })
	stop := func() error {
		http.DefaultClient.CloseIdleConnections() // the service would wait for more requests on them
		cancel()
		return wait()
	}
	t.Cleanup(func() { stop() })
	select {
	case a := <-addr:
		return running{"http://" + a, stop, wait}
	case err := <-ended:
		t.Fatal("the service does not start: ", err)
		return running{}
	}
}

func (r running) do(t testing.TB, method, path, kind string, body io.Reader) (int, http.Header, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	p, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, p
}

func (r running) detect(t testing.TB, query, kind string, body []byte) Answer {
	t.Helper()
	code, _, p := r.do(t, http.MethodPost, "/v1/detect"+query, kind, bytes.NewReader(body))
	if code != http.StatusOK {
		t.Fatalf("%d: %s", code, p)
	}
	var a Answer
	if err := json.Unmarshal(p, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// await polls the metrics until they say so: the one sign that the server, and
// not only the client, is at work on a request.
func (r running) await(t testing.TB, metric string) {
	t.Helper()
	for t.Context().Err() == nil {
		if _, _, m := r.do(t, http.MethodGet, "/metrics", "", nil); strings.Contains(string(m), metric) {
			return
		}
	}
}

// form writes fields and files as multipart.
func form(t testing.TB, fields map[string]string, files ...string) (kind string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for k, v := range fields {
		w.WriteField(k, v)
	}
	for _, f := range files {
		part, err := w.CreateFormFile("photo", filepath.Base(f))
		if err != nil {
			t.Fatal(err)
		}
		part.Write(read(t, f))
	}
	w.Close()
	return w.FormDataContentType(), b.Bytes()
}

func TestDetect_threeFormsOneAnswer(t *testing.T) {
	photos := blobmem.New("photos")
	if _, err := photos.Write(t.Context(), "street/one.png", bytes.NewReader(read(t, testdata+"exact.png")), blob.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	s := start(t, func(_ *Config, d *Deps) {
		d.Bucket = func(context.Context, string) (blob.Bucket, error) { return photos, nil }
	})
	photo := read(t, testdata+"exact.png")
	want := s.detect(t, "?conf=0.4&iou=0.5&classes=1,3", "image/png", photo)
	if len(want.Detections) == 0 || want.Image != (Size{96, 96}) || want.Model.Name != "dynamic" || len(want.Model.SHA256) != 64 {
		t.Fatalf("answer %+v", want)
	}
	kind, body := form(t, map[string]string{"conf": "0.4", "iou": "0.5", "classes": "1, 3"}, testdata+"exact.png")
	asJSON, _ := json.Marshal(map[string]any{"content": base64.StdEncoding.EncodeToString(photo), "conf": 0.4, "iou": 0.5, "classes": []int{1, 3}})
	asURI, _ := json.Marshal(map[string]any{"uri": "gs://photos/street/one.png", "conf": 0.4, "iou": 0.5, "classes": []int{1, 3}})
	for name, got := range map[string]Answer{
		"form":            s.detect(t, "", kind, body),
		"base64":          s.detect(t, "", "application/json", asJSON),
		"gs://":           s.detect(t, "", "application/json", asURI),
		"no content type": s.detect(t, "?conf=0.4&iou=0.5&classes=1,3", "", photo),
		"curl's default":  s.detect(t, "?conf=0.4&iou=0.5&classes=1,3", "application/x-www-form-urlencoded", photo),
	} {
		if d := cmp.Diff(want, got, cmpopts.IgnoreFields(Answer{}, "ID", "Photo", "Timings")); d != "" {
			t.Errorf("%s differs (-want +got):\n%s", name, d)
		}
	}
}

func TestDetect_severalPhotosGiveAList(t *testing.T) {
	s := start(t, nil)
	kind, body := form(t, nil, testdata+"wide.jpg", testdata+"turned.jpg")
	code, _, p := s.do(t, http.MethodPost, "/v1/detect", kind, bytes.NewReader(body))
	var list []Answer
	if err := json.Unmarshal(p, &list); code != http.StatusOK || err != nil {
		t.Fatalf("%d: %s (%v)", code, p, err)
	}
	if len(list) != 2 || list[0].Photo != "wide.jpg" || list[1].Image != (Size{160, 240}) || list[0].ID == list[1].ID {
		t.Errorf("answers %+v", list)
	}
}

func TestDetect_annotated(t *testing.T) {
	s := start(t, nil)
	photo := read(t, testdata+"turned.jpg")
	code, header, p := s.do(t, http.MethodPost, "/v1/detect?annotate=true", "image/jpeg", bytes.NewReader(photo))
	m, format, err := image.Decode(bytes.NewReader(p))
	if code != http.StatusOK || err != nil || format != "jpeg" || m.Bounds() != image.Rect(0, 0, 160, 240) || header.Get("X-Prediction-Id") == "" {
		t.Errorf("%d %v: %v %s %v", code, header, err, format, m)
	}
	kind, body := form(t, nil, testdata+"wide.jpg", testdata+"turned.jpg")
	if code, _, p := s.do(t, http.MethodPost, "/v1/detect?annotate=true", kind, bytes.NewReader(body)); code != http.StatusUnprocessableEntity {
		t.Errorf("two photos: %d %.100s", code, p)
	}
}

// Everything wrong a client can send has its own status, a code and words.
func TestDetect_refusals(t *testing.T) {
	s := start(t, func(c *Config, _ *Deps) { c.MaxBody, c.MaxPixels, c.PhotoBuckets = 1<<20, 40_000, []string{"photos"} })
	small := read(t, testdata+"exact.png")
	kind, body := form(t, map[string]string{"confidence": "0.4"}, testdata+"exact.png")
	goodKind, good := form(t, nil, testdata+"exact.png")
	kindless, empty := form(t, map[string]string{"conf": "0.4"})
	for name, c := range map[string]struct {
		query, kind string
		body        []byte
		status      int
		code, says  string
	}{
		"nothing":                 {"", "image/jpeg", nil, 400, "body-empty", "empty"},
		"text":                    {"", "image/jpeg", []byte("hello"), 422, "photo-unreadable", "not a photo"},
		"half a photo":            {"", "image/png", small[:len(small)/2], 422, "photo-unreadable", "PNG"},
		"HEIC":                    {"", "image/heic", []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00"), 415, "photo-unsupported", "HEIC"},
		"XML":                     {"", "application/xml", small, 415, "media-type-unsupported", "application/xml"},
		"a broken media type":     {"", "image/", small, 415, "media-type-unsupported", "Content-Type"},
		"two megabytes":           {"", "image/jpeg", make([]byte, 2<<20), 413, "body-too-large", "1 MB"},
		"too many pixels":         {"", "image/jpeg", read(t, testdata+"tall.jpg"), 413, "photo-too-large", "180x330"},
		"conf above one":          {"?conf=2", "image/png", small, 422, "request-invalid", "conf"},
		"a slip in a name":        {"?confidence=0.4", "image/png", small, 422, "request-invalid", "confidence"},
		"a slip in JSON":          {"", "application/json", []byte(`{"content":"aaaa","confidence":0.4}`), 400, "body-unreadable", "confidence"},
		"two photos in one":       {"", "application/json", []byte(`{"content":"aaaa","uri":"gs://photos/x"}`), 400, "body-empty", "not both"},
		"max_det of nothing":      {"", "application/json", []byte(`{"content":"aaaa","max_det":0}`), 422, "query-invalid", "max_det"},
		"half a class":            {"", "application/json", []byte(`{"content":"aaaa","classes":[1.5]}`), 400, "body-unreadable", "class"},
		"a class by a wrong name": {"?classes=cat", "image/png", small, 422, "query-invalid", "cat"},
		"conf is no number":       {"?conf=x", "image/png", small, 422, "request-invalid", "conf"},
		"class that is not":       {"?classes=99", "image/png", small, 422, "query-invalid", "class 99"},
		"not JSON":                {"", "application/json", []byte("{"), 400, "body-unreadable", "JSON"},
		"JSON without photo":      {"", "application/json", []byte("{}"), 400, "body-empty", "content"},
		"base64 of nothing":       {"", "application/json", []byte(`{"content":"!"}`), 400, "body-unreadable", "base64"},
		"https URI":               {"", "application/json", []byte(`{"uri":"https://169.254.169.254/x"}`), 422, "uri-refused", "gs://"},
		"another bucket":          {"", "application/json", []byte(`{"uri":"gs://secrets/x"}`), 422, "uri-refused", "secrets"},
		"unknown form field":      {"", kind, body, 400, "body-unreadable", "confidence"},
		"form without photo":      {"", kindless, empty, 400, "body-empty", "no photo"},
		"form without its end":    {"", goodKind, good[:len(good)/2], 400, "body-unreadable", "EOF"},
		"form without limits":     {"", "multipart/form-data", small, 400, "body-unreadable", "multipart"},
	} {
		t.Run(name, func(t *testing.T) {
			status, header, p := s.do(t, http.MethodPost, "/v1/detect"+c.query, c.kind, bytes.NewReader(c.body))
			var problem Problem
			if err := json.Unmarshal(p, &problem); err != nil {
				t.Fatalf("%d: %s", status, p)
			}
			if status != c.status || problem.Code != c.code || !strings.Contains(string(p), c.says) || header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%d %s %s, want %d %s that says %q", status, header.Get("Content-Type"), p, c.status, c.code, c.says)
			}
		})
	}
	if a := s.detect(t, "", "image/png", small); len(a.Detections) == 0 {
		t.Error("after refusals a good photo is answered with nothing")
	}
}

func TestDetect_overload(t *testing.T) {
	s := start(t, func(c *Config, _ *Deps) { c.MaxInFlight = 1 })
	s.detect(t, "", "image/png", read(t, testdata+"exact.png")) // ready
	photo := read(t, testdata+"exact.png")
	writer, done := s.stall(t, t.Context())
	code, header, p := s.do(t, http.MethodPost, "/v1/detect", "image/png", bytes.NewReader(photo))
	if code != http.StatusTooManyRequests || header.Get("Retry-After") == "" || !strings.Contains(string(p), "overloaded") {
		t.Errorf("%d %v %s", code, header, p)
	}
	writer.Write(photo[100:])
	writer.Close()
	<-done
}

// stall begins to send exact.png and stops after 100 bytes, once the server is
// at work on it. The rest goes into the writer.
func (r running) stall(t testing.TB, ctx context.Context) (rest io.WriteCloser, answered <-chan int) {
	t.Helper()
	body, writer := io.Pipe()
	done := make(chan int, 1)
	go func() {
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/v1/detect", body)
		req.Header.Set("Content-Type", "image/png")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			done <- 0
			return
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		done <- resp.StatusCode
	}()
	writer.Write(read(t, testdata+"exact.png")[:100]) // returns once the transport took it; the server may be slower
	r.await(t, "litterloop_in_flight 2")
	return writer, done
}

func TestRun_logsEveryAnswerAndFlushesAtTheEnd(t *testing.T) {
	predictions := blobmem.New("predictions")
	s := start(t, func(c *Config, d *Deps) {
		c.LogTo = "gs://predictions"
		c.Log.Photos.LowConfidence, c.Log.Photos.Share = 0, 1
		d.Bucket = func(_ context.Context, name string) (blob.Bucket, error) {
			if name != "predictions" {
				return nil, errs.NotFound
			}
			return predictions, nil
		}
	})
	photo := read(t, testdata+"wide.jpg")
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/v1/detect?conf=0.3", bytes.NewReader(photo))
	req.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	var a Answer
	err = json.NewDecoder(resp.Body).Decode(&a)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	s.await(t, `litterloop_requests_total{code="200",route="/v1/detect"} 1`) // counted once the answer is out
	_, _, metrics := s.do(t, http.MethodGet, "/metrics", "", nil)
	for _, want := range []string{
		`litterloop_requests_total{code="200",route="/v1/detect"} 1`, `litterloop_log_accepted_total 1`, `litterloop_request_seconds_count{route="/v1/detect"} 1`,
		`litterloop_model_info{`, `litterloop_step_seconds_count{step="inference"} 1`, `go_goroutines`, `process_cpu_seconds_total`,
	} {
		if !strings.Contains(string(metrics), want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	var rows []predictionlog.Row
	for r, err := range predictionlog.Read(t.Context(), predictions, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	if len(rows) != 1 {
		t.Fatalf("%d rows in the log, want 1", len(rows))
	}
	r := rows[0]
	if r.ID != a.ID || len(r.Boxes) != len(a.Detections) || r.Width != 310 || r.Bytes != int64(len(photo)) || r.Revision != "litter-v1" ||
		r.TraceID != "0af7651916cd43dd8448eb211c80319c" || r.Sharpness == 0 || r.Photo == "" {
		t.Errorf("row %+v", r)
	}
	if _, err := predictions.Stat(t.Context(), r.Photo); err != nil {
		t.Errorf("the sampled photo is not there: %v", err)
	}
}

// A rollout's checks are no traffic: they are answered and counted, not logged.
func TestRun_keepsWhatTheCallerAsksForOutOfTheLog(t *testing.T) {
	dir := t.TempDir()
	s := start(t, func(c *Config, d *Deps) { c.LogTo = dir })
	photo := read(t, testdata+"exact.png")
	instance, _ := json.Marshal(map[string]any{"instances": []map[string][]byte{{"content": photo}}})
	for _, c := range []struct {
		path, kind, value string
		body              []byte
	}{
		{"/v1/detect", "image/png", "off", photo},
		{"/predict", "application/json", "off", instance},
		{"/v1/detect", "image/png", "", photo},
		{"/v1/detect", "image/png", "on", photo},
	} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+c.path, bytes.NewReader(c.body))
		req.Header.Set("Content-Type", c.kind)
		req.Header.Set(rollout.NoLogHeader, c.value)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s with %q: %s", c.path, c.value, resp.Status)
		}
	}
	_, _, metrics := s.do(t, http.MethodGet, "/metrics", "", nil)
	for _, want := range []string{"litterloop_log_accepted_total 2", "litterloop_log_skipped_total 2"} {
		if !strings.Contains(string(metrics), want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

// The end is asked for while a photo is still on its way: it is answered.
func TestRun_finishesRequestsInWork(t *testing.T) {
	s := start(t, nil)
	s.detect(t, "", "image/png", read(t, testdata+"exact.png"))
	photo := read(t, testdata+"exact.png")
	writer, answered := s.stall(t, t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.stop() }()
	for { // until it takes no more
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			break
		}
		c.Close()
	}
	writer.Write(photo[100:])
	writer.Close()
	if code := <-answered; code != http.StatusOK {
		t.Errorf("the request in work ended with %d", code)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A connection that a client keeps in store, and has sent nothing on, does not
// hold up the end.
func TestRun_endsInSpiteOfSilentConnections(t *testing.T) {
	s := start(t, nil)
	s.detect(t, "", "image/png", read(t, testdata+"exact.png"))
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("the connection gave %d bytes, %v", n, err)
	}
}

func TestRun_modelFromTheRegistry(t *testing.T) {
	needRuntime(t)
	models := blobmem.New("models")
	writePackage(t, func(name string, p []byte) {
		if _, err := models.Write(t.Context(), "runs/r1/"+name, bytes.NewReader(p), blob.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}, nil)
	reg := registry.New(models, time.Now)
	v, err := reg.Create(t.Context(), registry.Version{Model: "litter", Run: "r1", Package: "runs/r1/", Dataset: "d7"})
	if err != nil {
		t.Fatal(err)
	}
	if err := reg.SetAlias(t.Context(), "litter", registry.Staging, v.Version, "test", "test"); err != nil {
		t.Fatal(err)
	}
	s := start(t, func(c *Config, d *Deps) {
		c.ModelURI, c.ModelsBucket = "models:/litter@staging", "models"
		d.Bucket = func(context.Context, string) (blob.Bucket, error) { return models, nil }
	})
	var m ModelDescription
	if _, _, p := s.do(t, http.MethodGet, "/v1/model", "", nil); json.Unmarshal(p, &m) != nil || m.Name != "litter" || m.Version != "1" || m.Dataset != "d7" || m.Card == nil || len(m.Classes) != 7 {
		t.Errorf("model %+v", m)
	}
	if code, _, _ := s.do(t, http.MethodGet, "/readyz", "", nil); code != http.StatusOK {
		t.Errorf("/readyz answers %d", code)
	}
}

func TestRun_refusesModelThatAnswersItsGoldenPhotosDifferently(t *testing.T) {
	needRuntime(t)
	dir := t.TempDir()
	writePackage(t, dirWriter(t, dir), func(g *modelpackage.Golden) { g.Photos[0].Detections[0].Confidence /= 2 })
	s := start(t, func(c *Config, _ *Deps) { c.ModelURI = dir })
	err := s.wait()
	if code, _ := errs.Reason(err); code != detector.GoldenDiffers || !strings.Contains(err.Error(), "a.png") {
		t.Errorf("Run returned %v, want %s", err, detector.GoldenDiffers)
	}
}

// A broken export loads, has the right shapes and finds nothing; it is caught
// without golden photos, and with those that show nothing.
func TestRun_refusesSilentModel(t *testing.T) {
	needRuntime(t)
	empty := t.TempDir()
	writePackage(t, dirWriter(t, empty), func(g *modelpackage.Golden) { g.Photos[0].Detections = nil })
	dirWriter(t, empty)(modelpackage.ModelFile, read(t, testdata+"silent.onnx"))
	full := t.TempDir()
	writePackage(t, dirWriter(t, full), nil)
	dirWriter(t, full)(modelpackage.ModelFile, read(t, testdata+"silent.onnx"))
	for name, c := range map[string]struct {
		uri  string
		code errs.Code
	}{
		"a lone file":                {testdata + "silent.onnx", detector.ModelSilent},
		"golden photos of nothing":   {empty, detector.ModelSilent},
		"golden photos of something": {full, detector.GoldenDiffers},
	} {
		s := start(t, func(c2 *Config, _ *Deps) { c2.ModelURI = c.uri })
		err := s.wait()
		if code, _ := errs.Reason(err); code != c.code {
			t.Errorf("%s: Run returned %v, want %s", name, err, c.code)
		}
	}
}

// A library without CUDA is no reason to answer from the processor in silence.
func TestRun_refusesProviderThatIsNotThere(t *testing.T) {
	s := start(t, func(c *Config, _ *Deps) { c.Provider = "cuda" })
	if err := s.wait(); err == nil || !strings.Contains(err.Error(), "EXECUTION_PROVIDER=cpu") {
		t.Errorf("Run returned %v", err)
	}
}

func TestRun_refusesModelThatIsNone(t *testing.T) {
	for name, uri := range map[string]string{"a photo": testdata + "exact.png", "nothing": testdata + "none.onnx", "a scheme": "s3://b/k"} {
		s := start(t, func(c *Config, _ *Deps) { c.ModelURI = uri })
		if err := s.wait(); err == nil || !strings.Contains(err.Error(), uri) {
			t.Errorf("%s: Run returned %v, want an error that names %s", name, err, uri)
		}
	}
}

func TestPages_needNothingFromElsewhere(t *testing.T) {
	s := start(t, nil)
	for _, path := range []string{"/", "/docs", "/openapi.json", "/assets/rapidoc-min.js", "/healthz"} {
		code, header, p := s.do(t, http.MethodGet, path, "", nil)
		if code != http.StatusOK || len(p) == 0 {
			t.Errorf("%s answers %d", path, code)
		}
		if strings.HasPrefix(header.Get("Content-Type"), "text/html") {
			for _, attribute := range []string{`src="http`, `href="http`, `src="//`, `@import`} {
				if bytes.Contains(p, []byte(attribute)) {
					t.Errorf("%s loads something from elsewhere: %s", path, attribute)
				}
			}
		}
	}
	_, _, p := s.do(t, http.MethodGet, "/openapi.json", "", nil)
	var spec struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			RequestBody struct{ Content map[string]any }
			Responses   map[string]any
		}
	}
	if err := json.Unmarshal(p, &spec); err != nil {
		t.Fatal(err)
	}
	detect := spec.Paths["/v1/detect"]["post"]
	if !strings.HasPrefix(spec.OpenAPI, "3.1") || len(detect.RequestBody.Content) != 6 || detect.Responses["413"] == nil {
		t.Errorf("OpenAPI %s documents detect as %+v", spec.OpenAPI, detect)
	}
}

func TestFromEnv_reportsEveryFaultAtOnce(t *testing.T) {
	env := map[string]string{
		"PORT": "x", "EXECUTION_PROVIDER": "tpu", "WORKERS": "-1", "MAX_BODY_MB": "0", "REQUEST_TIMEOUT": "soon", "PREDICTION_LOG": "gs://",
		"PREDICTION_LOG_FLUSH": "1ns", "PREDICTION_LOG_PHOTO_SHARE": "2",
	}
	_, err := FromEnv(func(k string) string { return env[k] })
	for _, want := range []string{"MODEL_URI", "PORT", "EXECUTION_PROVIDER", "WORKERS", "MAX_BODY_MB", "REQUEST_TIMEOUT", "PREDICTION_LOG=", "flush_age", "PREDICTION_LOG_PHOTO_SHARE"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %s: %v", want, err)
		}
	}
}

func TestFromEnv_cloudRun(t *testing.T) {
	env := map[string]string{"MODEL_URI": "models:/litter@staging", "GOOGLE_CLOUD_PROJECT": "streets", "PORT": "9000", "K_REVISION": "litter-v3", "PREDICTION_LOG_FLUSH": "1s"}
	c, err := FromEnv(func(k string) string { return env[k] })
	if err != nil || c.Addr != ":9000" || c.ModelsBucket != "streets-models" || c.Log.FlushAge != time.Second || c.LogTo != "off" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestRun_portTaken(t *testing.T) {
	taken := errors.New("address already in use")
	c, err := FromEnv(func(k string) string { return map[string]string{"MODEL_URI": "x.onnx"}[k] })
	if err != nil {
		t.Fatal(err)
	}
	err = Run(t.Context(), c, Deps{Log: slog.New(slog.DiscardHandler), Now: time.Now, Listen: func(string, string) (net.Listener, error) { return nil, taken }})
	if !errors.Is(err, taken) {
		t.Errorf("error %v, want %v", err, taken)
	}
}

func ExampleFromEnv() {
	_, err := FromEnv(func(string) string { return "" })
	fmt.Println(err)
	// Output: MODEL_URI is not set: give models:/NAME@ALIAS, gs://BUCKET/PACKAGE/, a directory or an .onnx file
}
