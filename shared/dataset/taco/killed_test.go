package taco

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// childURL, in the environment, makes the test program a download that is to be killed.
const childURL = "LITTERLOOP_TEST_DOWNLOAD"

func TestMain(m *testing.M) {
	file := os.Getenv(childURL)
	if file == "" {
		os.Exit(m.Run())
	}
	o := DefaultOptions()
	c := &clock{}
	o.Client, o.Now, o.Sleep, o.Rate, o.Parallel = http.DefaultClient, c.Now, c.Sleep, 0, 1
	_, err := Download(context.Background(), func() (io.ReadCloser, error) { return os.Open(file) }, filepath.Join(filepath.Dir(file), "out"), o)
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// A download that was killed in the middle of its second photo keeps the first
// and goes on within the second.
func TestDownload_killed(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Skip("the test program does not know itself: ", err)
	}
	var mu sync.Mutex
	var asked []string
	half := make(chan struct{})
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.URL.Path+" "+r.Header.Get("Range"))
		n := len(asked)
		mu.Unlock()
		if n != 2 {
			broken(w, r, len(photo640))
			return
		}
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(photo640)))
		w.Write(photo640[:3*piece])
		w.(http.Flusher).Flush()
		close(half)
		<-r.Context().Done()
	}, "a.jpg", "b.jpg")
	file := filepath.Join(t.TempDir(), "labels.json")
	if err := os.WriteFile(file, w.labels, 0o666); err != nil {
		t.Fatal(err)
	}
	w.out = filepath.Join(filepath.Dir(file), "out")
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childURL+"="+file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-half
	for received := int64(0); received < 3*piece; {
		parts, _ := filepath.Glob(filepath.Join(w.out, stateDir, "*"))
		for _, p := range parts {
			if info, err := os.Stat(p); err == nil {
				received = max(received, info.Size())
			}
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	w.options.Parallel = 1
	got := w.download()
	w.whole("a.jpg", "b.jpg")
	if d := cmp.Diff([]string{"/a.jpg ", "/b.jpg ", fmt.Sprintf("/b.jpg bytes=%d-", 3*piece)}, asked); d != "" {
		t.Error(d)
	}
	if got.Present != 1 || got.Fetched != 1 || got.Resumed != 1 {
		t.Errorf("%+v", got)
	}
}
