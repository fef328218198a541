package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/litterloop/litterloop/cmd/internal/tracker"
	"github.com/litterloop/litterloop/localcloud/storage"
)

// TestMain makes of this test's program the server, when asked to.
func TestMain(m *testing.M) {
	if address := os.Getenv("TRACKING_TEST_ADDRESS"); address != "" {
		host, port, err := net.SplitHostPort(address)
		o := tracker.Options{Bucket: "models", Host: host}
		if _, err2 := fmt.Sscan(port, &o.Port); err == nil && err2 == nil {
			err = tracker.Serve(context.Background(), o, func(string) string { return "" }, slog.New(slog.DiscardHandler))
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// servers are processes that serve one bucket.
type servers struct {
	t         *testing.T
	addresses []string
	env       []string

	mu        sync.Mutex
	processes []*exec.Cmd
}

func (s *servers) start(i int) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(s.env, "TRACKING_TEST_ADDRESS="+s.addresses[i])
	if err := cmd.Start(); err != nil {
		s.t.Error(err)
		return
	}
	s.mu.Lock()
	s.processes[i] = cmd
	s.mu.Unlock()
}

func (s *servers) kill(i int) {
	s.mu.Lock()
	cmd := s.processes[i]
	s.mu.Unlock()
	if cmd != nil {
		cmd.Process.Kill()
		cmd.Wait()
	}
}

// listens waits until the server is there, or stop is closed.
func (s *servers) listens(i int, stop <-chan struct{}) {
	pause := time.NewTicker(5 * time.Millisecond)
	defer pause.Stop()
	for {
		if c, err := net.Dial("tcp", s.addresses[i]); err == nil {
			c.Close()
			return
		}
		select {
		case <-pause.C:
		case <-stop:
			return
		}
	}
}

// call asks any of the servers until one answers; again tells that an earlier
// try may have had its effect.
func (s *servers) call(method, path string, body, answer any) (again bool, err error) {
	data, err := json.Marshal(body)
	if err != nil {
		return false, err
	}
	pause := time.NewTicker(10 * time.Millisecond)
	defer pause.Stop()
	for {
		req, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.addresses[rand.IntN(len(s.addresses))]+"/api/2.0/mlflow/"+path, bytes.NewReader(data))
		if err != nil {
			return again, err
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			text, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err == nil && res.StatusCode == http.StatusOK {
				return again, json.Unmarshal(text, answer)
			}
			if err == nil && res.StatusCode < 500 {
				return again, fmt.Errorf("%s: %d %s", path, res.StatusCode, text)
			}
		}
		again = true
		select {
		case <-pause.C: // it was killed, and is being started again
		case <-s.t.Context().Done():
			return again, fmt.Errorf("%s: nobody answers: %w", path, s.t.Context().Err())
		}
	}
}

// Four servers on one bucket, killed by kill -9 at random while four clients
// work: nothing that was acknowledged is lost, no number is given twice, no batch
// is seen by half.
func TestTracking_serversAreKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes for some seconds")
	}
	backend, err := storage.New(storage.Options{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	host := httptest.NewServer(backend)
	defer host.Close()
	res, err := http.Post(host.URL+"/storage/v1/b?project=p", "application/json", bytes.NewBufferString(`{"name": "models"}`))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	s := &servers{t: t, env: append(os.Environ(), "STORAGE_EMULATOR_HOST="+host.URL), processes: make([]*exec.Cmd, 4)}
	for range 4 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s.addresses = append(s.addresses, l.Addr().String())
		l.Close()
	}
	for i := range 4 {
		s.start(i)
		defer s.kill(i)
	}
	var created struct {
		Run struct {
			Info struct {
				ID string `json:"run_id"`
			}
		}
	}
	if _, err := s.call("POST", "runs/create", map[string]any{"experiment_id": "0"}, &created); err != nil {
		t.Fatal(err)
	}
	if _, err := s.call("POST", "registered-models/create", map[string]any{"name": "litter"}, &struct{}{}); err != nil {
		t.Fatal(err)
	}
	run := created.Run.Info.ID
	stop, killed := make(chan struct{}), make(chan int)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				killed <- n
				return
			default:
			}
			i := rand.IntN(4)
			s.kill(i)
			s.start(i)
			s.listens(i, stop) // however slow the machine, most of them serve
		}
	}()
	var mu sync.Mutex
	numbers := map[string]string{}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 60 {
				key := fmt.Sprintf("k%d.%d", w, i)
				pair := []map[string]any{{"key": key, "value": "x"}}
				_, err := s.call("POST", "runs/log-batch", map[string]any{"run_id": run, "params": pair, "tags": pair,
					"metrics": []map[string]any{{"key": key, "value": i, "timestamp": 1, "step": i}}}, &struct{}{})
				if err != nil {
					t.Error(err)
				}
				var v struct {
					Version struct{ Version string } `json:"model_version"`
				}
				if _, err := s.call("POST", "model-versions/create", map[string]any{"name": "litter", "source": "gs://b/" + key}, &v); err != nil {
					t.Error(err)
				}
				mu.Lock()
				if other, twice := numbers[v.Version.Version]; twice {
					t.Errorf("version %s is %s and %s", v.Version.Version, other, key)
				}
				numbers[v.Version.Version] = key
				mu.Unlock()
				if _, err := s.call("POST", "registered-models/alias", map[string]any{"name": "litter", "alias": "newest", "version": v.Version.Version}, &struct{}{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	t.Logf("killed %d processes", <-killed)
	var got struct {
		Run struct {
			Data struct {
				Metrics, Params, Tags []struct{ Key string }
			}
		}
	}
	if _, err := s.call("GET", "runs/get?run_id="+run, nil, &got); err != nil {
		t.Fatal(err)
	}
	if d := got.Run.Data; len(d.Metrics) != 240 || len(d.Params) != 240 || len(d.Tags) != 241 {
		t.Errorf("%d metrics, %d parameters, %d tags; 240 of each were acknowledged", len(d.Metrics), len(d.Params), len(d.Tags)-1)
	}
	for n, key := range numbers {
		var v struct {
			Version struct{ Source string } `json:"model_version"`
		}
		if _, err := s.call("GET", "model-versions/get?name=litter&version="+n, nil, &v); err != nil || v.Version.Source != "gs://b/"+key {
			t.Errorf("version %s is %q, not %s; %v", n, v.Version.Source, key, err)
		}
	}
}
