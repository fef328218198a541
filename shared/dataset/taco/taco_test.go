package taco

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/dataset/coco"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/imaging"
)

// clock is a time that passes only where somebody sleeps.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	slept []time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.slept = append(c.slept, d)
	return ctx.Err()
}

// drawn is a JPEG of noise, so that it has many bytes.
func drawn(w, h int) []byte {
	im := image.NewRGBA(image.Rect(0, 0, w, h))
	r := rand.New(rand.NewPCG(1, 2))
	for y := range h {
		for x := range w {
			im.SetRGBA(x, y, color.RGBA{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), 255})
		}
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, im, &jpeg.Options{Quality: 95}); err != nil {
		panic(err)
	}
	return out.Bytes()
}

var photo640 = drawn(640, 480)

type world struct {
	t       *testing.T
	clock   *clock
	options Options
	out     string
	server  *httptest.Server
	labels  []byte
}

// newWorld serves photos by handler and has labels that name them; a name that
// begins with "turned" is declared 480x640, and a URL in urls counts instead.
func newWorld(t *testing.T, handler http.HandlerFunc, names ...string) *world {
	w := &world{t: t, clock: &clock{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}, out: t.TempDir()}
	w.server = httptest.NewServer(handler)
	t.Cleanup(w.server.Close)
	type record map[string]any
	var images, annotations []record
	for i, n := range names {
		im := record{"id": i, "file_name": n, "width": 640, "height": 480, "flickr_url": w.server.URL + "/" + n}
		if strings.HasPrefix(n, "turned") {
			im["width"], im["height"] = 480, 640
		}
		images = append(images, im)
		annotations = append(annotations, record{"id": i, "image_id": i, "category_id": 1, "bbox": []float64{1, 2, 30.5, 40}, "iscrowd": i % 2})
	}
	var err error
	if w.labels, err = json.Marshal(record{"images": images, "annotations": annotations, "categories": []record{{"id": 1, "name": "Can"}}}); err != nil {
		t.Fatal(err)
	}
	w.options = DefaultOptions()
	w.options.Client, w.options.Now, w.options.Sleep = w.server.Client(), w.clock.Now, w.clock.Sleep
	w.options.Rate = 0
	return w
}

func (w *world) open() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(w.labels)), nil }

func (w *world) download() Report {
	w.t.Helper()
	r, err := Download(w.t.Context(), w.open, w.out, w.options)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// whole fails unless the files lie in out, byte for byte the drawn photo.
func (w *world) whole(names ...string) {
	w.t.Helper()
	for _, n := range names {
		got, err := os.ReadFile(filepath.Join(w.out, n))
		if err != nil || !bytes.Equal(got, photo640) {
			w.t.Errorf("%s: %d bytes, %v; want the %d of the photo", n, len(got), err, len(photo640))
		}
	}
}

// named are the photos that the written labels name.
func (w *world) named() (names []string) {
	w.t.Helper()
	f, err := os.Open(filepath.Join(w.out, "annotations.json"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	got, err := coco.Read(f, coco.Limits{})
	if err != nil {
		w.t.Fatal(err)
	}
	if len(got.Annotations) != len(got.Images) {
		w.t.Errorf("%d annotations of %d images", len(got.Annotations), len(got.Images))
	}
	for _, im := range got.Images {
		names = append(names, im.FileName)
	}
	return names
}

func send(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "image/jpeg")
	w.Header().Set("ETag", `"1"`)
	w.Write(photo640)
}

// broken sends n bytes of the photo from the start that Range asks for and drops the connection.
func broken(w http.ResponseWriter, r *http.Request, n int) {
	start := 0
	w.Header().Set("ETag", `"1"`)
	if fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &start); start > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, len(photo640)-1, len(photo640)))
	}
	rest := photo640[start:]
	w.Header().Set("Content-Length", fmt.Sprint(len(rest)))
	if start > 0 {
		w.WriteHeader(http.StatusPartialContent)
	}
	w.Write(rest[:min(n, len(rest))])
	if n < len(rest) {
		panic(http.ErrAbortHandler)
	}
}

func TestDownload_wholeSet(t *testing.T) {
	var asked atomic.Int64
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		if r.UserAgent() != userAgent {
			t.Errorf("asked as %q", r.UserAgent())
		}
		asked.Add(1)
		send(w)
	}, "batch_1/000006.jpg", "batch_1/000006.JPG", "turned ü.jpg")
	var last Progress
	w.options.Progress = func(p Progress) { last = p }
	got := w.download()
	if d := cmp.Diff(Report{Photos: 3, Fetched: 3, Bytes: int64(3 * len(photo640)), Missing: []Missing{}}, got); d != "" {
		t.Error(d)
	}
	if last.Done != 3 || last.Total != 3 {
		t.Errorf("progress ended at %+v", last)
	}
	w.whole("batch_1/000006.jpg", "batch_1/000006.JPG", "turned ü.jpg")
	if labels, err := os.ReadFile(filepath.Join(w.out, "annotations.json")); err != nil || !bytes.Equal(labels, w.labels) {
		t.Error("the labels of a whole set are not the annotations as they were", err)
	}
	if again := w.download(); again.Present != 3 || asked.Load() != 3 {
		t.Errorf("a second run: %+v, %d requests in all", again, asked.Load())
	}
}

func TestDownload_badServers(t *testing.T) {
	tests := []struct {
		name   string
		answer func(w http.ResponseWriter, r *http.Request, attempt int)
		code   errs.Code // "": had
		says   string
		again  bool
	}{
		{"drops every connection after a while", func(w http.ResponseWriter, r *http.Request, _ int) { broken(w, r, piece+100) }, "", "", false},
		{"drops at once, three times", func(w http.ResponseWriter, r *http.Request, n int) {
			if n < 3 {
				panic(http.ErrAbortHandler)
			}
			send(w)
		}, "", "", false},
		{"drops always", func(http.ResponseWriter, *http.Request, int) { panic(http.ErrAbortHandler) }, NotReached, "EOF", true},
		{"cuts short without a word, once", func(w http.ResponseWriter, r *http.Request, n int) {
			if n == 0 {
				w.Write(photo640[:len(photo640)/2])
				return
			}
			send(w)
		}, "", "", false},
		{"cuts short always", func(w http.ResponseWriter, r *http.Request, n int) { w.Write(photo640[:len(photo640)/2]) }, imaging.Unreadable, "", false},
		{"no ranges", func(w http.ResponseWriter, r *http.Request, n int) {
			if n == 0 {
				r.Header.Del("Range")
				broken(w, r, 2*piece)
			}
			send(w)
		}, "", "", false},
		{"the photo changes between two parts", func(w http.ResponseWriter, r *http.Request, n int) {
			if n == 0 {
				w.Header().Set("ETag", `"0"`)
				w.Header().Set("Content-Length", fmt.Sprint(len(photo640)))
				w.Write(bytes.Repeat([]byte{7}, 2*piece))
				panic(http.ErrAbortHandler)
			}
			if r.Header.Get("If-Range") != `"0"` {
				broken(w, r, len(photo640))
				return
			}
			send(w) // it is not the one of the range any more: all of it
		}, "", "", false},
		{"says nothing of its state", func(w http.ResponseWriter, r *http.Request, n int) {
			if n == 0 {
				w.Header().Set("Content-Length", fmt.Sprint(len(photo640)))
				w.Write(photo640[:2*piece])
				panic(http.ErrAbortHandler)
			}
			if r.Header.Get("Range") != "" {
				t.Error("a part is gone on with that nothing identifies")
			}
			send(w)
		}, "", "", false},
		{"sends another range", func(w http.ResponseWriter, r *http.Request, n int) {
			switch {
			case n == 0:
				broken(w, r, 2*piece)
			case r.Header.Get("Range") != "":
				w.Header().Set("Content-Range", "bytes 0-9/10")
				w.WriteHeader(http.StatusPartialContent)
				w.Write(photo640[:10])
			default:
				send(w)
			}
		}, "", "", false},
		{"cannot satisfy the range", func(w http.ResponseWriter, r *http.Request, n int) {
			switch {
			case n == 0:
				broken(w, r, 2*piece)
			case r.Header.Get("Range") != "":
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			default:
				send(w)
			}
		}, "", "", false},
		{"redirects twice", func(w http.ResponseWriter, r *http.Request, n int) {
			if n < 2 {
				http.Redirect(w, r, fmt.Sprintf("/to/%d", n), http.StatusFound)
				return
			}
			send(w)
		}, "", "", false},
		{"redirects in a circle", func(w http.ResponseWriter, r *http.Request, n int) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, AddressBad, "redirects", false},
		{"redirects to a file", func(w http.ResponseWriter, r *http.Request, n int) {
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(http.StatusFound)
		}, AddressBad, "nowhere", false},
		{"is busy, then not", func(w http.ResponseWriter, r *http.Request, n int) {
			if n < 2 {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader([]int{http.StatusTooManyRequests, http.StatusServiceUnavailable}[n])
				return
			}
			send(w)
		}, "", "", false},
		{"is busy for hours", func(w http.ResponseWriter, r *http.Request, n int) {
			w.Header().Set("Retry-After", "7200")
			w.WriteHeader(http.StatusTooManyRequests)
		}, NotReached, "2h", true},
		{"fails", func(w http.ResponseWriter, r *http.Request, n int) { w.WriteHeader(http.StatusBadGateway) }, NotReached, "502", true},
		{"has it no more", func(w http.ResponseWriter, r *http.Request, n int) { w.WriteHeader(http.StatusGone) }, Gone, "410", false},
		{"sends a page", func(w http.ResponseWriter, r *http.Request, n int) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			io.WriteString(w, "<html>This photo is no longer available</html>")
		}, Gone, "page", false},
		{"sends a page as a photo", func(w http.ResponseWriter, r *http.Request, n int) {
			w.Header().Set("Content-Type", "image/jpeg")
			io.WriteString(w, "<html>")
		}, imaging.Unreadable, "", false},
		{"sends another photo", func(w http.ResponseWriter, r *http.Request, n int) { w.Write(drawn(320, 240)) }, OtherSize, "320x240", false},
		{"sends too much", func(w http.ResponseWriter, r *http.Request, n int) {
			w.Header().Set("Content-Length", fmt.Sprint(1<<40))
			w.Write(photo640)
		}, imaging.TooLarge, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var attempt atomic.Int64
			w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "good.jpg") {
					send(w)
					return
				}
				tt.answer(w, r, int(attempt.Add(1))-1)
			}, "bad.jpg", "good.jpg")
			w.server.Config.ErrorLog = nil
			got := w.download()
			w.whole("good.jpg")
			if tt.code == "" {
				w.whole("bad.jpg")
				if len(got.Missing) > 0 {
					t.Error(got.Missing)
				}
				return
			}
			if len(got.Missing) != 1 || got.Missing[0].Code != tt.code || !strings.Contains(got.Missing[0].Reason, tt.says) || got.Missing[0].Again != tt.again || got.Missing[0].Name != "bad.jpg" {
				t.Errorf("got %+v, want %s saying %q", got.Missing, tt.code, tt.says)
			}
			if d := cmp.Diff([]string{"good.jpg"}, w.named()); d != "" {
				t.Errorf("the labels name what is not there: %s", d)
			}
			if _, err := os.Stat(filepath.Join(w.out, "bad.jpg")); err == nil {
				t.Error("what is no photo of the set has its name")
			}
		})
	}
}

// silence is a body that sends what it holds, and then nothing.
type silence struct {
	io.Reader
	gone <-chan struct{}
}

func (s silence) Read(p []byte) (int, error) {
	if n, err := s.Reader.Read(p); err == nil {
		return n, nil
	}
	<-s.gone
	return 0, errors.New("hung up")
}

func (silence) Close() error { return nil }

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Time is synctest's, so that the patience is spent however fast the machine is.
func TestDownload_silentServers(t *testing.T) {
	for name, bad := range map[string]roundTripper{
		"sends a byte and waits": func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, ContentLength: int64(len(photo640)), Request: r,
				Body: silence{bytes.NewReader(photo640[:1]), r.Context().Done()}}, nil
		},
		"never answers": func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
	} {
		w := newWorld(t, send2, "bad.jpg", "good.jpg")
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				w.options.Client = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
					if strings.HasSuffix(r.URL.Path, "bad.jpg") {
						return bad(r)
					}
					return &http.Response{StatusCode: http.StatusOK, ContentLength: int64(len(photo640)), Request: r,
						Body: io.NopCloser(bytes.NewReader(photo640))}, nil
				})}
				got, err := Download(t.Context(), w.open, w.out, w.options)
				if err != nil {
					t.Fatal(err)
				}
				if len(got.Missing) != 1 || got.Missing[0].Code != NotReached || !strings.Contains(got.Missing[0].Reason, "next to nothing") || !got.Missing[0].Again {
					t.Errorf("%+v", got.Missing)
				}
				if took, want := time.Since(began), time.Duration(w.options.Attempts)*w.options.Patience; took != want {
					t.Errorf("waited %v for the server, want the patience of each attempt, %v", took, want)
				}
			})
			w.whole("good.jpg")
			if d := cmp.Diff([]string{"good.jpg"}, w.named()); d != "" {
				t.Error(d)
			}
		})
	}
}

// Whatever is cut off, what was received is not asked for again.
func TestDownload_goesOnWithinAPhoto(t *testing.T) {
	var ranges []string
	ctx, cancel := context.WithCancel(t.Context())
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		ranges = append(ranges, r.Header.Get("Range"))
		if len(ranges) == 1 {
			w.Header().Set("ETag", `"1"`)
			w.Header().Set("Content-Length", fmt.Sprint(len(photo640)))
			w.Write(photo640[:3*piece])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return
		}
		broken(w, r, len(photo640))
	}, "a.jpg")
	go func() { // as soon as the three pieces are on disk, Ctrl-C
		for ctx.Err() == nil {
			parts, _ := filepath.Glob(filepath.Join(w.out, stateDir, "*"))
			for _, p := range parts {
				if info, err := os.Stat(p); err == nil && info.Size() == 3*piece {
					cancel()
				}
			}
		}
	}()
	if _, err := Download(ctx, w.open, w.out, w.options); !errors.Is(err, context.Canceled) {
		t.Fatal("the stopped download:", err)
	}
	if _, err := os.Stat(filepath.Join(w.out, "annotations.json")); err == nil {
		t.Error("a download that was stopped has labels: its batch would wait for photos")
	}
	got := w.download()
	w.whole("a.jpg")
	if d := cmp.Diff([]string{"", fmt.Sprintf("bytes=%d-", 3*piece)}, ranges); d != "" {
		t.Error(d)
	}
	if got.Resumed != 1 || got.Bytes != int64(len(photo640)-3*piece) {
		t.Errorf("%+v", got)
	}
	left, _ := filepath.Glob(filepath.Join(w.out, stateDir, "*"))
	if len(left) > 0 {
		t.Error("left over:", left)
	}
}

func TestDownload_honoursRateAndRetryAfter(t *testing.T) {
	busy := true
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		if busy {
			busy = false
			w.Header().Set("Retry-After", time.Date(2026, 11, 23, 12, 1, 30, 0, time.UTC).Format(http.TimeFormat))
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		send(w)
	}, "a.jpg", "b.jpg", "c.jpg")
	w.options.Parallel, w.options.Rate = 1, 0.5
	w.download()
	if got := w.clock.now.Sub(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)); got < 94*time.Second || got > 96*time.Second {
		t.Errorf("took %v; want the pause of 90 s and two gaps of 2 s (slept %v)", got, w.clock.slept)
	}
}

func TestDownload_namesNeverLeaveTheBatch(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) { send(w) }, "../out.jpg", "/abs.jpg", "a/../../b.jpg", ".hidden/a.jpg", "", "annotations.json", `..\c.jpg`, "fine/d.jpg")
	got := w.download()
	if got.Fetched != 1 || len(got.Missing) != 7 {
		t.Errorf("%+v", got)
	}
	for _, m := range got.Missing {
		if m.Code != "name-unsafe" {
			t.Errorf("%+v", m)
		}
	}
	w.whole("fine/d.jpg")
}

func TestDownload_linksLeadNowhere(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) { send(w) }, "link/a.jpg")
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(w.out, "link")); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	if _, err := Download(t.Context(), w.open, w.out, w.options); err == nil {
		t.Error("a link out of the batch was followed")
	}
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Error("written outside:", left)
	}
}

func TestDownload_offTheNetwork(t *testing.T) {
	var names []string
	for i := range 60 {
		names = append(names, fmt.Sprintf("%d.jpg", i))
	}
	w := newWorld(t, send2, names...)
	w.server.Close()
	_, err := Download(t.Context(), w.open, w.out, w.options)
	if !errors.Is(err, errs.Unavailable) || !strings.Contains(err.Error(), "on the internet?") {
		t.Error(err)
	}
}

func send2(w http.ResponseWriter, _ *http.Request) { send(w) }

func TestDownload_noAddress(t *testing.T) {
	w := newWorld(t, send2, "a.jpg")
	w.labels = []byte(`{"images":[{"id":1,"file_name":"a.jpg"},{"id":2,"file_name":"b.jpg","coco_url":"ftp://x/b"},{"id":"x","file_name":"c.jpg","flickr_url":"` + w.server.URL + `/c"}],
		"annotations":[{"id":1,"image_id":"x","category_id":1,"bbox":[NaN,-Infinity,Infinity,0.5]},{"image_id":1}],"categories":[{"id":1,"name":"\"ü"}]}`)
	got := w.download()
	want := []Missing{{Name: "a.jpg", Code: AddressMissing, Reason: got.Missing[0].Reason}, {Name: "b.jpg", URL: "ftp://x/b", Code: AddressBad, Reason: got.Missing[1].Reason}}
	if d := cmp.Diff(want, got.Missing); d != "" {
		t.Error(d)
	}
	text, err := os.ReadFile(filepath.Join(w.out, "annotations.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, has := range []string{`"bbox":[NaN,-Infinity,Infinity,0.5]`, `"name":"\"ü"`, `"c.jpg"`} {
		if !strings.Contains(string(text), has) {
			t.Errorf("the labels lack %s: %s", has, text)
		}
	}
	w.named()
}
