package detectorbench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// contender is a server to be measured, with one setting.
type contender struct {
	Who     string // "ours", "Ultralytics" or "onnxruntime"
	Setting string // in words
	path    string // of the detection route
	command func(port int) (args, env []string)
}

func (c contender) String() string { return c.Who + " (" + c.Setting + ")" }

// ours is cmd/detector as it comes, without a prediction log as the anchors
// have none.
func ours(self, model string) contender {
	return contender{Who: "ours", Setting: "as it comes, dynamic model", path: "/v1/detect", command: func(port int) (args, env []string) {
		return []string{self, "detector"}, []string{"MODEL_URI=" + model, "HOST=127.0.0.1", "PORT=" + strconv.Itoa(port), "PREDICTION_LOG=off"}
	}}
}

// anchors are the settings of a Python server among which its best is looked
// for.
func anchors(e *environment, who, dynamic, static string) []contender {
	var all []contender
	add := func(workers, threads, concurrency int, setting string) {
		for _, m := range []struct{ name, path string }{{"dynamic", dynamic}, {"static", static}} {
			all = append(all, contender{Who: who, Setting: m.name + " model, " + setting, path: "/detect", command: func(port int) (args, env []string) {
				args = []string{e.python(), "-m", "uvicorn", "--app-dir", filepath.Join(e.dir, "anchors"), who + "_server:app",
					"--host", "127.0.0.1", "--port", strconv.Itoa(port), "--workers", strconv.Itoa(workers), "--log-level", "warning", "--no-access-log"}
				return args, []string{"MODEL=" + m.path, "THREADS=" + strconv.Itoa(threads), "CONCURRENCY=" + strconv.Itoa(concurrency), "YOLO_OFFLINE=true"}
			}})
		}
	}
	add(1, 0, 0, "1 worker, default threads")
	add(2, 0, 0, "2 workers, default threads")
	add(2, 1, 0, "2 workers of 1 thread")
	if who == "onnxruntime" {
		add(1, 0, 1, "1 worker, default threads, a photo at a time")
		add(1, 1, 2, "1 worker, 1 thread, 2 photos at a time")
		add(2, 1, 1, "2 workers of 1 thread, a photo at a time")
	}
	return all
}

// server is a running contender.
type server struct {
	contender
	url   string
	start first
	cmd   *exec.Cmd
	said  *bytes.Buffer
	ended chan struct{}
}

// first is what it took from the process's start to its first answer.
type first struct{ Wall, CPU time.Duration }

// launch starts a contender and returns once it has answered photo.
func launch(ctx context.Context, c contender, client *http.Client, photo []byte) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	args, env := c.command(port)
	s := &server{contender: c, url: fmt.Sprintf("http://127.0.0.1:%d%s", port, c.path), said: new(bytes.Buffer), ended: make(chan struct{})}
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.Env = append(os.Environ(), env...)
	s.cmd.Stdout, s.cmd.Stderr = s.said, s.said
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = s.cmd.Wait() // what it said tells why
		close(s.ended)
	}()
	for {
		if err = ask(ctx, client, s.url, photo); err == nil {
			break
		}
		var refused *refusal
		if errors.As(err, &refused) {
			s.stop()
			return nil, fmt.Errorf("%v: %w\n%s", c, err, s.tail())
		}
		select {
		case <-s.ended:
			return nil, fmt.Errorf("%v ended before it answered:\n%s", c, s.tail())
		case <-ctx.Done():
			s.stop()
			return nil, ctx.Err()
		case <-time.After(2 * time.Millisecond): // nothing tells when another program listens
			if time.Since(began) > 2*time.Minute {
				s.stop()
				return nil, fmt.Errorf("%v does not answer within two minutes: %w\n%s", c, err, s.tail())
			}
		}
	}
	s.start.Wall = time.Since(began)
	u, err := measure(s.cmd.Process.Pid)
	s.start.CPU = u.CPU
	return s, err
}

// stop ends the server and what it started.
func (s *server) stop() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM) // it may have ended
	select {
	case <-s.ended:
	case <-time.After(10 * time.Second):
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		<-s.ended
	}
}

// ask posts a photo and reads the answer.
func ask(ctx context.Context, client *http.Client, url string, photo []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(photo))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "image/jpeg")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = &refusal{fmt.Sprintf("%s: %s", resp.Status, body)}
	}
	return err
}

// refusal is an answer that holds no detections.
type refusal struct{ says string }

func (r *refusal) Error() string { return r.says }

// tail is the end of what the server said. It has ended.
func (s *server) tail() []byte {
	text := s.said.Bytes()
	return text[max(len(text)-4096, 0):]
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, errors.Join(l.Close())
}
