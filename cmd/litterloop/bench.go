package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/litterloop/litterloop/cmd/litterloop/demo"
)

type benchCmd struct {
	Up       benchUpCmd       `cmd:"" help:"How soon the local cloud is ready, and what memory it takes."`
	Demo     benchDemoCmd     `cmd:"" help:"How long the whole loop takes, and how much of it is not training."`
	Detector benchDetectorCmd `cmd:"" help:"The detector beside Ultralytics and ONNX Runtime in Python: latency, throughput, processor time, memory."`
	Data     benchDataCmd     `cmd:"" help:"Converting, validating and changing data sets, beside Ultralytics and DVC: time, processor time, memory."`
	Train    benchTrainCmd    `cmd:"" help:"Step time of the embedded trainer against PyTorch on the same network."`
	Tracking benchTrackingCmd `cmd:"" help:"The tracking server beside MLflow's own: start, memory, calls, processor time."`
}

type benchUpCmd struct {
	Rounds int `help:"How often." default:"5"`
}

// upRound is one start of the local cloud, in a process and a state of its own.
type upRound struct {
	ReadyMS  float64 `json:"ready_ms"` // from the process's start to its answer
	MemoryMB float64 `json:"memory_mb"`
}

// Run starts the local cloud again and again.
func (c *benchUpCmd) Run(ctx context.Context, g *globals) error {
	var rounds []upRound
	for range c.Rounds {
		r, err := startOnce(ctx)
		if err != nil {
			return err
		}
		rounds = append(rounds, r)
	}
	return g.answer(rounds, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 2, 4, 2, ' ', tabwriter.AlignRight)
		defer t.Flush()
		fmt.Fprintln(t, "round\tready ms\tmemory MB\t")
		for i, r := range rounds {
			fmt.Fprintf(t, "%d\t%.0f\t%.1f\t\n", i+1, r.ReadyMS, r.MemoryMB)
		}
	})
}

func startOnce(ctx context.Context) (r upRound, err error) {
	state, err := os.MkdirTemp("", "litterloop-bench-*")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(state)
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	cmd := exec.CommandContext(ctx, self, "up", "--json", "--state", state)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return r, err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return r, err
	}
	answered := bufio.NewScanner(out)
	for answered.Scan() && answered.Text() != "}" { // the last line of its JSON
	}
	r.ReadyMS = float64(time.Since(begin).Microseconds()) / 1000
	r.MemoryMB, err = residentMB(cmd.Process.Pid)
	return r, errors.Join(err, cmd.Process.Signal(syscall.SIGINT), ended(cmd.Wait()))
}

// ended drops the error of a process that was told to stop.
func ended(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// residentMB is the memory of a process that is in RAM, as Linux tells it.
func residentMB(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("memory of the process: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseFloat(strings.Fields(kb)[0], 64)
			return n / 1024, err
		}
	}
	return 0, errors.New("the process does not tell its memory")
}

type benchDemoCmd struct{}

// loopTimes says where a demo's time went, in seconds.
type loopTimes struct {
	Total     float64   `json:"total_s"`
	Trainings []float64 `json:"trainings_s"`
	// Overhead is the first pass without its training: from the first drop to all
	// traffic.
	Overhead float64      `json:"overhead_s"`
	MAP50    float64      `json:"mAP50"` // of the first model
	NewKind  demo.NewKind `json:"new_kind"`
}

// Run tells the story once, in a process and a state of its own.
func (*benchDemoCmd) Run(ctx context.Context, g *globals) error {
	state, err := os.MkdirTemp("", "litterloop-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(state)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, "demo", "--json", "--state", state)
	cmd.Stderr = g.stderr
	begin := time.Now()
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	times := loopTimes{Total: time.Since(begin).Seconds()}
	var sum demo.Summary
	if err := json.Unmarshal(out, &sum); err != nil {
		return fmt.Errorf("the demo's summary: %w", err)
	}
	first := true
	for _, s := range sum.Stages {
		switch {
		case s.Name == "train":
			times.Trainings = append(times.Trainings, s.Seconds)
		case first && slices.Contains([]string{"drop labelled photos", "convert", "validate", "register", "deploy"}, s.Name):
			times.Overhead += s.Seconds
			first = s.Name != "deploy"
		}
	}
	times.MAP50, times.NewKind = sum.Models[0].MAP50, sum.NewKind
	return g.answer(times, func(w io.Writer) {
		fmt.Fprintf(w, "the whole demo %.1f s; trainings %.1f s; the loop's own share of the first pass %.1f s\n", times.Total, times.Trainings, times.Overhead)
		fmt.Fprintf(w, "mAP50 %.3f held out; on the new kind %.3f, then %.3f\n", times.MAP50, times.NewKind.Before, times.NewKind.After)
	})
}
