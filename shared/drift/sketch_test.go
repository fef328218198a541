package drift

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/predictionlog"
)

var v1 = Version{"litter", "1"}

// sketchOf sums up rows of v1.
func sketchOf(rows []predictionlog.Row) *Sketch {
	s := newSketch()
	for _, r := range rows {
		s.Add(r)
	}
	return s
}

func TestGrids_areAsFineAsTheirFeatures(t *testing.T) {
	for _, d := range definitions {
		g, ok := grids[d.name]
		whole := d.name == "boxes" || d.name == "empty"
		if !ok || !whole && g.step > d.resolution/2 || g.points() < 2 {
			t.Errorf("%s: grid %+v of a resolution of %v", d.name, g, d.resolution)
		}
		if got := g.value(g.points() - 1); math.Abs(got-g.high) > 1e-9 {
			t.Errorf("%s: the last point is %v, want %v", d.name, got, g.high)
		}
	}
}

// TestSketch_distancesAreThoseOfTheRows: within one step of the grid, whatever the
// photos.
func TestSketch_distancesAreThoseOfTheRows(t *testing.T) {
	p := DefaultPolicy()
	w := p.watched()
	for trial := range 40 {
		rng := rand.New(rand.NewPCG(uint64(trial), 21))
		scene := traffic{dark: rng.Float64() / 2, blur: rng.Float64() / 2, lost: rng.Float64() / 2}
		a := Harmless.rows(rng, 5+rng.IntN(400), monday, time.Hour)
		b := scene.rows(rng, 5+rng.IntN(400), monday, time.Hour)
		table := newTable(slices.Concat(a, b), p.Features)
		ofA, ofB := make([]float64, len(a)+len(b)), make([]float64, len(a)+len(b))
		for i := range ofA {
			ofA[i], ofB[i] = indicator(i < len(a)), indicator(i >= len(a))
		}
		want, got := make([]float64, w.size()), make([]float64, w.size())
		table.distances(want, ofA, ofB)
		w.distances(got, sketchOf(a), sketchOf(b))
		for i := range want {
			bound := 1e-9
			if i < len(w.columns) {
				if g := grids[w.name(i)]; g.step < 1 {
					bound = g.step
				}
			}
			if math.Abs(got[i]-want[i]) > bound || math.IsNaN(got[i]) != math.IsNaN(want[i]) {
				t.Errorf("trial %d, %s: %v by sketches, %v by rows; at most %v apart", trial, w.name(i), got[i], want[i], bound)
			}
		}
	}
}

func TestSketches_mergeInAnyOrderAndSurviveTheirEncoding(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	rows := Severe.rows(rng, 300, monday, time.Hour)
	for i := range rows[:100] {
		rows[i].ModelVersion = "2"
	}
	all := Sketches{}
	for _, r := range rows {
		all.Add(r)
	}
	want, err := all.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		parts := [3]Sketches{{}, {}, {}}
		for _, r := range rows {
			parts[rng.IntN(3)].Add(r)
		}
		merged := Sketches{}
		for _, part := range parts {
			p, err := part.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			s, err := decodeSketches(p)
			if err != nil {
				t.Fatal(err)
			}
			merged.merge(s)
		}
		got, err := merged.MarshalBinary()
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("merged otherwise, the sketches differ: %v", err)
		}
	}
	less := sumOf(all[v1], all[Version{"litter", "2"}])
	less.merge(all[Version{"litter", "2"}], -1)
	if d := cmp.Diff(all[v1].counts, less.counts); d != "" || less.Photos != 200 {
		t.Errorf("what was added and taken away left a trace:\n%s", d)
	}
}

// large is a year's end of daily traffic, as rows and as sketches.
type large struct {
	rows    []predictionlog.Row
	history []period
	window  *Sketch
	in      Input
}

func year(rng *rand.Rand, perDay, days int, rhythm bool, today traffic) large {
	var l large
	day := func(d, n int, s traffic) []predictionlog.Row {
		at := monday.AddDate(0, 0, d)
		if rhythm {
			s.weekend = 1
			s.dark, s.lost = s.dark+0.03*math.Abs(rng.NormFloat64()), s.lost+0.02*math.Abs(rng.NormFloat64())
			if w := at.Weekday(); w == time.Saturday || w == time.Sunday {
				n = n * 3 / 5
			}
		}
		return s.rows(rng, n, at, 24*time.Hour)
	}
	for d := range days {
		rows := day(d, perDay, Harmless)
		l.rows = append(l.rows, rows...)
		if d < days-7 {
			at := monday.AddDate(0, 0, d)
			l.history = append(l.history, period{at, at.AddDate(0, 0, 1), sketchOf(rows)})
		}
	}
	from := monday.AddDate(0, 0, days)
	rows := day(days, perDay, today)
	l.window = sketchOf(rows)
	l.in = Input{Model: "litter", ModelVersion: "1", From: from, To: from.AddDate(0, 0, 1), Log: append(l.rows, rows...), Created: from}
	return l
}

// TestAnalyseSketches_verdictsAreThoseOfTheRows: the scenarios that rows are tested
// on, and simulated days with and without a weekly rhythm.
func TestAnalyseSketches_verdictsAreThoseOfTheRows(t *testing.T) {
	p := DefaultPolicy()
	worst := 0.0
	for _, rhythm := range []bool{false, true} {
		for name, scene := range map[string]traffic{"harmless": Harmless, "slight": slight, "moderate": Moderate, "severe": Severe} {
			for trial := range 2 {
				t.Run(fmt.Sprintf("%s/rhythm=%v/%d", name, rhythm, trial), func(t *testing.T) {
					days := 63
					if rhythm && trial == 1 {
						days = 61 // a Saturday: fewer photos than most past windows
					}
					l := year(rand.New(rand.NewPCG(uint64(trial), 77)), 300, days, rhythm, scene)
					rows := Analyse(p, l.in)
					sketches, ok := analyseSketches(p, l.in, scaled{from: l.in.From, to: l.in.To, window: l.window, history: l.history})
					if !ok {
						t.Fatal("there is enough history")
					}
					if rows.Verdict.Outcome != sketches.Verdict.Outcome {
						t.Errorf("by rows %s (%.1f, threshold %.1f), by sketches %s (%.1f, threshold %.1f)",
							rows.Verdict.Outcome, rows.Verdict.Score, rows.Verdict.Threshold, sketches.Verdict.Outcome, sketches.Verdict.Score, sketches.Verdict.Threshold)
					}
					if !rhythm { // windows of one size: nothing is drawn on either side
						for i, f := range rows.Features {
							apart := math.Abs(f.Distance-sketches.Features[i].Distance) / f.Spread
							worst = max(worst, apart)
							if apart > 0.5 {
								t.Errorf("%s: distance %v by rows, %v by sketches: %.2f spreads apart", f.Name, f.Distance, sketches.Features[i].Distance, apart)
							}
						}
					}
				})
			}
		}
	}
	t.Logf("features' distances are at most %.3f spreads apart", worst)
}

func FuzzDecodeSketches(f *testing.F) {
	s := Sketches{}
	for _, r := range Severe.rows(rand.New(rand.NewPCG(1, 1)), 20, monday, time.Hour) {
		s.Add(r)
	}
	p, err := s.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p)
	f.Add(p[:len(p)/2])
	f.Add([]byte{format})
	f.Fuzz(func(t *testing.T, p []byte) {
		s, err := decodeSketches(p)
		if err != nil {
			return
		}
		again, err := s.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeSketches(again); err != nil {
			t.Errorf("what was decoded does not survive: %v", err)
		}
	})
}
