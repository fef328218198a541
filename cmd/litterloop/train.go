package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/litterloop/litterloop/cmd/internal/worker"
	"github.com/litterloop/litterloop/cmd/litterloop/progress"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/training/embedded"
	"github.com/litterloop/litterloop/shared/training/evaluation"
	"github.com/litterloop/litterloop/shared/training/files"
)

type trainCmd struct {
	Recipe string `help:"Where the training begins: finetune (from a pretrained detector) or scratch." enum:"finetune,scratch" default:"finetune"`
	From   string `help:"ONNX of the detector to start from (YOLOX, YOLOv8 or later): a path, gs://BUCKET/OBJECT, or the name of a published one (yolox-nano)." placeholder:"MODEL"`
	Data   string `help:"Directory of labelled photos, COCO or YOLO." type:"existingdir" required:"" placeholder:"DIR"`
	Val    string `help:"File that names the photos to hold out, one a line." type:"existingfile" required:"" placeholder:"LIST"`
	Out    string `help:"Directory for model.onnx, checkpoint and report." type:"path" required:"" placeholder:"DIR"`

	Classes     string  `help:"Class map, as classes.yaml: classes to merge, to leave out, to pin." type:"existingfile" placeholder:"FILE" xor:"classes"`
	SingleClass bool    `help:"Learn where objects are, not what they are: one class." xor:"classes"`
	CPUSeconds  float64 `help:"Stop when the process has taken so much processor time, all processors together." placeholder:"S" xor:"budget"`
	Seconds     float64 `help:"Stop after so much time by the clock." placeholder:"S" xor:"budget"`
	Steps       int     `help:"Stop after so many steps: the only budget that makes a training reproducible." placeholder:"N" xor:"budget"`

	Seed uint64            `help:"Seed of every choice." default:"1"`
	Set  map[string]string `help:"Parameters of the recipe, as models/finetune.yaml explains them: image_size=512." placeholder:"KEY=VALUE"`
}

// trained is what the command answers. The figures are on the held-out photos;
// recall100 is at IoU 0.50, by the best 100 detections of each photo.
type trained struct {
	MAP50      float64            `json:"mAP50"`
	MAP50_95   float64            `json:"mAP50_95"`
	Recall100  float64            `json:"recall100"`
	CPUSeconds float64            `json:"cpu_seconds"` // of the whole process
	PeakMB     float64            `json:"peak_mb"`
	Steps      int                `json:"steps"`
	Seconds    float64            `json:"seconds"`
	Model      string             `json:"model"`
	Licence    string             `json:"licence"` // of the model
	Curve      []measured         `json:"curve"`   // during the training, and at its end
	COCO       evaluation.Summary `json:"coco"`
	Doubts     []string           `json:"doubts,omitempty"` // classes that have too little data to be believed
}

// measured is a point of the learning curve.
type measured struct {
	Step       int     `json:"step"`
	CPUSeconds float64 `json:"cpu_seconds"`
	MAP50      float64 `json:"mAP50"`
	MAP50_95   float64 `json:"mAP50_95"`
}

// checkpoint is where an unfinished training is kept: the same command goes on
// from it.
func (c *trainCmd) checkpoint() string { return filepath.Join(c.Out, "checkpoint.bin") }

// Run trains on files alone.
func (c *trainCmd) Run(ctx context.Context, g *globals) error {
	began := time.Now()
	if os.Getenv("GOGC") == "" {
		// Most of the heap is photos and tensors that stay: as much again for what
		// comes and goes would be a quarter of the process.
		debug.SetGCPercent(50)
	}
	recipe, err := c.recipe()
	if err != nil {
		return err
	}
	data, err := c.read(ctx)
	if err != nil {
		return err
	}
	if c.Recipe == string(embedded.Finetune) {
		if c.From == "" {
			return fmt.Errorf("recipe finetune needs a detector to start from: --from MODEL (`litterloop models fetch yolox-nano` gets one)")
		}
		models, err := worker.StartingModels(worker.Storage)
		if err != nil {
			return err
		}
		if data.Pretrained, err = models.Open(ctx, c.From); err != nil {
			return err
		}
	}
	board := progress.New(g.stderr)
	if err := ensureRuntime(ctx, board); err != nil {
		return err
	}
	if err := os.MkdirAll(c.Out, 0o777); err != nil {
		return err
	}
	stage := board.Stage("train")
	var curve []measured
	m, err := embedded.Train(ctx, data, recipe, embedded.Hooks{
		Clock: func() time.Duration { return time.Since(began) }, CPU: worker.ProcessorTime, Drawings: evaluation.WorstPhotos, Memory: worker.Memory(),
		Step: func(s embedded.Step) {
			stage.Set(int(1000*s.Progress), 1000, "step %d, box %.3f, class %.3f", s.Step, s.BoxLoss, s.ClassLoss)
		},
		SaveCheckpoint: func(_ context.Context, checkpoint []byte) error {
			return renameio.WriteFile(c.checkpoint(), checkpoint, 0o666)
		},
		LoadCheckpoint: func(context.Context) ([]byte, error) {
			checkpoint, err := os.ReadFile(c.checkpoint())
			if errors.Is(err, os.ErrNotExist) {
				return nil, nil
			}
			return checkpoint, err
		},
		Validation: func(_ context.Context, v embedded.Validation) error {
			curve = append(curve, measured{v.Step, worker.ProcessorTime().Seconds(), v.Metrics.MAP50, v.Metrics.MAP50_95})
			return nil
		},
	})
	if err != nil {
		stage.Fail(err)
		return err
	}
	defer m.Close()
	stage.Done("%d steps", m.Steps)
	model := filepath.Join(c.Out, "model.onnx")
	if err := renameio.WriteFile(model, m.ONNX, 0o666); err != nil {
		return err
	}
	// The model is whole: nothing is left to go on from.
	if err := os.Remove(c.checkpoint()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	report := evaluation.NewReport(m.Classes, trainedBoxes(data), m.HeldOut)
	if err := c.write(ctx, report, m, data); err != nil {
		return err
	}
	sum := report.Summary
	result := trained{
		MAP50: sum.AP50, MAP50_95: sum.AP, Recall100: sum.Recall50, Steps: m.Steps, Model: model, Licence: m.Licence, Curve: curve, COCO: sum, Doubts: report.Doubts,
		CPUSeconds: worker.ProcessorTime().Seconds(), Seconds: time.Since(began).Seconds(), PeakMB: worker.PeakMB(),
	}
	return g.answer(result, func(w io.Writer) {
		fmt.Fprintf(w, "mAP50 %.3f, mAP50-95 %.3f, recall %.3f on %d held-out photos after %d steps, %.0f CPU seconds, %.0f MB\n%s\n",
			result.MAP50, result.MAP50_95, result.Recall100, len(m.HeldOut), result.Steps, result.CPUSeconds, result.PeakMB, model)
		for _, d := range result.Doubts {
			fmt.Fprintln(w, "  not to be believed yet:", d)
		}
	})
}

func (c *trainCmd) recipe() (embedded.Recipe, error) {
	r := embedded.DefaultRecipe()
	if c.Recipe == string(embedded.Finetune) {
		r = embedded.DefaultFinetune()
	}
	r.Seed = c.Seed
	if c.Steps > 0 {
		r.Steps = c.Steps
	}
	r.CPUSeconds, r.Seconds = c.CPUSeconds, c.Seconds
	for key, value := range c.Set {
		text := fmt.Sprintf("{%q: %s}", key, value)
		if outer, inner, nested := strings.Cut(key, "."); nested {
			text = fmt.Sprintf("{%q: {%q: %s}}", outer, inner, value)
		}
		d := json.NewDecoder(strings.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&r); err != nil {
			if quoted := json.NewDecoder(strings.NewReader(fmt.Sprintf("{%q: %q}", key, value))); quoted.Decode(&r) != nil {
				return r, errs.Permanentf(embedded.InvalidRecipe, "--set %s=%s: %w", key, value, err)
			}
		}
	}
	return r, nil
}

func (c *trainCmd) read(ctx context.Context) (embedded.Data, error) {
	var classes dataset.ClassMap
	if c.Classes != "" {
		text, err := os.ReadFile(c.Classes)
		if err != nil {
			return embedded.Data{}, err
		}
		if classes, err = dataset.ParseClassMap(text); err != nil {
			return embedded.Data{}, fmt.Errorf("%s: %w", c.Classes, err)
		}
	}
	set, err := files.Read(ctx, c.Data, classes)
	if err != nil {
		return embedded.Data{}, err
	}
	train, val, err := set.Split(c.Val)
	if err != nil {
		return embedded.Data{}, err
	}
	data := embedded.Data{Classes: set.Classes}
	if c.SingleClass {
		data.Classes = []string{"object"}
	}
	for _, part := range []struct {
		photos []files.Photo
		to     *[]embedded.Sample
	}{{train, &data.Train}, {val, &data.Val}} {
		for _, p := range part.photos {
			s := embedded.Sample{Name: p.Name, Load: p.Load}
			for _, b := range p.Boxes {
				box := embedded.Box{Class: b.Class, X1: b.X, Y1: b.Y, X2: b.X + b.W, Y2: b.Y + b.H}
				if c.SingleClass {
					box.Class = 0
				}
				s.Boxes = append(s.Boxes, box)
			}
			*part.to = append(*part.to, s)
		}
	}
	return data, nil
}
