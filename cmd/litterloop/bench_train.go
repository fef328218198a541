package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/litterloop/litterloop/cmd/internal/worker"
	ultralytics "github.com/litterloop/litterloop/models/ultralytics"
	"github.com/litterloop/litterloop/shared/drawing"
	"github.com/litterloop/litterloop/shared/training/embedded"
	"github.com/litterloop/litterloop/shared/venv"
)

//go:embed bench_train.py
var torchStep []byte

type benchTrainCmd struct {
	Rounds int    `help:"How often steps are timed, by turns; 0: not at all." default:"5"`
	Steps  int    `help:"Steps that are timed in a round." default:"60"`
	Python string `help:"Interpreter that has PyTorch; without it an environment is made, which takes gigabytes the first time." type:"existingfile"`

	curveCmd
}

// stepTime is what a step took, as a mean of a round.
type stepTime struct {
	MS    float64 `json:"ms"`
	CPUMS float64 `json:"cpu_ms"` // of all processors together
}

// trainTimes are the rounds of both, and how they compare.
type trainTimes struct {
	Ours  []stepTime `json:"ours"`
	Torch []stepTime `json:"torch"`
	// Wall and CPU are our medians over PyTorch's.
	Wall     float64 `json:"wall_ratio"`
	CPU      float64 `json:"cpu_ratio"`
	Busy     float64 `json:"busy"` // share of all processors' time that our steps use
	MemoryMB float64 `json:"memory_mb"`

	Curves []trainCurve `json:"curves,omitempty"`
}

// Run times steps of the embedded trainer, augmentation and loss included, and of
// the same network in PyTorch without either, by turns; then it draws curves, where
// it is told what to train on.
func (c *benchTrainCmd) Run(ctx context.Context, g *globals) error {
	var t trainTimes
	if c.Rounds > 0 {
		if err := c.steps(ctx, g, &t); err != nil {
			return err
		}
	}
	var err error
	if t.Curves, err = c.curves(ctx, g); err != nil {
		return err
	}
	return g.answer(t, t.print)
}

func (t trainTimes) print(w io.Writer) {
	if len(t.Ours) > 0 {
		table := tabwriter.NewWriter(w, 2, 4, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(table, "round\tours ms\tcpu ms\tPyTorch ms\tcpu ms\t")
		for i := range t.Ours {
			fmt.Fprintf(table, "%d\t%.1f\t%.1f\t%.1f\t%.1f\t\n", i+1, t.Ours[i].MS, t.Ours[i].CPUMS, t.Torch[i].MS, t.Torch[i].CPUMS)
		}
		table.Flush()
		fmt.Fprintf(w, "by the clock %.2f of PyTorch's step, by processor time %.2f; %.0f %% of the processors busy, %.0f MB\n", t.Wall, t.CPU, 100*t.Busy, t.MemoryMB)
	}
	for _, curve := range t.Curves {
		fmt.Fprintf(w, "%s: %d steps, %.0f MB\n", curve.Name, curve.Steps, curve.MemoryMB)
		for _, p := range curve.Points {
			fmt.Fprintf(w, "  %6.1f CPU s  mAP50 %.3f  mAP50-95 %.3f\n", p.CPUSeconds, p.MAP50, p.MAP50_95)
		}
	}
}

func (c *benchTrainCmd) steps(ctx context.Context, g *globals, t *trainTimes) error {
	python := c.Python
	if python == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		if python, err = venv.Make(ctx, filepath.Join(cache, "litterloop"), "ultralytics", ultralytics.Requirements, g.stderr); err != nil {
			return err
		}
	}
	script := filepath.Join(os.TempDir(), "litterloop-bench-train-"+strconv.Itoa(os.Getpid())+".py")
	if err := os.WriteFile(script, torchStep, 0o600); err != nil {
		return err
	}
	defer os.Remove(script)
	for range c.Rounds {
		ours, err := c.ours(ctx)
		if err != nil {
			return err
		}
		torch, err := c.torch(ctx, python, script)
		if err != nil {
			return err
		}
		t.Ours, t.Torch = append(t.Ours, ours), append(t.Torch, torch)
	}
	wall := func(s stepTime) float64 { return s.MS }
	cpu := func(s stepTime) float64 { return s.CPUMS }
	t.Wall = medianOf(t.Ours, wall) / medianOf(t.Torch, wall)
	t.CPU = medianOf(t.Ours, cpu) / medianOf(t.Torch, cpu)
	t.Busy = medianOf(t.Ours, func(s stepTime) float64 { return s.CPUMS / s.MS / float64(runtime.GOMAXPROCS(0)) })
	t.MemoryMB = worker.PeakMB()
	return nil
}

func medianOf(s []stepTime, figure func(stepTime) float64) float64 {
	v := make([]float64, len(s))
	for i, x := range s {
		v[i] = figure(x)
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// errTimed ends a training whose steps were timed.
var errTimed = errors.New("timed")

func (c *benchTrainCmd) ours(ctx context.Context) (stepTime, error) {
	photos, err := drawing.Set(1, 32, drawing.Day)
	if err != nil {
		return stepTime{}, err
	}
	data := embedded.Data{Classes: drawing.Classes}
	for _, p := range photos {
		s := embedded.Sample{Name: p.Name, Load: func(context.Context) ([]byte, error) { return p.JPEG, nil }}
		for _, b := range p.Boxes {
			s.Boxes = append(s.Boxes, embedded.Box(b))
		}
		data.Train = append(data.Train, s)
	}
	r := embedded.DefaultRecipe()
	warm := c.Steps / 2
	r.Steps, r.CheckpointEvery, r.ValidateEvery = 2*c.Steps, 0, 0
	var began time.Time
	var cpu time.Duration
	var took stepTime
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	_, err = embedded.Train(ctx, data, r, embedded.Hooks{Step: func(s embedded.Step) {
		switch s.Step {
		case warm:
			began, cpu = time.Now(), worker.ProcessorTime()
		case warm + c.Steps:
			n := float64(c.Steps)
			took = stepTime{time.Since(began).Seconds() * 1e3 / n, (worker.ProcessorTime() - cpu).Seconds() * 1e3 / n}
			stop(errTimed)
		}
	}})
	if !errors.Is(err, errTimed) {
		return took, fmt.Errorf("time the embedded trainer: %w", err)
	}
	return took, nil
}

func (c *benchTrainCmd) torch(ctx context.Context, python, script string) (t stepTime, err error) {
	r := embedded.DefaultRecipe()
	var args []string
	for _, n := range []int{r.BatchSize, r.ImageSize, r.Width, len(drawing.Classes), c.Steps, runtime.GOMAXPROCS(0)} {
		args = append(args, strconv.Itoa(n))
	}
	out, err := exec.CommandContext(ctx, python, append([]string{script}, args...)...).Output()
	if err != nil {
		return t, fmt.Errorf("time PyTorch: %w", err)
	}
	return t, json.Unmarshal(out, &t)
}
