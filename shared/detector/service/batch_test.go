package service

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// talk is a batch whose lines are sent and read in turns.
type talk struct {
	t      *testing.T
	send   *io.PipeWriter
	answer chan *http.Response
	lines  *bufio.Scanner
}

func (r running) talk(t *testing.T, ctx context.Context) *talk {
	t.Helper()
	body, send := io.Pipe()
	k := &talk{t: t, send: send, answer: make(chan *http.Response, 1)}
	t.Cleanup(func() { send.Close() })
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/v1/detect?conf=0.4", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", lineKind)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			close(k.answer)
			return
		}
		k.answer <- resp
	}()
	return k
}

func (k *talk) say(v any) {
	k.t.Helper()
	p, err := json.Marshal(v)
	if err != nil {
		k.t.Fatal(err)
	}
	if _, err := k.send.Write(append(p, '\n')); err != nil {
		k.t.Fatal(err)
	}
}

// hear returns the next line; ok is false after the last.
func (k *talk) hear() (l BatchLine, ok bool) {
	k.t.Helper()
	if k.lines == nil {
		resp, answered := <-k.answer
		if !answered {
			k.t.Fatal("no answer")
		}
		k.t.Cleanup(func() { resp.Body.Close() })
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != lineKind {
			k.t.Fatal(resp.Status, resp.Header)
		}
		k.lines = bufio.NewScanner(resp.Body)
	}
	if !k.lines.Scan() {
		return l, false
	}
	if err := json.Unmarshal(k.lines.Bytes(), &l); err != nil {
		k.t.Fatalf("%v: %s", err, k.lines.Bytes())
	}
	return l, true
}

// A line is answered while the body is still being sent, and what is wrong with
// one is the matter of that one.
func TestBatch_linesAreAnsweredAsTheyCome(t *testing.T) {
	s := start(t, func(c *Config, _ *Deps) { c.Workers = 1 })
	photo := read(t, testdata+"exact.png")
	want := s.detect(t, "?conf=0.4", "image/png", photo)
	k := s.talk(t, t.Context())
	for i, c := range []struct {
		line any
		code string
	}{
		{map[string]any{"content": photo}, ""},
		{map[string]any{"content": []byte("hello")}, "photo-unreadable"},
		{map[string]any{"uri": "gs://"}, "uri-refused"},
		{map[string]any{"photo": photo}, "body-unreadable"},
		{"text", "body-unreadable"},
		{map[string]any{"content": photo, "conf": 7}, "query-invalid"},
		{map[string]any{}, "body-empty"},
		{map[string]any{"content": photo, "conf": 0.4}, ""},
	} {
		k.say(c.line)
		l, ok := k.hear()
		switch {
		case !ok || l.Index != i:
			t.Fatalf("line %d: %+v", i, l)
		case c.code != "":
			if l.Error == nil || l.Error.Code != c.code || l.Answer != nil {
				t.Errorf("line %d: %+v, want %s", i, l, c.code)
			}
		case l.Answer == nil:
			t.Errorf("line %d: %+v", i, l.Error)
		default:
			if d := cmp.Diff(want, *l.Answer, cmpopts.IgnoreFields(Answer{}, "ID", "Photo", "Timings")); d != "" {
				t.Errorf("line %d differs (-alone +batch):\n%s", i, d)
			}
		}
	}
	k.send.Close()
	if l, ok := k.hear(); ok {
		t.Errorf("a line too many: %+v", l)
	}
}

// A whole form can be answered by lines too, in the photos' order.
func TestBatch_formByLines(t *testing.T) {
	s := start(t, func(c *Config, _ *Deps) { c.Workers = 3 })
	files := []string{"wide.jpg", "turned.jpg", "make.py", "exact.png", "tall.jpg", "gray.jpg", "wide.jpg"}
	var paths []string
	for _, f := range files {
		paths = append(paths, testdata+f)
	}
	kind, body := form(t, nil, paths...)
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/v1/detect", bytes.NewReader(body))
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Accept", lineKind)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for i, f := range files {
		var l BatchLine
		if !lines.Scan() {
			t.Fatalf("%d lines", i)
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil || l.Index != i || l.Photo != f || (l.Error != nil) != (f == "make.py") {
			t.Errorf("line %d: %v %s", i, err, lines.Bytes())
		}
	}
	if lines.Scan() {
		t.Errorf("a line too many: %s", lines.Bytes())
	}
}

func TestBatch_refusals(t *testing.T) {
	s := start(t, func(c *Config, _ *Deps) { c.MaxBody = 1 << 20 })
	if code, _, p := s.do(t, http.MethodPost, "/v1/detect", lineKind, strings.NewReader("\n\n")); code != http.StatusBadRequest || !bytes.Contains(p, []byte("body-empty")) {
		t.Errorf("nothing: %d %s", code, p)
	}
	long := `{"content":"` + strings.Repeat("A", 2<<20) + `"}` + "\n"
	code, _, p := s.do(t, http.MethodPost, "/v1/detect", lineKind, strings.NewReader("{}\n"+long+"{}\n"))
	if code != http.StatusOK || bytes.Count(p, []byte("\n")) != 2 || !bytes.Contains(p, []byte("body-too-large")) {
		t.Errorf("a long line: %d %s", code, p)
	}
}

// A batch of any length needs the memory of a few photos: the server does not
// read on while answers are not taken.
func TestBatch_readsNoFurtherThanItAnswers(t *testing.T) {
	s := start(t, func(c *Config, _ *Deps) { c.Workers = 2 })
	line, _ := json.Marshal(map[string]any{"content": base64.StdEncoding.EncodeToString(read(t, testdata+"exact.png"))})
	line = append(line, '\n')
	ctx, cancel := context.WithCancel(t.Context())
	var sent atomic.Int64
	const many = 1 << 20 // 20 GB
	body := iterReader(func(yield func([]byte) bool) {
		for range many {
			if !yield(line) {
				return
			}
			sent.Add(1)
		}
	})
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v1/detect", body)
	req.Header.Set("Content-Type", lineKind)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(resp.Body)
	for i := range 50 {
		if !lines.Scan() {
			t.Fatalf("%d lines", i)
		}
		if n := sent.Load(); n > int64(i)+2000 { // sockets hold a few MB of lines of 21 kB
			t.Fatalf("%d lines were sent while %d were answered", n, i)
		}
	}
	cancel()
	resp.Body.Close()
	s.await(t, "litterloop_in_flight 1") // the asking itself: the batch has ended
}

func iterReader(seq iter.Seq[[]byte]) io.Reader {
	r, w := io.Pipe()
	go func() {
		for p := range seq {
			if _, err := w.Write(p); err != nil {
				return
			}
		}
		w.Close()
	}()
	return r
}

// The end is asked for in the midst of a batch: what was sent is answered, and
// the last line says where to go on.
func TestBatch_endOfTheService(t *testing.T) {
	s := start(t, nil)
	photo := read(t, testdata+"exact.png")
	s.detect(t, "", "image/png", photo)
	k := s.talk(t, t.Context())
	k.say(map[string]any{"content": photo})
	if l, ok := k.hear(); !ok || l.Answer == nil {
		t.Fatalf("%+v", l)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	l, ok := k.hear()
	if !ok || l.Index != 1 || l.Error == nil || l.Error.Code != "unavailable" {
		t.Errorf("the last line is %+v", l)
	}
}

func TestInOrder(t *testing.T) {
	t.Run("order, and no more at once than allowed", func(t *testing.T) {
		var now, most atomic.Int32
		jobs := func(yield func(func() int) bool) {
			for i := range 200 {
				if !yield(func() int {
					most.Store(max(most.Load(), now.Add(1)))
					defer now.Add(-1)
					return i
				}) {
					return
				}
			}
		}
		var got []int
		inOrder(3, jobs, func(i int) bool { got = append(got, i); return true })
		if len(got) != 200 || !slices.IsSorted(got) || most.Load() > 3 {
			t.Errorf("%d results, %d at once: %v", len(got), most.Load(), got)
		}
	})
	t.Run("ends when told", func(t *testing.T) {
		made := 0
		jobs := func(yield func(func() int) bool) {
			for yield(func() int { return 0 }) {
				made++
			}
		}
		inOrder(2, jobs, func(int) bool { return false })
		if made > 10 {
			t.Errorf("%d jobs after the end", made)
		}
	})
	t.Run("panics as the job does", func(t *testing.T) {
		oops := errors.New("oops")
		defer func() {
			if p := recover(); p != oops {
				t.Error(p)
			}
		}()
		inOrder(2, slices.Values([]func() int{func() int { panic(oops) }}), func(int) bool { return true })
	})
}

func TestDetect_classesByNameAndID(t *testing.T) {
	s := start(t, nil)
	photo := read(t, testdata+"exact.png")
	want := s.detect(t, "?classes=1,2", "image/png", photo)
	if len(want.Detections) == 0 {
		t.Fatal("nothing found")
	}
	kind, body := form(t, map[string]string{"classes": "can, driver's cup"}, testdata+"exact.png")
	names, _ := json.Marshal(map[string]any{"content": photo, "classes": []any{"can", "driver's cup"}})
	mixed, _ := json.Marshal(map[string]any{"content": photo, "classes": []any{1, "driver's cup"}})
	for name, got := range map[string]Answer{
		"names in the URL":  s.detect(t, "?classes=can,driver%27s%20cup", "image/png", photo),
		"names in a form":   s.detect(t, "", kind, body),
		"names in JSON":     s.detect(t, "", "application/json", names),
		"a mixture in JSON": s.detect(t, "", "application/json", mixed),
	} {
		if d := cmp.Diff(want, got, cmpopts.IgnoreFields(Answer{}, "ID", "Photo", "Timings")); d != "" {
			t.Errorf("%s (-ids +got):\n%s", name, d)
		}
	}
	instance := fmt.Appendf(nil, `{"instances":[{"b64":%q}],"parameters":{"classes":["can",2]}}`, base64.StdEncoding.EncodeToString(photo))
	var out struct{ Predictions []Answer }
	if code, _, p := s.do(t, http.MethodPost, "/predict", "application/json", bytes.NewReader(instance)); code != http.StatusOK || json.Unmarshal(p, &out) != nil || !cmp.Equal(out.Predictions[0].Detections, want.Detections) {
		t.Errorf("Vertex AI's form: %d %.300s", code, p)
	}
}

func TestDetect_annotateInEveryForm(t *testing.T) {
	s := start(t, nil)
	photo := read(t, testdata+"exact.png")
	kind, body := form(t, map[string]string{"annotate": "true"}, testdata+"exact.png")
	asJSON, _ := json.Marshal(map[string]any{"content": photo, "annotate": true})
	for name, c := range map[string]struct {
		query, kind string
		body        []byte
	}{"URL": {"?annotate=true", "image/png", photo}, "form": {"", kind, body}, "JSON": {"", "application/json", asJSON}} {
		if code, h, p := s.do(t, http.MethodPost, "/v1/detect"+c.query, c.kind, bytes.NewReader(c.body)); code != http.StatusOK || h.Get("Content-Type") != "image/jpeg" {
			t.Errorf("%s: %d %s %.100s", name, code, h.Get("Content-Type"), p)
		}
	}
}

// https:// is read where its host is allowed and nowhere else.
func TestDetect_httpsNeedsPermission(t *testing.T) {
	s := start(t, func(c *Config, _ *Deps) { c.PhotoHosts = []string{"images.example.com"} })
	for _, uri := range []string{"https://169.254.169.254/x", "https://localhost/x", "https://metadata.google.internal/x", "HTTPS://127.0.0.1/x"} {
		body, _ := json.Marshal(map[string]string{"uri": uri})
		if code, _, p := s.do(t, http.MethodPost, "/v1/detect", "application/json", bytes.NewReader(body)); code != http.StatusUnprocessableEntity || !bytes.Contains(p, []byte("PHOTO_HOSTS")) {
			t.Errorf("%s: %d %s", uri, code, p)
		}
	}
}

// Where nobody takes results, few jobs are begun, and those end: a client that
// does not read its answers keeps nothing from others.
func TestInOrder_nobodyTakesResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, ended := 0, 0
		var mu sync.Mutex
		jobs := func(yield func(func() int) bool) {
			for i := range 100 {
				mu.Lock()
				begun++
				mu.Unlock()
				if !yield(func() int {
					mu.Lock()
					defer mu.Unlock()
					ended++
					return i
				}) {
					return
				}
			}
		}
		read := make(chan struct{})
		var got []int
		over := make(chan struct{})
		go func() {
			defer close(over)
			inOrder(2, jobs, func(i int) bool { <-read; got = append(got, i); return true })
		}()
		synctest.Wait()
		mu.Lock()
		if begun != 3 || ended != 3 {
			t.Errorf("%d jobs were begun and %d ended, of 2 and the next", begun, ended)
		}
		mu.Unlock()
		close(read)
		<-over
		if len(got) != 100 || !slices.IsSorted(got) {
			t.Errorf("results %v", got)
		}
	})
}
