package storage_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	gcs "cloud.google.com/go/storage"

	"github.com/litterloop/litterloop/localcloud/storage"
)

// childDir, set, turns the test binary into a server of that directory.
const childDir = "LITTERLOOP_TEST_STORAGE_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		serveChild(dir)
	}
	os.Exit(m.Run())
}

// serveChild serves until it is killed. It writes its address on stdout, and the
// name of each object whose notification it published into dir/published; half
// of the topics' publishes fail, so that notifications are waiting at the end.
func serveChild(dir string) {
	published, err := os.OpenFile(filepath.Join(dir, "published"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	check(err)
	srv, err := storage.New(storage.Options{Dir: dir, Notify: func(_ context.Context, _ string, attributes map[string]string, _ []byte) error {
		h := fnv.New32()
		io.WriteString(h, attributes["objectId"])
		if h.Sum32()%2 == 0 {
			return errors.New("the topic is away")
		}
		_, err := fmt.Fprintln(published, attributes["objectId"])
		return err
	}})
	check(err)
	check(srv.CreateBucket(context.Background(), "crash"))
	check(srv.PutNotification(context.Background(), "crash", storage.Notification{Topic: "projects/p/topics/t", EventTypes: []string{"OBJECT_FINALIZE"}}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Println(l.Addr())
	check(http.Serve(l, srv))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func startChild(t *testing.T, dir string) (url string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the server did not start: %v", err)
	}
	return "http://" + strings.TrimSpace(line), kill
}

// A real process, killed for good again and again while 16 writers put small and
// large objects: every put that was answered is there, whole, and its
// notification was published before or is published after.
func TestKill_underLoad(t *testing.T) {
	dir := t.TempDir()
	acknowledged := map[string][]byte{}
	for round := range 4 {
		url, kill := startChild(t, dir)
		var mu sync.Mutex
		after := len(acknowledged) + 200 + 50*round
		parallel(10_000, 16, func(i int) {
			mu.Lock()
			enough := len(acknowledged) >= after
			mu.Unlock()
			if enough {
				kill()
				return
			}
			name, content := crashObject(round, i)
			if putOnce(t.Context(), url, name, content) != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			acknowledged[name] = content
		})
	}

	var mu sync.Mutex
	published := readLines(t, filepath.Join(dir, "published"))
	missing := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for name := range acknowledged {
			if !published[name] {
				n++
			}
		}
		return n
	}
	before := missing()
	all := make(chan struct{})
	var once sync.Once
	url := newServer(t, storage.Options{Dir: dir, Notify: func(_ context.Context, topic string, attributes map[string]string, _ []byte) error {
		mu.Lock()
		published[attributes["objectId"]] = true
		mu.Unlock()
		if missing() == 0 {
			once.Do(func() { close(all) })
		}
		return nil
	}})
	bucket := newClient(t, url).Bucket("crash")
	for name, want := range acknowledged {
		if got, err := read(t.Context(), bucket.Object(name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s was acknowledged and now holds %d bytes, want %d: %v", name, len(got), len(want), err)
		}
	}
	t.Logf("%d acknowledged puts, %d notifications still to publish after the last kill", len(acknowledged), before)
	if before > 0 {
		<-all // a lost notification ends in the test's timeout
	}
}

func crashObject(round, i int) (name string, content []byte) {
	size := 100 + i%1000
	if i%10 == 0 {
		size = 40<<10 + i // past what the journal holds itself
	}
	return fmt.Sprintf("r%d/%05d", round, i), bytes.Repeat([]byte{byte(i)}, size)
}

// putOnce is one upload as raw as can be: what the Google client does around it
// would only slow the killing down.
func putOnce(ctx context.Context, url, name string, content []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/upload/storage/v1/b/crash/o?uploadType=media&ifGenerationMatch=0&name="+name, bytes.NewReader(content))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	io.Copy(io.Discard, res.Body)
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	return nil
}

func read(ctx context.Context, o *gcs.ObjectHandle) ([]byte, error) {
	r, err := o.NewReader(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func readLines(t *testing.T, path string) map[string]bool {
	t.Helper()
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]bool{}
	for line := range strings.Lines(string(p)) {
		lines[strings.TrimSpace(line)] = true
	}
	return lines
}
