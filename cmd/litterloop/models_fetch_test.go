package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/litterloop/litterloop/shared/training/embedded/pretrained"
)

// internet answers for every address from one server, or not at all.
type internet struct{ server *url.URL }

func (i internet) RoundTrip(r *http.Request) (*http.Response, error) {
	if i.server == nil {
		return nil, errors.New("dial tcp: lookup " + r.URL.Host + ": no such host")
	}
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = i.server.Scheme, i.server.Host
	return http.DefaultTransport.RoundTrip(r)
}

// connect has this process see an internet until the test ends.
func connect(t *testing.T, i internet) {
	t.Helper()
	before := http.DefaultClient.Transport
	http.DefaultClient.Transport = i
	t.Cleanup(func() { http.DefaultClient.Transport = before })
}

// The command as people meet it: broken off, gone on with, asked for again without
// internet, and given a file that came by other means.
func TestModelsFetch_goesOnChecksAndWorksWithoutInternet(t *testing.T) {
	file := filepath.Join("..", "..", "..", "shared", "data", "models", "apache", "yolox_nano.onnx")
	weights, err := os.ReadFile(file)
	if err != nil {
		t.Skip("needs a real detector beside the repository:", err)
	}
	breaks := true
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if release, _ := pretrained.Find("yolox-nano"); !strings.HasSuffix(release.URL, r.URL.Path) {
			t.Errorf("%s is asked for", r.URL)
		}
		if breaks {
			breaks = false
			w.Header().Set("Content-Length", "3000000")
			w.Write(weights[:1_000_000])
			return
		}
		if got := r.Header.Get("Range"); got != "bytes=1000000-" {
			t.Errorf("goes on with %q", got)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(weights))
	}))
	defer s.Close()
	server, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	fetch := func(c modelsFetchCmd) (path string, err error) {
		var out bytes.Buffer
		if err := c.Run(t.Context(), &globals{JSON: true, stdout: &out, stderr: quiet(t)}); err != nil {
			return "", err
		}
		var said struct{ Name, Path, Licence string }
		if err := json.Unmarshal(out.Bytes(), &said); err != nil || said.Licence != "Apache-2.0" {
			t.Errorf("said %s, %v", out.Bytes(), err)
		}
		return said.Path, nil
	}
	same := func(path string) {
		t.Helper()
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, weights) {
			t.Errorf("%s holds %d bytes, %v", path, len(got), err)
		}
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	connect(t, internet{server})
	if _, err := fetch(modelsFetchCmd{Name: "yolox-nano"}); err == nil || !strings.Contains(err.Error(), "broke off after 1000000 bytes (the next try goes on from there)") {
		t.Fatal(err)
	}
	path, err := fetch(modelsFetchCmd{Name: "yolox-nano"})
	if err != nil {
		t.Fatal(err)
	}
	same(path)

	connect(t, internet{})
	if path, err = fetch(modelsFetchCmd{Name: "yolox-nano"}); err != nil {
		t.Errorf("from the cache, without internet: %v", err)
	}
	same(path)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	if _, err := fetch(modelsFetchCmd{Name: "yolox-nano"}); err == nil || !strings.Contains(err.Error(), "litterloop models fetch yolox-nano --from PATH") {
		t.Errorf("without internet: %v", err)
	}
	wrong := filepath.Join(t.TempDir(), "wrong.onnx")
	if err := os.WriteFile(wrong, weights[:len(weights)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := fetch(modelsFetchCmd{Name: "yolox-nano", From: wrong}); err == nil || !strings.Contains(err.Error(), "no ONNX model") {
		t.Errorf("half a file: %v", err)
	}
	if path, err = fetch(modelsFetchCmd{Name: "yolox-nano", From: file}); err != nil {
		t.Errorf("from a file: %v", err)
	}
	same(path)
	if _, err := fetch(modelsFetchCmd{Name: "yolox-enormous"}); err == nil || !strings.Contains(err.Error(), "there is yolox-nano") {
		t.Errorf("a name that nobody knows: %v", err)
	}
}

// quiet is a file for what people would see.
func quiet(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
