package service

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/predictionlog"
	"github.com/litterloop/litterloop/shared/registry"
)

const adminToken = "open sesame, please"

// buckets of a test's project, by name.
type buckets map[string]blob.Bucket

func (b buckets) open(_ context.Context, name string) (blob.Bucket, error) { return b[name], nil }

// shelf is a registry with two good versions and, as the third, one whose golden
// photos differ.
func shelf(t *testing.T) (buckets, *registry.Registry) {
	t.Helper()
	needRuntime(t)
	models := blobmem.New("models")
	reg := registry.New(models, time.Now)
	for _, v := range []struct {
		run, dataset string
		spoil        func(*modelpackage.Golden)
	}{
		{"r1", "d1", nil},
		{"r2", "d2", nil},
		{"r3", "d3", func(g *modelpackage.Golden) { g.Photos[0].Detections[0].Confidence /= 2 }},
	} {
		writePackage(t, func(name string, p []byte) {
			if _, err := models.Write(t.Context(), "runs/"+v.run+"/"+name, bytes.NewReader(p), blob.WriteOptions{}); err != nil {
				t.Fatal(err)
			}
		}, v.spoil)
		if _, err := reg.Create(t.Context(), registry.Version{Model: "litter", Run: v.run, Package: "runs/" + v.run + "/", Dataset: v.dataset}); err != nil {
			t.Fatal(err)
		}
	}
	alias(t, reg, 1)
	return buckets{"models": models, "predictions": blobmem.New("predictions")}, reg
}

func alias(t *testing.T, reg *registry.Registry, version int) {
	t.Helper()
	if err := reg.SetAlias(t.Context(), "litter", registry.Staging, version, "test", "test"); err != nil {
		t.Fatal(err)
	}
}

func (r running) swap(t testing.TB, token, uri string) (int, string) {
	t.Helper()
	body, _ := json.Marshal(map[string]string{"uri": uri})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/v1/model", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
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
	return resp.StatusCode, out.String()
}

// While models change all the time, every request is answered, by one model from
// beginning to end, and its row in the log names the model that its answer names.
func TestSwap_losesNoRequest(t *testing.T) {
	b, _ := shelf(t)
	s := start(t, func(c *Config, d *Deps) {
		c.ModelURI, c.ModelsBucket, c.AdminToken, c.LogTo = "models:/litter/1", "models", adminToken, "gs://predictions"
		c.Workers = 2
		d.Bucket = b.open
	})
	photo := read(t, testdata+"exact.png")
	s.detect(t, "", "image/png", photo)
	var (
		callers sync.WaitGroup
		mu      sync.Mutex
		told    = map[string]string{} // version by prediction
	)
	swapped := make(chan struct{})
	for range 4 {
		callers.Go(func() {
			for {
				select {
				case <-swapped:
					return
				default:
				}
				resp, err := http.Post(s.url+"/v1/detect", "image/png", bytes.NewReader(photo))
				if err != nil {
					t.Error(err)
					return
				}
				var a Answer
				err = json.NewDecoder(resp.Body).Decode(&a)
				resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusOK || "d"+a.Model.Version != a.Model.Dataset {
					t.Errorf("%s: %v %+v", resp.Status, err, a)
					return
				}
				mu.Lock()
				told[a.ID] = a.Model.Version
				mu.Unlock()
			}
		})
	}
	for i := range 12 {
		if code, body := s.swap(t, adminToken, "models:/litter/"+[]string{"2", "1"}[i%2]); code != http.StatusOK {
			t.Errorf("%d: %s", code, body)
		}
	}
	close(swapped)
	callers.Wait()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	used, rows := map[string]int{}, 0
	for r, err := range predictionlog.Read(t.Context(), b["predictions"], time.Now().Add(-time.Hour), time.Now().Add(time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		rows++
		used[r.ModelVersion]++
		if want, ok := told[r.ID]; ok && (r.ModelVersion != want || r.Dataset != "d"+want) {
			t.Errorf("the answer says version %s and the log %s of %s", want, r.ModelVersion, r.Dataset)
		}
	}
	if rows != len(told)+1 || used["1"] == 0 || used["2"] == 0 {
		t.Errorf("%d rows of %d answers, by version %v", rows, len(told)+1, used)
	}
}

// A model that fails leaves the one in use where it is, and the answer says why.
func TestSwap_failureKeepsTheModel(t *testing.T) {
	b, _ := shelf(t)
	s := start(t, func(c *Config, d *Deps) {
		c.ModelURI, c.ModelsBucket, c.AdminToken = "models:/litter/1", "models", adminToken
		d.Bucket = b.open
	})
	for _, c := range []struct {
		name, token, uri string
		status           int
		says             string
	}{
		{"no token", "", "models:/litter/2", 401, "admin-refused"},
		{"a wrong token", "open sesame", "models:/litter/2", 401, "admin-refused"},
		{"goldens that differ", adminToken, "models:/litter/3", 422, "golden-differs"},
		{"no such version", adminToken, "models:/litter/9", 404, "not-found"},
		{"no such scheme", adminToken, "s3://b/k", 422, "model-uri"},
		{"a photo", adminToken, testdata + "exact.png", 422, "model-unreadable"},
		{"nothing", adminToken, "", 422, "uri"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, body := s.swap(t, c.token, c.uri)
			if code != c.status || !strings.Contains(body, c.says) {
				t.Errorf("%d %s, want %d that says %s", code, body, c.status, c.says)
			}
			if a := s.detect(t, "", "image/png", read(t, testdata+"exact.png")); a.Model.Version != "1" {
				t.Errorf("version %s answers now", a.Model.Version)
			}
		})
	}
	_, _, metrics := s.do(t, http.MethodGet, "/metrics", "", nil)
	if !strings.Contains(string(metrics), `litterloop_model_swaps_total{outcome="refused"} 4`) {
		t.Error("refused models are not counted")
	}
	if code, body := s.swap(t, adminToken, "models:/litter/2"); code != http.StatusOK || !strings.Contains(body, `"version":"2"`) {
		t.Errorf("a good one: %d %s", code, body)
	}
	_, _, metrics = s.do(t, http.MethodGet, "/metrics", "", nil)
	if m := string(metrics); !strings.Contains(m, `version="2"} 1`) || strings.Contains(m, `version="1"}`) {
		t.Error("litterloop_model_info does not name the model in use alone")
	}
}

func TestSwap_isOffWithoutToken(t *testing.T) {
	s := start(t, nil)
	if code, body := s.swap(t, "", testdata+"static.onnx"); code != http.StatusForbidden || !strings.Contains(body, "admin-off") {
		t.Errorf("%d %s", code, body)
	}
}

// With MODEL_REFRESH the alias is followed; a version that fails is passed over
// until the alias moves on.
func TestWatch_followsTheAlias(t *testing.T) {
	b, reg := shelf(t)
	s := start(t, func(c *Config, d *Deps) {
		c.ModelURI, c.ModelsBucket, c.Refresh = "models:/litter@staging", "models", 5*time.Millisecond
		d.Bucket = b.open
	})
	s.detect(t, "", "image/png", read(t, testdata+"exact.png"))
	alias(t, reg, 3)
	s.await(t, `litterloop_model_swaps_total{outcome="refused"} 1`)
	if a := s.detect(t, "", "image/png", read(t, testdata+"exact.png")); a.Model.Version != "1" {
		t.Errorf("version %s answers after one was refused", a.Model.Version)
	}
	alias(t, reg, 2)
	s.await(t, `litterloop_model_swaps_total{outcome="served"} 1`)
	if a := s.detect(t, "", "image/png", read(t, testdata+"exact.png")); a.Model.Version != "2" {
		t.Errorf("version %s answers after the alias moved", a.Model.Version)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}
