package mlflow

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Choice says what is copied.
type Choice struct {
	Runs        bool
	Experiments []string // names; none: every experiment
	Filter      string   // of runs
	Models      bool
	Names       []string // of models; none: every model
}

// Report is what a copy did.
type Report struct {
	Runs     int      `json:"runs"`     // copied, or brought up to date
	Versions int      `json:"versions"` // of models
	Already  int      `json:"already"`  // runs that were there
	Notes    []string `json:"notes,omitempty"`
	Clashes  []string `json:"clashes,omitempty"` // what was left out, and why
}

// Copy copies what c chooses. It may be repeated, and goes on where a copy that
// was killed stopped. What clashes is left out and told in the report. With
// models go the runs that their versions came from. told hears of each run and
// model after it was copied.
func Copy(ctx context.Context, from Source, to Destination, c Choice, told func(what string, done, total int)) (Report, error) {
	var rep Report
	all, err := from.Experiments(ctx)
	if err != nil {
		return rep, fmt.Errorf("list experiments: %w", err)
	}
	k := copier{from: from, to: to, rep: &rep, told: told, byID: map[string]Experiment{}, done: map[string]bool{}}
	for _, e := range all {
		k.byID[e.ID] = e
	}
	if c.Runs {
		if err := k.experiments(ctx, all, c); err != nil {
			return rep, err
		}
	}
	if c.Models {
		if err := k.models(ctx, c); err != nil {
			return rep, err
		}
	}
	return rep, nil
}

type copier struct {
	from Source
	to   Destination
	rep  *Report
	told func(string, int, int)
	byID map[string]Experiment
	done map[string]bool // runs
}

func (k *copier) experiments(ctx context.Context, all []Experiment, c Choice) error {
	for _, name := range c.Experiments {
		if !slices.ContainsFunc(all, func(e Experiment) bool { return e.Name == name }) {
			return fmt.Errorf("the source has no experiment %q", name)
		}
	}
	var ids []string
	for _, e := range all {
		if len(c.Experiments) > 0 && !slices.Contains(c.Experiments, e.Name) {
			continue
		}
		more, err := k.from.Runs(ctx, e.ID, c.Filter)
		if err != nil {
			return fmt.Errorf("list runs of %s: %w", e.Name, err)
		}
		ids = append(ids, more...)
	}
	for i, id := range ids {
		if err := k.run(ctx, id); err != nil {
			return err
		}
		k.told("runs", i+1, len(ids))
	}
	return nil
}

func (k *copier) run(ctx context.Context, id string) error {
	if k.done[id] {
		return nil
	}
	k.done[id] = true
	r, err := k.from.Run(ctx, id)
	if err != nil {
		return fmt.Errorf("read run %s: %w", id, err)
	}
	e, ok := k.byID[r.Info.Experiment]
	if !ok || r.Info.Lifecycle == "deleted" {
		k.rep.Clashes = append(k.rep.Clashes, fmt.Sprintf("run %s: it, or its experiment, is deleted in the source", id))
		return nil
	}
	changed, err := k.to.PutRun(ctx, e, r, k.from)
	if c := new(Clash); errors.As(err, &c) {
		k.rep.Clashes = append(k.rep.Clashes, fmt.Sprintf("run %s (%s): %v", id, r.Info.Name, c))
		return nil
	}
	if err != nil {
		return fmt.Errorf("copy run %s: %w", id, err)
	}
	if changed {
		k.rep.Runs++
	} else {
		k.rep.Already++
	}
	if _, ok := held(r.Info.ArtifactURI); !ok {
		k.rep.Notes = append(k.rep.Notes, fmt.Sprintf("run %s: its files lie at %s, which the source does not hand out; they were not copied", id, r.Info.ArtifactURI))
	}
	return nil
}

func (k *copier) models(ctx context.Context, c Choice) error {
	all, err := k.from.Models(ctx)
	if err != nil {
		return fmt.Errorf("list models: %w", err)
	}
	for _, name := range c.Names {
		if !slices.ContainsFunc(all, func(m Model) bool { return m.Name == name }) {
			return fmt.Errorf("the source has no model %q", name)
		}
	}
	for i, m := range all {
		if len(c.Names) > 0 && !slices.Contains(c.Names, m.Name) {
			continue
		}
		versions, err := k.from.Versions(ctx, m.Name)
		if err != nil {
			return fmt.Errorf("list versions of %s: %w", m.Name, err)
		}
		for _, v := range versions {
			if v.Run == "" {
				continue
			}
			err := k.run(ctx, v.Run)
			if errors.Is(err, errMissing) { // purged, or never of this server
				k.rep.Clashes = append(k.rep.Clashes, fmt.Sprintf("run %s of %s/%s: the source has it no more", v.Run, v.Name, v.Version))
				continue
			}
			if err != nil {
				return err
			}
		}
		n, notes, err := k.to.PutModel(ctx, m, versions, k.from)
		k.rep.Versions += n
		for _, note := range notes {
			k.rep.Notes = append(k.rep.Notes, "model "+note)
		}
		for _, err := range split(err) {
			c := new(Clash)
			if !errors.As(err, &c) {
				return fmt.Errorf("copy model %s: %w", m.Name, err)
			}
			k.rep.Clashes = append(k.rep.Clashes, "model "+c.What)
		}
		k.told("models", i+1, len(all))
	}
	return nil
}

// split takes joined errors apart.
func split(err error) []error {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	return []error{err}
}
