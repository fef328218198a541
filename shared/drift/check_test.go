package drift_test

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/drift"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/predictionlog"
	"github.com/litterloop/litterloop/shared/registry"
)

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// serves is a registry with one version under the serving alias.
type serves registry.Version

func (s serves) ByAlias(_ context.Context, model, alias string) (registry.Version, error) {
	if model != s.Model || alias != drift.ServingAlias {
		return registry.Version{}, errs.NotFound
	}
	return registry.Version(s), nil
}

func parquetIn(t *testing.T, b blob.Bucket, name string, rows []predictionlog.Row) {
	t.Helper()
	var p bytes.Buffer
	if err := predictionlog.WriteFile(&p, rows); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(t.Context(), name, &p, blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
		t.Fatal(err)
	}
}

// newChecker returns a checker over a model whose reference is 40 harmless
// photos, and its predictions bucket.
func newChecker(t *testing.T) (*drift.Checker, blob.Bucket) {
	t.Helper()
	models, predictions := blobmem.New("models"), blobmem.New("predictions")
	rng := rand.New(rand.NewPCG(1, 1))
	parquetIn(t, models, "runs/r1/package/"+modelpackage.ReferenceFile, drift.Harmless.Rows(rng, 40, noon.AddDate(0, 0, -1), time.Hour))
	v := serves{Model: "litter", Version: 1, Package: "runs/r1/package/", Created: noon.AddDate(0, 0, -1)}
	return drift.NewChecker(drift.DefaultPolicy(), "litter", v, models, predictions, func() time.Time { return noon }), predictions
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name    string
		scene   drift.Traffic
		photos  int
		outcome drift.Outcome
	}{
		{"harmless photos", drift.Harmless, 60, drift.Stable},
		{"darker, blurred, other litter", drift.Severe, 60, drift.Drifted},
		{"too few photos", drift.Severe, 29, drift.Insufficient},
		{"no photo at all", drift.Severe, 0, drift.Insufficient},
	} {
		t.Run(c.name, func(t *testing.T) {
			checker, predictions := newChecker(t)
			rng := rand.New(rand.NewPCG(2, 2))
			if c.photos > 0 {
				from := noon.Add(-30 * time.Minute)
				parquetIn(t, predictions, predictionlog.Dir(from)+"a-1.parquet", c.scene.Rows(rng, c.photos, from, 20*time.Minute))
			}
			r, s, err := checker.Check(t.Context(), noon)
			if err != nil {
				t.Fatal(err)
			}
			if r.Verdict.Outcome != c.outcome || r.Window.Photos != c.photos {
				t.Errorf("outcome %s of %d photos (%s), want %s of %d", r.Verdict.Outcome, r.Window.Photos, r.Verdict.Reason, c.outcome, c.photos)
			}
			latest, err := drift.NewStore(predictions).Latest(t.Context())
			if err != nil || latest.ID != r.ID || latest.ID != s.ID {
				t.Errorf("newest report is %q (%v), want %q", latest.ID, err, r.ID)
			}
			page, _, err := blob.ReadAll(t.Context(), predictions, strings.TrimPrefix(s.HTML, "gs://predictions/"))
			if err != nil || !bytes.Contains(page, []byte("<!doctype html>")) {
				t.Errorf("page %s: %v", s.HTML, err)
			}
		})
	}
}

// TestCheck_history checks against the version's own log, in many files and days.
func TestCheck_history(t *testing.T) {
	models, predictions := blobmem.New("models"), blobmem.New("predictions")
	rng := rand.New(rand.NewPCG(3, 3))
	for d := range 64 {
		from := noon.AddDate(0, 0, d-64)
		parquetIn(t, predictions, predictionlog.Dir(from)+"a-1.parquet", drift.Harmless.Rows(rng, 40, from, time.Hour))
	}
	v := serves{Model: "litter", Version: 1, Package: "runs/r1/package/", Created: noon.AddDate(0, 0, -90)}
	checker := drift.NewChecker(drift.DefaultPolicy(), "litter", v, models, predictions, func() time.Time { return noon })
	r, _, err := checker.Check(t.Context(), noon)
	if err != nil {
		t.Fatal(err)
	}
	if r.Reference.Source != drift.History || r.Reference.Photos != 56*40 || r.Window.Photos != 40 || r.Verdict.Outcome != drift.Stable {
		t.Errorf("reference %+v, window %+v, %s; want 56 days of 40 photos, a window of 40, stable", r.Reference, r.Window, r.Verdict.Reason)
	}
}

// TestCheck_twiceIsOneReport: the same window again, or a later one with no
// photo more, is the report that stands.
func TestCheck_twiceIsOneReport(t *testing.T) {
	checker, predictions := newChecker(t)
	rng := rand.New(rand.NewPCG(2, 2))
	from := noon.Add(-30 * time.Minute)
	parquetIn(t, predictions, predictionlog.Dir(from)+"a-1.parquet", drift.Harmless.Rows(rng, 60, from, 20*time.Minute))
	first, _, err := checker.Check(t.Context(), noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Time{noon, noon.Add(time.Minute)} {
		r, s, err := checker.Check(t.Context(), at)
		if err != nil || r.ID != first.ID || s.ID != first.ID {
			t.Errorf("at %s: report %s (%v), want %s", at, r.ID, err, first.ID)
		}
	}
	parquetIn(t, predictions, predictionlog.Dir(from)+"a-2.parquet", drift.Harmless.Rows(rng, 1, noon.Add(-time.Minute), time.Second))
	if r, _, err := checker.Check(t.Context(), noon.Add(time.Minute)); err != nil || r.ID == first.ID {
		t.Errorf("a photo more: report %s (%v), want a new one", r.ID, err)
	}
}

// TestCheck_embedsSampledPhotos: the page shows the photos that were kept, and
// goes without those that are gone or damaged.
func TestCheck_embedsSampledPhotos(t *testing.T) {
	checker, predictions := newChecker(t)
	var photo bytes.Buffer
	if err := png.Encode(&photo, image.NewGray(image.Rect(0, 0, 640, 480))); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"photos/good.png": photo.String(), "photos/damaged.jpg": "damaged"} {
		if _, err := predictions.Write(t.Context(), name, strings.NewReader(content), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
			t.Fatal(err)
		}
	}
	from := noon.Add(-30 * time.Minute)
	rows := drift.Severe.Rows(rand.New(rand.NewPCG(2, 2)), 60, from, 20*time.Minute)
	for i := range rows {
		rows[i].Photo = []string{"photos/good.png", "photos/damaged.jpg", "photos/gone.jpg"}[i%3]
	}
	parquetIn(t, predictions, predictionlog.Dir(from)+"a-1.parquet", rows)
	r, s, err := checker.Check(t.Context(), noon)
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, p := range r.Differ {
		if p.Photo == "photos/good.png" {
			want++
		}
	}
	page, _, err := blob.ReadAll(t.Context(), predictions, strings.TrimPrefix(s.HTML, "gs://predictions/"))
	if err != nil {
		t.Fatal(err)
	}
	if got := bytes.Count(page, []byte("data:image/jpeg;base64,")); got != want || want == 0 {
		t.Errorf("%d pictures on the page, want %d", got, want)
	}
}
