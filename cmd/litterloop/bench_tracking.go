package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/litterloop/litterloop/shared/venv"
)

type benchTrackingCmd struct {
	Calls  int  `help:"Calls of each kind." default:"200"`
	Runs   int  `help:"Runs in the store when it is searched." default:"10000"`
	Search int  `help:"Searches." default:"10"`
	Peer   bool `help:"Also MLflow's own server, installed from PyPI." default:"true" negatable:""`
}

// trackingResult is what was measured of one server.
type trackingResult struct {
	Server   string         `json:"server"`
	ReadyS   float64        `json:"ready_s"`
	MemoryMB float64        `json:"memory_mb"` // of all of its processes, at rest
	Calls    []trackingCall `json:"calls"`
}

// trackingCall is one kind of call at a number of clients.
type trackingCall struct {
	Name      string  `json:"name"`
	Clients   int     `json:"clients"`
	P50MS     float64 `json:"p50_ms"`
	PerSecond float64 `json:"per_second"`
	CPUMS     float64 `json:"server_cpu_ms"` // processor time of all of the server's processes, a call
}

// Run measures the servers one after the other.
func (c *benchTrackingCmd) Run(ctx context.Context, g *globals) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	commands := map[string][]string{"litterloop": {self, "tracking", "--ephemeral"}}
	if c.Peer {
		cache, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		python, err := venv.Make(ctx, filepath.Join(cache, "litterloop"), "mlflow-server", []byte("mlflow==3.17.2\n"), g.stderr)
		if err != nil {
			return err
		}
		commands["mlflow"] = []string{python, "-m", "mlflow", "server", "--backend-store-uri", "sqlite:///mlflow.db"}
	}
	var results []trackingResult
	for _, name := range []string{"litterloop", "mlflow"} {
		if commands[name] == nil {
			continue
		}
		r, err := c.measure(ctx, commands[name])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r.Server = name
		results = append(results, r)
	}
	return g.answer(results, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 2, 4, 2, ' ', tabwriter.AlignRight)
		defer t.Flush()
		fmt.Fprintln(t, "server\tcall\tclients\tp50 ms\tcalls/s\tserver CPU ms\t")
		for _, r := range results {
			fmt.Fprintf(t, "%s\tready %.2f s, %.0f MB at rest\t\t\t\t\t\n", r.Server, r.ReadyS, r.MemoryMB)
			for _, k := range r.Calls {
				fmt.Fprintf(t, "\t%s\t%d\t%.2f\t%.0f\t%.2f\t\n", k.Name, k.Clients, k.P50MS, k.PerSecond, k.CPUMS)
			}
		}
	})
}

// trackingBench is one server under measurement.
type trackingBench struct {
	base string
	pid  int // of its process group
}

func (c *benchTrackingCmd) measure(ctx context.Context, command []string) (r trackingResult, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return r, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	dir, err := os.MkdirTemp("", "litterloop-bench-*")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.CommandContext(ctx, command[0], append(command[1:], "--port", strconv.Itoa(port))...)
	cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Setpgid: true}
	cmd.Env = append(os.Environ(), "MLFLOW_DISABLE_TELEMETRY=true", "PATH="+filepath.Dir(command[0])+":"+os.Getenv("PATH"))
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return r, err
	}
	defer func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // with its workers
		_ = cmd.Wait()                                      // killed
	}()
	b := trackingBench{fmt.Sprintf("http://127.0.0.1:%d", port), cmd.Process.Pid}
	if err := b.ready(ctx); err != nil {
		return r, err
	}
	r.ReadyS = time.Since(begin).Seconds()
	if r.MemoryMB, _, err = b.usage(); err != nil {
		return r, err
	}
	r.Calls, err = c.calls(ctx, b)
	return r, err
}

// ready waits until the server answers; nothing else tells that it listens.
func (b trackingBench) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	pause := time.NewTicker(10 * time.Millisecond)
	defer pause.Stop()
	for {
		a, err := http.Get(b.base + "/health")
		if err == nil {
			return a.Body.Close()
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return fmt.Errorf("does not answer: %w (%w)", err, ctx.Err())
		}
	}
}

// usage is the memory and the processor time of a process group.
func (b trackingBench) usage() (memoryMB float64, cpu time.Duration, err error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, 0, err
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		f := strings.Fields(rest)
		if len(f) < 22 || f[2] != strconv.Itoa(b.pid) {
			continue
		}
		var n [3]int64
		for i, at := range []int{11, 12, 21} { // utime, stime, rss; proc(5), less the first two
			n[i], _ = strconv.ParseInt(f[at], 10, 64)
		}
		cpu += time.Duration(n[0]+n[1]) * tick
		memoryMB += float64(n[2]) * float64(os.Getpagesize()) / (1 << 20)
	}
	return memoryMB, cpu, nil
}

func (b trackingBench) call(ctx context.Context, method, at string, body any) (map[string]any, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	q, err := http.NewRequestWithContext(ctx, method, b.base+"/api/2.0/mlflow/"+at, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	q.Header.Set("Content-Type", "application/json")
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil || a.StatusCode != http.StatusOK {
		return nil, errors.Join(err, fmt.Errorf("%s: %s: %.300s", at, a.Status, text))
	}
	var v map[string]any
	return v, json.Unmarshal(text, &v)
}

func (c *benchTrackingCmd) calls(ctx context.Context, b trackingBench) (all []trackingCall, err error) {
	create := func(int) error {
		_, err := b.call(ctx, "POST", "runs/create", map[string]any{"experiment_id": "0", "start_time": time.Now().UnixMilli()})
		return err
	}
	first, err := b.call(ctx, "POST", "runs/create", map[string]any{"experiment_id": "0"})
	if err != nil {
		return nil, err
	}
	info := first["run"].(map[string]any)["info"].(map[string]any)
	run := info["run_id"].(string)
	if _, err := b.call(ctx, "POST", "registered-models/create", map[string]any{"name": "litter"}); err != nil {
		return nil, err
	}
	for range 2 {
		if _, err := b.call(ctx, "POST", "model-versions/create", map[string]any{"name": "litter", "run_id": run, "source": info["artifact_uri"]}); err != nil {
			return nil, err
		}
	}
	if _, err := b.call(ctx, "POST", "registered-models/alias", map[string]any{"name": "litter", "alias": "staging", "version": "1"}); err != nil {
		return nil, err
	}
	kinds := []struct {
		name string
		n    int
		do   func(i int) error
	}{
		{"create run", c.Calls, create},
		{"log-batch of 100 metrics", c.Calls, func(i int) error {
			var m []map[string]any
			for k := range 100 {
				m = append(m, map[string]any{"key": "m" + strconv.Itoa(k), "value": i, "timestamp": time.Now().UnixMilli(), "step": i})
			}
			_, err := b.call(ctx, "POST", "runs/log-batch", map[string]any{"run_id": run, "metrics": m})
			return err
		}},
		{"get run", c.Calls, func(int) error { _, err := b.call(ctx, "GET", "runs/get?run_id="+run, nil); return err }},
		{"set alias", c.Calls, func(i int) error {
			_, err := b.call(ctx, "POST", "registered-models/alias", map[string]any{"name": "litter", "alias": "staging", "version": strconv.Itoa(1 + i%2)})
			return err
		}},
		{"version by alias", c.Calls, func(int) error {
			_, err := b.call(ctx, "GET", "registered-models/alias?name=litter&alias=staging", nil)
			return err
		}},
		{"search 1,000 runs", c.Search, func(int) error {
			_, err := b.call(ctx, "POST", "runs/search", map[string]any{"experiment_ids": []string{"0"}, "max_results": 1000})
			return err
		}},
	}
	for _, k := range kinds {
		if strings.HasPrefix(k.name, "search") {
			if _, err := b.load("fill", c.Runs, 8, create); err != nil {
				return nil, err
			}
		}
		for _, clients := range []int{1, 8} {
			r, err := b.load(k.name, k.n, clients, k.do)
			if err != nil {
				return nil, err
			}
			all = append(all, r)
		}
	}
	return all, nil
}

// load makes n calls from a number of clients.
func (b trackingBench) load(name string, n, clients int, do func(i int) error) (trackingCall, error) {
	_, before, err := b.usage()
	if err != nil {
		return trackingCall{}, err
	}
	var mu sync.Mutex
	var times []time.Duration
	next, failed := 0, error(nil)
	var wg sync.WaitGroup
	begin := time.Now()
	for range clients {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				stop := i >= n || failed != nil
				mu.Unlock()
				if stop {
					return
				}
				start := time.Now()
				err := do(i)
				took := time.Since(start)
				mu.Lock()
				times = append(times, took)
				if err != nil {
					failed = err
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	_, after, err := b.usage()
	if err = errors.Join(failed, err); err != nil || len(times) == 0 {
		return trackingCall{}, err
	}
	slices.Sort(times)
	return trackingCall{name, clients, float64(times[len(times)/2].Microseconds()) / 1000, float64(n) / took.Seconds(), (after - before).Seconds() * 1000 / float64(n)}, nil
}
