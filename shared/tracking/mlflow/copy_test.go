package mlflow_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/tracking/mlflow"
	"github.com/litterloop/litterloop/shared/tracking/server"
)

// place is a tracking server of ours and what it serves.
type place struct {
	*mlflow.Client
	bucket blob.Bucket
	runs   *tracking.Store
	models *registry.Registry
}

func newPlace(t *testing.T) place {
	t.Helper()
	b := blobmem.New("models")
	s := httptest.NewServer(server.New(server.Options{Bucket: b, Now: time.Now, Log: slog.New(slog.DiscardHandler)}))
	t.Cleanup(s.Close)
	return place{mlflow.NewClient(s.URL, s.Client(), nil), b, tracking.New(b, time.Now), registry.New(b, time.Now)}
}

// fill makes an experiment with two runs, one inside the other, and a model with
// two versions and two aliases.
func (p place) fill(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	e, err := p.runs.CreateExperiment(ctx, "litter", "", map[string]string{"team": "harbour"})
	must(err)
	parent := ""
	for i, name := range []string{"first", "second"} {
		tags := map[string]string{"note": name}
		if parent != "" {
			tags["mlflow.parentRunId"] = parent
		}
		r, err := p.runs.StartRun(ctx, tracking.NewRun{Experiment: e.ID, User: "ana", Name: name, Start: int64(1000 + i), Tags: tags})
		must(err)
		parent = r.ID
		points := []tracking.Metric{{Key: "broken", Value: math.NaN(), Time: 5}}
		for step := range 1200 {
			points = append(points, tracking.Metric{Key: "train/box_loss", Value: 1 / float64(step+1), Step: int64(step), Time: int64(10 + step)})
		}
		must(p.runs.LogMetrics(ctx, r.ID, "", points))
		params := map[string]string{}
		for k := range 150 {
			params["p"+strconv.Itoa(k)] = strconv.Itoa(k * (i + 1))
		}
		must(p.runs.LogParams(ctx, r.ID, params))
		uri := r.ArtifactURI
		must(p.Put(ctx, uri, "model/model.onnx", strings.NewReader("weights "+name), int64(len("weights "+name))))
		must(p.Put(ctx, uri, "plots/a b +1 é.txt", strings.NewReader(name), int64(len(name))))
		must(p.Put(ctx, uri, "empty", strings.NewReader(""), 0))
		must(p.runs.LogInputs(ctx, r.ID, []tracking.DatasetInput{{Dataset: tracking.Dataset{Name: "taco", Digest: "d1", SourceType: "local", Source: "x"}}}, nil))
		end := int64(9000)
		_, err = p.runs.UpdateRun(ctx, r.ID, tracking.RunUpdate{Status: tracking.Finished, End: &end})
		must(err)
		_, err = p.models.Create(ctx, registry.Version{Model: "litter", Run: r.ID, Package: tracking.ArtifactPrefix(e.ID, r.ID) + "model/", Description: name, Tags: map[string]string{"n": name}})
		must(err)
	}
	must(p.models.SetAlias(ctx, "litter", "staging", 1, "ana", "it is good"))
	must(p.models.SetAlias(ctx, "litter", "candidate", 2, "ana", "it is newer"))
}

// told is what a person sees of a place: nothing of ids.
func told(t *testing.T, s mlflow.Source) map[string]any {
	t.Helper()
	ctx := t.Context()
	seen := map[string]any{}
	es, err := s.Experiments(ctx)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for _, e := range es {
		ids, err := s.Runs(ctx, e.ID, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			r, err := s.Run(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			names[id] = r.Info.Name
			var tags []string
			for _, tag := range r.Tags {
				switch {
				case strings.HasPrefix(tag.Key, "litterloop.copied."):
					continue
				case tag.Key == "mlflow.parentRunId":
					tag.Value = names[tag.Value]
				}
				tags = append(tags, tag.Key+"="+tag.Value)
			}
			points := 0
			var last string
			for _, m := range r.Metrics {
				points++
				last = m.Key + "=" + string(m.Value) + "@" + strconv.Itoa(int(m.Step))
			}
			seen["run "+e.Name+"/"+r.Info.Name] = map[string]any{
				"params": r.Params, "tags": tags, "points": points, "last": last, "files": files(t, s, r.Info.ArtifactURI), "inputs": len(r.Inputs),
				"info": []any{r.Info.Status, r.Info.Start, r.Info.End, r.Info.User}, "experiment": e.Tags,
			}
		}
	}
	models, err := s.Models(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range models {
		versions, err := s.Versions(ctx, m.Name)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range versions {
			seen["version "+m.Name+"/"+v.Version] = []any{v.Description, names[v.Run], files(t, s, v.Location)}
		}
		seen["aliases "+m.Name] = m.Aliases
	}
	return seen
}

func files(t *testing.T, s mlflow.Files, uri string) map[string]string {
	t.Helper()
	list, err := s.List(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	content := map[string]string{}
	for _, f := range list {
		r, err := s.Open(t.Context(), uri, f.Path)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		content[f.Path] = string(data)
	}
	return content
}

var everything = mlflow.Choice{Runs: true, Models: true}

func copyAll(t *testing.T, from mlflow.Source, to mlflow.Destination) mlflow.Report {
	t.Helper()
	rep, err := mlflow.Copy(t.Context(), from, to, everything, func(string, int, int) {})
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func TestCopy_keepsEverythingAndRepeatsToNothing(t *testing.T) {
	source := newPlace(t)
	source.fill(t)
	want := told(t, source)
	dir, err := mlflow.OpenDirectory(filepath.Join(t.TempDir(), "export"), true)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	direct, through := newPlace(t), newPlace(t)
	for _, step := range []struct {
		name string
		from mlflow.Source
		to   func() mlflow.Destination
		seen mlflow.Source
	}{
		{"server to server", source, func() mlflow.Destination { return mlflow.NewServer(direct.Client) }, direct},
		{"server to directory", source, func() mlflow.Destination { return dir }, dir},
		{"directory to server", dir, func() mlflow.Destination { return mlflow.NewServer(through.Client) }, through},
	} {
		t.Run(step.name, func(t *testing.T) {
			if rep := copyAll(t, step.from, step.to()); rep.Runs != 2 || rep.Versions != 2 || len(rep.Clashes)+len(rep.Notes) > 0 {
				t.Errorf("first: %+v", rep)
			}
			if diff := cmp.Diff(want, told(t, step.seen)); diff != "" {
				t.Errorf("(-source +copy): %s", diff)
			}
			if rep := copyAll(t, step.from, step.to()); rep.Runs != 0 || rep.Versions != 0 || rep.Already != 2 || len(rep.Clashes) > 0 {
				t.Errorf("again: %+v", rep)
			}
			if diff := cmp.Diff(want, told(t, step.seen)); diff != "" {
				t.Errorf("after it was repeated: %s", diff)
			}
		})
	}
	t.Run("back to where it came from", func(t *testing.T) {
		if rep := copyAll(t, through, mlflow.NewServer(source.Client)); rep.Runs != 0 || rep.Versions != 0 {
			t.Errorf("%+v", rep)
		}
		if diff := cmp.Diff(want, told(t, source)); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("a copy of a copy is known", func(t *testing.T) {
		if rep := copyAll(t, through, mlflow.NewServer(direct.Client)); rep.Versions != 0 {
			t.Errorf("%+v", rep)
		}
		if diff := cmp.Diff(want, told(t, direct)); diff != "" {
			t.Error(diff)
		}
	})
}

// dying fails each write after so many.
type dying struct {
	mlflow.Source
	left int
}

var errDied = errors.New("killed")

func (d *dying) spend() error {
	if d.left--; d.left < 0 {
		return errDied
	}
	return nil
}

func (d *dying) Run(ctx context.Context, id string) (mlflow.Run, error) {
	if err := d.spend(); err != nil {
		return mlflow.Run{}, err
	}
	return d.Source.Run(ctx, id)
}

func (d *dying) Open(ctx context.Context, uri, path string) (io.ReadCloser, error) {
	if err := d.spend(); err != nil {
		return nil, err
	}
	return d.Source.Open(ctx, uri, path)
}

func TestCopy_goesOnAfterItDied(t *testing.T) {
	source := newPlace(t)
	source.fill(t)
	want := told(t, source)
	to := newPlace(t)
	for n := range 9 {
		_, err := mlflow.Copy(t.Context(), &dying{source, n}, mlflow.NewServer(to.Client), everything, func(string, int, int) {})
		if err != nil && !errors.Is(err, errDied) {
			t.Fatal(err)
		}
	}
	copyAll(t, source, mlflow.NewServer(to.Client))
	if diff := cmp.Diff(want, told(t, to)); diff != "" {
		t.Error(diff)
	}
}

func TestCopy_tellsClashesAndLeavesWhatIsThere(t *testing.T) {
	source, to := newPlace(t), newPlace(t)
	source.fill(t)
	to.fill(t)
	own := told(t, to)
	rep := copyAll(t, source, mlflow.NewServer(to.Client))
	if rep.Versions != 2 || len(rep.Notes) != 2 || len(rep.Clashes) != 2 {
		t.Fatalf("%+v", rep)
	}
	if !strings.Contains(strings.Join(rep.Notes, "\n"), "litter/1 is litter/3") || !strings.Contains(strings.Join(rep.Clashes, "\n"), "litter@staging names version 1") {
		t.Errorf("%+v", rep)
	}
	if diff := cmp.Diff(own["aliases litter"], told(t, to)["aliases litter"]); diff != "" {
		t.Errorf("aliases of the destination's own: %s", diff)
	}
}
