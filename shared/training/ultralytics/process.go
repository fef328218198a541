package ultralytics

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/litterloop/litterloop/models/ultralytics"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/imaging"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/training/job"
)

// settings are the process's first line.
type settings struct {
	Recipe
	Work       string `json:"work"`       // directory to work in
	Data       string `json:"data"`       // path of data.yaml
	Checkpoint string `json:"checkpoint"` // path; empty begins anew
	Weights    string `json:"weights"`    // path, "hub" or nothing; replaces the recipe's
	Run        string `json:"run"`        // id of the tracked run
}

// message is one line of the process; see train.py.
type message struct {
	Note       string                   `json:"note"`
	Epoch      int                      `json:"epoch"`
	Epochs     int                      `json:"epochs"`
	Figures    map[string]float64       `json:"figures"`
	Saved      string                   `json:"saved"`
	Trained    *trained                 `json:"trained"`
	Failed     string                   `json:"failed"`
	Detections []modelpackage.Detection `json:"detections"`
}

type trained struct {
	ONNX      string `json:"onnx"`
	Weights   string `json:"weights"`
	ImageSize int    `json:"image_size"`
}

// process is the Python program at work.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	log *slog.Logger
	err *tail // what it wrote last

	tracked bool // a tracking server is told of everything by the process itself

	ended sync.Once
	fate  error
}

// begin starts the program. When ctx ends it is asked to end, and killed where
// it does not.
func begin(ctx context.Context, python, dir string, env []string, log *slog.Logger) (*process, error) {
	program := filepath.Join(dir, "train.py")
	if err := os.WriteFile(program, ultralytics.Program, 0o600); err != nil {
		return nil, fmt.Errorf("lay out the training program: %w", err)
	}
	p := &process{cmd: exec.CommandContext(ctx, python, "-u", program), log: log, err: &tail{}}
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), env...)
	p.tracked = slices.ContainsFunc(p.cmd.Env, func(kv string) bool { return strings.HasPrefix(kv, "MLFLOW_TRACKING_URI=") })
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(os.Interrupt) }
	p.cmd.WaitDelay = 10 * time.Second
	p.cmd.Stderr = io.MultiWriter(p.err, os.Stderr)
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the training program: %w", err)
	}
	return p, nil
}

// train has the process train and serves its hooks.
func (p *process) train(ctx context.Context, s settings, hooks job.Hooks) (trained, error) {
	if err := p.send(s); err != nil {
		return trained{}, err
	}
	for {
		m, err := p.receive()
		if err != nil {
			return trained{}, err
		}
		switch {
		case m.Failed != "":
			return trained{}, errs.Permanentf(Untrainable, "Ultralytics: %s", m.Failed)
		case m.Trained != nil:
			return *m.Trained, nil
		case m.Note != "":
			p.log.WarnContext(ctx, m.Note, "run", s.Run)
			err = hooks.Note(ctx, m.Note)
		case m.Saved != "":
			err = p.keep(ctx, m.Saved, hooks)
		case m.Epochs > 0:
			err = p.epoch(ctx, m, hooks)
		}
		if err != nil {
			return trained{}, err
		}
	}
}

// epoch tells of a finished epoch. A tracking server has its losses from
// Ultralytics' own callback.
func (p *process) epoch(ctx context.Context, m message, hooks job.Hooks) error {
	losses := m.Figures
	if p.tracked {
		losses = nil
	}
	hooks.Step(m.Epoch, m.Epochs, losses)
	return hooks.Measured(ctx, m.Epoch, modelpackage.Metrics{
		MAP50: m.Figures["metrics/mAP50B"], MAP50_95: m.Figures["metrics/mAP50-95B"], Recall100: m.Figures["metrics/recallB"],
	})
}

func (p *process) keep(ctx context.Context, path string, hooks job.Hooks) error {
	checkpoint, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the checkpoint: %w", err)
	}
	if err := hooks.Save(ctx, checkpoint); err != nil {
		return err
	}
	return p.send(struct{}{})
}

// detect asks for the trained model's own detections on a photo, which lies in
// dir meanwhile.
func (p *process) detect(dir string, photo []byte, q job.Query) ([]modelpackage.Detection, error) {
	info, err := imaging.Header(photo)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "photo."+info.Format)
	if err := os.WriteFile(path, photo, 0o600); err != nil {
		return nil, err
	}
	ask := map[string]any{"photo": path, "conf": q.Conf, "iou": q.IoU, "max_det": q.MaxDet}
	if err := p.send(ask); err != nil {
		return nil, err
	}
	m, err := p.receive()
	return m.Detections, err
}

func (p *process) send(v any) error {
	if err := json.NewEncoder(p.in).Encode(v); err != nil {
		return fmt.Errorf("speak to the training program: %w%s", err, p.err)
	}
	return nil
}

func (p *process) receive() (message, error) {
	var m message
	line, err := p.out.ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		return m, fmt.Errorf("the training program died (%v)%s", p.close(), p.err)
	}
	if err == nil {
		err = json.Unmarshal(line, &m)
	}
	if err != nil {
		return m, fmt.Errorf("hear the training program: %w%s", err, p.err)
	}
	return m, nil
}

// close has the process end, waits for it and tells what became of it. It may
// be called again.
func (p *process) close() error {
	p.ended.Do(func() { p.fate = errors.Join(p.in.Close(), p.cmd.Wait()) })
	return p.fate
}

// tail keeps the last lines that a process wrote.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// tailBytes hold the end of a Python traceback.
const tailBytes = 2000

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - tailBytes; over > 0 {
		t.text = bytes.Clone(t.text[over:])
	}
	return len(p), nil
}

// String is the tail as the end of an error's text.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(string(t.text))
	if text == "" {
		return ""
	}
	return "; it last wrote:\n" + text
}
