package drift

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/predictionlog"
	"github.com/litterloop/litterloop/shared/registry"
)

// ServingAlias is the alias of the version that answers.
const ServingAlias = "staging"

// CodeNothingServes is the reason of a check while no version serves.
const CodeNothingServes errs.Code = "no-model-serves"

// Models finds the version that serves.
type Models interface {
	ByAlias(ctx context.Context, model, alias string) (registry.Version, error)
}

// Checker makes reports from what the buckets hold.
type Checker struct {
	policy                    Policy
	model                     string
	models                    Models
	modelsBucket, predictions blob.Bucket
	store                     *Store
	now                       func() time.Time
}

// NewChecker returns a checker of the model of that name. Package references are
// read from the models bucket, the log and the reports lie in predictions.
func NewChecker(p Policy, model string, models Models, modelsBucket, predictions blob.Bucket, now func() time.Time) *Checker {
	return &Checker{p, model, models, modelsBucket, predictions, NewStore(predictions), now}
}

// Check makes the report of the window that ends at to, or returns the one that
// was made: of that very window, or the newest one when no photo came since.
// Repeating it is harmless. No version serving is a permanent error,
// CodeNothingServes.
func (c *Checker) Check(ctx context.Context, to time.Time) (_ *Report, _ Summary, err error) {
	defer errs.Wrap(&err, "check %q for drift at %s", c.model, to.UTC().Format(time.RFC3339))
	v, err := c.models.ByAlias(ctx, c.model, ServingAlias)
	if errors.Is(err, errs.NotFound) {
		return nil, Summary{}, errs.Permanentf(CodeNothingServes, "no version of %q has the alias %q yet: %w", c.model, ServingAlias, err)
	} else if err != nil {
		return nil, Summary{}, err
	}
	r, err := c.report(ctx, v, to.UTC().Truncate(time.Microsecond))
	if err != nil {
		return nil, Summary{}, err
	}
	summary, err := c.store.SetLatest(ctx, r)
	return r, summary, err
}

func (c *Checker) report(ctx context.Context, v registry.Version, to time.Time) (*Report, error) {
	in := Input{Model: c.model, ModelVersion: strconv.Itoa(v.Version), From: to.Add(-c.policy.Window.Duration), To: to, Created: c.now()}
	r, err := c.store.Get(ctx, reportID(in.Model, in.ModelVersion, in.From, in.To, c.policy.Hash()))
	if !errors.Is(err, errs.NotFound) {
		return r, err
	}
	from := c.policy.HistoryFrom(to)
	// A version has no log from before it existed, give or take clocks that differ.
	if born := v.Created.Add(-time.Hour); born.After(from) {
		from = born
	}
	if in.Package, err = c.reference(ctx, v); err != nil {
		return nil, err
	}
	if r, err = c.analyse(ctx, in, from); err != nil {
		return nil, err
	}
	latest, err := c.store.Latest(ctx)
	switch {
	case err == nil && latest.Content == r.Content:
		if old, err := c.store.Get(ctx, latest.ID); err == nil && old.PolicyHash == r.PolicyHash {
			return old, nil
		}
	case err != nil && !errors.Is(err, errs.NotFound):
		return nil, err
	}
	page, err := r.HTML(c.thumbnail(ctx))
	if err != nil {
		return nil, err
	}
	return c.store.Save(ctx, r, page)
}

// analyse makes the report, by rows where there are few enough, else by sketches;
// from is when the version's log begins.
func (c *Checker) analyse(ctx context.Context, in Input, from time.Time) (*Report, error) {
	v := Version{in.Model, in.ModelVersion}
	s, large, err := c.sketched(ctx, v, from, in.To)
	if err != nil {
		return nil, err
	}
	health, err := c.health(ctx, in.From, in.To)
	if err != nil {
		return nil, err
	}
	if large {
		if r, ok := analyseSketches(c.policy, in, s); ok {
			r.Log = health
			return r, nil
		}
		// No history yet: the newest photos, against the model's own reference.
		if in.Log, err = c.newest(ctx, v, s.files, in.From, in.To, c.policy.Window.MaxPhotos); err != nil {
			return nil, err
		}
		r := Analyse(c.policy, in)
		r.Log, r.Window.Left = health, max(int(s.window.Photos)-r.Window.Photos, 0)
		return r, nil
	}
	if in.Log, err = c.readLog(ctx, in.Model, in.ModelVersion, from, in.To); err != nil {
		return nil, err
	}
	r := Analyse(c.policy, in)
	r.Log = health
	return r, nil
}

// logReaders is how many days of the log are read at a time. Nine weeks are
// some 1,500 folders and as many files; one after another they would take a
// function's whole time limit.
const logReaders = 16

// readLog returns a version's rows of [from, to).
func (c *Checker) readLog(ctx context.Context, model, version string, from, to time.Time) ([]predictionlog.Row, error) {
	const day = 24 * time.Hour
	days := make([][]predictionlog.Row, (max(to.Sub(from), 0)+day-1)/day)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(logReaders)
	for i := range days {
		start := from.Add(time.Duration(i) * day)
		end := start.Add(day)
		if end.After(to) {
			end = to
		}
		g.Go(func() error {
			for row, err := range predictionlog.Read(ctx, c.predictions, start, end) {
				if err != nil {
					return err
				}
				if row.Model == model && row.ModelVersion == version {
					days[i] = append(days[i], row)
				}
			}
			return nil
		})
	}
	err := g.Wait()
	return slices.Concat(days...), err
}

// reference reads the package's predictions on its validation split. A package
// without them has none: the check is then insufficient until there is history.
func (c *Checker) reference(ctx context.Context, v registry.Version) ([]predictionlog.Row, error) {
	name := v.Package + modelpackage.ReferenceFile
	p, _, err := blob.ReadAll(ctx, c.modelsBucket, name)
	if errors.Is(err, errs.NotFound) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("reference of version %d: %w", v.Version, err)
	}
	rows, err := predictionlog.ReadFile(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		return nil, fmt.Errorf("gs://%s/%s: %w", c.modelsBucket.Name(), name, err)
	}
	return rows, nil
}
