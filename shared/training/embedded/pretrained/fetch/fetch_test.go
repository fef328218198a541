package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/training/embedded/onnx"
	"github.com/litterloop/litterloop/shared/training/embedded/pretrained"
	"github.com/litterloop/litterloop/shared/training/embedded/pretrained/fetch"
)

// published is a model of one convolution, whose tensors a mirror calls otherwise.
func published(weight string) []byte {
	return onnx.Model{
		Nodes:     []onnx.Node{{Op: "Conv", Inputs: []string{"x", weight}, Outputs: []string{"y"}}},
		Constants: []onnx.Constant{{Name: weight, Shape: []int{1, 1, 1, 2}, Floats: []float32{1, 2}}},
		Inputs:    []onnx.Value{{Name: "x"}}, Outputs: []onnx.Value{{Name: "y"}},
	}.Marshal()
}

func release(t *testing.T, handler http.HandlerFunc) (pretrained.Release, fetch.Fetcher) {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	digest, err := pretrained.Digest(published("w"))
	if err != nil {
		t.Fatal(err)
	}
	return pretrained.Release{Name: "small", URL: s.URL, Tensors: digest}, fetch.Fetcher{Client: s.Client(), Cache: t.TempDir()}
}

func TestRelease_isFetchedOnceAndKept(t *testing.T) {
	asked := 0
	r, f := release(t, func(w http.ResponseWriter, _ *http.Request) { asked++; w.Write(published("mirror's own name")) })
	for range 2 {
		path, err := f.Release(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(path); err != nil || !bytes.Equal(data, published("mirror's own name")) {
			t.Fatalf("kept %d bytes, %v", len(data), err)
		}
	}
	if asked != 1 {
		t.Errorf("fetched %d times", asked)
	}
}

func TestRelease_goesOnWhereItBrokeOff(t *testing.T) {
	whole := published("w")
	var ranges []string
	r, f := release(t, func(w http.ResponseWriter, q *http.Request) {
		ranges = append(ranges, q.Header.Get("Range"))
		if len(ranges) == 1 { // says more than it sends
			w.Header().Set("Content-Length", "1000000")
			w.Write(whole[:40])
			return
		}
		http.ServeContent(w, q, "", time.Time{}, bytes.NewReader(whole))
	})
	if _, err := f.Release(t.Context(), r); err == nil || !strings.Contains(err.Error(), "broke off after 40 bytes") {
		t.Fatalf("first try: %v", err)
	}
	if _, err := f.Release(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if ranges[1] != "bytes=40-" {
		t.Errorf("ranges asked for: %q", ranges)
	}
}

// What lies there of an earlier try may be of another file, or damaged.
func TestRelease_beginsAgainWhereWhatWasKeptIsWrong(t *testing.T) {
	whole := published("w")
	for name, kept := range map[string][]byte{
		"of another file": []byte("<html>something that was cut off"),
		"longer than it":  bytes.Repeat([]byte("x"), len(whole)+10),
		"all of it":       whole,
	} {
		for kind, handler := range map[string]http.HandlerFunc{
			"a server that goes on": func(w http.ResponseWriter, q *http.Request) {
				http.ServeContent(w, q, "", time.Time{}, bytes.NewReader(whole))
			},
			"a server that begins each time": func(w http.ResponseWriter, _ *http.Request) { w.Write(whole) },
		} {
			t.Run(name+", "+kind, func(t *testing.T) {
				r, f := release(t, handler)
				if err := os.WriteFile(f.Path(r)+".part", kept, 0o600); err != nil {
					t.Fatal(err)
				}
				path, err := f.Release(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				if data, err := os.ReadFile(path); err != nil || !bytes.Equal(data, whole) {
					t.Errorf("kept %d bytes, %v", len(data), err)
				}
			})
		}
	}
}

func TestRelease_askedForByManyIsFetchedOnce(t *testing.T) {
	var asked atomic.Int32
	r, f := release(t, func(w http.ResponseWriter, _ *http.Request) { asked.Add(1); w.Write(published("w")) })
	var g errgroup.Group
	for range 8 {
		g.Go(func() error { _, err := f.Release(t.Context(), r); return err })
	}
	if err := g.Wait(); err != nil || asked.Load() != 1 {
		t.Errorf("fetched %d times, %v", asked.Load(), err)
	}
}

func TestRelease_givesUpAServerThatFallsSilent(t *testing.T) {
	for name, sent := range map[string]int{"before it answers": 0, "in the middle": 40} {
		t.Run(name, func(t *testing.T) {
			r, f := release(t, func(w http.ResponseWriter, q *http.Request) {
				if sent > 0 {
					w.Write(published("w")[:sent])
					w.(http.Flusher).Flush()
				}
				<-q.Context().Done()
			})
			f.Idle = 20 * time.Millisecond
			_, err := f.Release(t.Context(), r)
			if err == nil || !strings.Contains(err.Error(), "sent nothing for 20ms") || !strings.Contains(err.Error(), "--from PATH") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestRelease_tellsWhatTheServerAnswers(t *testing.T) {
	r, f := release(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusNotFound) })
	if _, err := f.Release(t.Context(), r); err == nil || !strings.Contains(err.Error(), "404") || !strings.Contains(err.Error(), "--from PATH") {
		t.Errorf("got %v", err)
	}
}

func TestRelease_refusesOtherWeightsAndKeepsNothing(t *testing.T) {
	for name, body := range map[string][]byte{
		"a page that says please sign in": []byte("<html>"),
		"other weights":                   bytes.Replace(published("w"), []byte{0, 0, 0, 0x40}, []byte{0, 0, 0x10, 0x40}, 1),
	} {
		t.Run(name, func(t *testing.T) {
			r, f := release(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(body) })
			_, err := f.Release(t.Context(), r)
			if code, _ := errs.Reason(err); code != fetch.Damaged {
				t.Errorf("got %v", err)
			}
			for _, left := range []string{f.Path(r), f.Path(r) + ".part"} {
				if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s is left", left)
				}
			}
		})
	}
}

func TestRelease_withoutInternetSaysWhatToDo(t *testing.T) {
	r, f := release(t, nil)
	f.Client = &http.Client{Transport: offline{}}
	_, err := f.Release(t.Context(), r)
	if err == nil || !strings.Contains(err.Error(), "--from PATH") || !strings.Contains(err.Error(), r.URL) {
		t.Errorf("got %v", err)
	}
	if _, permanent := errs.Reason(err); permanent {
		t.Errorf("%v is permanent: nobody would try again", err)
	}
}

type offline struct{}

func (offline) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("dial tcp: no route to host")
}

func TestOpen_readsPathsAndObjects(t *testing.T) {
	file := filepath.Join(t.TempDir(), "m.onnx")
	if err := os.WriteFile(file, []byte("of a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := fetch.Fetcher{Object: func(_ context.Context, bucket, object string) (io.ReadCloser, error) {
		if bucket+"/"+object != "b/dir/m.onnx" {
			return nil, errs.NotFound
		}
		return io.NopCloser(strings.NewReader("of a bucket")), nil
	}}
	for from, want := range map[string]string{file: "of a file", "gs://b/dir/m.onnx": "of a bucket"} {
		if data, err := f.Open(t.Context(), from); string(data) != want {
			t.Errorf("%s: %q, %v", from, data, err)
		}
	}
	for _, from := range []string{file + ".not", "gs://b/not.onnx", "gs://b", "yolox-enormous"} {
		_, err := f.Open(t.Context(), from)
		if code, _ := errs.Reason(err); code != fetch.Unknown {
			t.Errorf("%s: %v", from, err)
		}
	}
}
