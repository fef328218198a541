package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/litterloop/litterloop/shared/errs"
)

// restore resumes from the newest checkpoint, or begins from Data.Start.
func (t *training) restore(ctx context.Context) error {
	if t.hooks.LoadCheckpoint != nil {
		saved, err := t.hooks.LoadCheckpoint(ctx)
		if err != nil {
			return fmt.Errorf("load the newest checkpoint: %w", err)
		}
		if len(saved) > 0 {
			return t.resume(saved)
		}
	}
	if len(t.data.Start) == 0 {
		return nil
	}
	start, err := parseCheckpoint(t.data.Start)
	if err != nil {
		return err
	}
	weights := t.engine.vector(stateParams)
	if err := start.startFrom(t.engine.params, t.data.Classes, weights); err != nil {
		return err
	}
	return t.engine.set(&checkpoint{Params: weights, Average: weights})
}

// Fits tells whether a training by r can go on from d.Start, a previous model's
// checkpoint; the error says why not, and Train would return it.
func Fits(d Data, r Recipe) error {
	c, err := parseCheckpoint(d.Start)
	if err != nil {
		return err
	}
	if c.Base != base(d) {
		return errs.Permanentf(InvalidCheckpoint, "start from a previous model: it began with another pretrained detector")
	}
	design, _, err := newDesign(d, r)
	if err != nil {
		return err
	}
	b, _, err := design.trainable(1)
	if err != nil {
		return err
	}
	return c.startFrom(b.Params(), d.Classes, b.Initial(r.Seed))
}

// base identifies the pretrained detector that a training starts from.
func base(d Data) string {
	if len(d.Pretrained) == 0 {
		return ""
	}
	sum := sha256.Sum256(d.Pretrained)
	return hex.EncodeToString(sum[:])
}

func (t *training) resume(saved []byte) error {
	c, err := parseCheckpoint(saved)
	if err != nil {
		return err
	}
	if c.Training != t.fingerprint || !c.Moments || len(c.Params) != len(t.engine.state[stateParams].Data) {
		return errs.Permanentf(InvalidCheckpoint, "resume: the saved checkpoint is of another training (other data or recipe); remove it to start again")
	}
	t.done, t.best, t.stale = c.Step, c.Best, c.Stale
	return t.engine.set(c)
}

// interrupted saves what was done before ctx ended.
func (t *training) interrupted(ctx context.Context) error {
	err := fmt.Errorf("training stopped after step %d: %w", t.done, context.Cause(ctx))
	return errors.Join(err, t.save(context.WithoutCancel(ctx)))
}

func (t *training) save(ctx context.Context) error {
	if t.hooks.SaveCheckpoint == nil {
		return nil
	}
	c := t.checkpoint()
	c.Moments, c.Best, c.Stale = true, t.best, t.stale
	c.Params, c.Moment1, c.Moment2 = t.engine.vector(stateParams), t.engine.vector(stateMoment1), t.engine.vector(stateMoment2)
	data, err := c.marshal()
	if err != nil {
		return err
	}
	if err := t.hooks.SaveCheckpoint(ctx, data); err != nil {
		return fmt.Errorf("save the checkpoint of step %d: %w", t.done, err)
	}
	return nil
}

// checkpoint is the model's; save adds what resuming needs.
func (t *training) checkpoint() *checkpoint {
	return &checkpoint{
		checkpointHeader: checkpointHeader{
			Training: t.fingerprint, Step: t.done, Classes: t.data.Classes, Width: t.design.width(), Base: base(t.data), Layers: layers(t.engine.params),
		},
		Average: t.engine.vector(stateAverage),
	}
}

// fingerprint tells one training from another: what may resume from whose
// checkpoint. Photos count by name and boxes.
func fingerprint(d Data, r Recipe) (string, error) {
	type sample struct {
		Name  string
		Boxes []Box
	}
	var samples []sample
	for _, s := range d.Train {
		samples = append(samples, sample{s.Name, s.Boxes})
	}
	data, err := json.Marshal(struct {
		Recipe  Recipe
		Classes []string
		Train   []sample
		Start   [sha256.Size]byte
		Base    string
	}{r, d.Classes, samples, sha256.Sum256(d.Start), base(d)})
	if err != nil {
		return "", fmt.Errorf("fingerprint of the training: %w", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}
