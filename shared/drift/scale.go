package drift

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/litterloop/litterloop/shared/predictionlog"
)

// period is a past window as a sketch.
type period struct {
	from, to time.Time
	sketch   *Sketch
}

// scaled is what a check looks at where there are too many photos to read.
type scaled struct {
	from, to time.Time
	window   *Sketch
	files    []predictionlog.File // of the window, by hour
	history  []period             // consecutive, by time
	newest   []predictionlog.Row  // of the window, for people to look at
}

// spans puts past windows together, backwards, so that each holds size photos, as
// cut does with rows.
func spans(history []period, size int64) []period {
	var out []period
	var sum *Sketch
	var to time.Time
	for _, h := range slices.Backward(history) {
		if sum == nil {
			sum, to = newSketch(), h.to
		}
		sum.merge(h.sketch, 1)
		if sum.Photos >= size && sum.Photos > 0 {
			out = append(out, period{h.from, to, sum})
			sum = nil
		}
	}
	slices.Reverse(out)
	return out
}

// analyseSketches makes the report of a window by its sketch, against the
// history. ok is false while the history holds too few windows.
//
// It follows Analyse in all but this: every photo of the window counts, where
// Analyse takes the newest MaxPhotos; past windows are whole multiples of the
// window's duration since 1970 rather than cut on the checked window's clock;
// and where the checked window holds fewer photos than a past one, and than
// MaxPhotos, so many are drawn of the past one's values, of each feature by
// itself. With MaxPhotos photos or more, chance moves no feature by as much as
// its resolution, and nothing is drawn.
func analyseSketches(p Policy, in Input, s scaled) (_ *Report, ok bool) {
	size := min(s.window.Photos, int64(p.Window.MaxPhotos))
	past := spans(s.history, size)
	if len(past) < p.Reference.MinWindows || s.window.Photos < int64(p.Window.MinPhotos) {
		return nil, false
	}
	all := newSketch()
	for _, h := range s.history {
		all.merge(h.sketch, 1)
	}
	r := &Report{
		Schema: 1, ID: reportID(in.Model, in.ModelVersion, s.from, s.to, p.Hash()), Created: in.Created.UTC(), Basis: BySketches,
		Model: in.Model, ModelVersion: in.ModelVersion, Dataset: s.window.Dataset, PolicyHash: p.Hash(),
		Window:    Window{From: s.from.UTC(), To: s.to.UTC(), Photos: int(s.window.Photos)},
		Reference: Reference{History, int(all.Photos), s.history[0].from.UTC(), s.history[len(s.history)-1].to.UTC()},
	}
	r.Content = sketchHash(Version{in.Model, in.ModelVersion}, s.window)
	r.Verdict.Level = p.Level()
	w := p.watched()
	observed := make([]float64, w.size())
	w.distances(observed, all, s.window)
	harmless := w.harmless(s.history, past, all, size, p)
	about := features{w.size(), w.name, w.resolution, func(i int) (Histogram, Histogram) {
		if i < len(w.columns) {
			return definitions[w.columns[i]].histograms(all, s.window)
		}
		return classHistograms(all, s.window)
	}}
	r.judge(about, observed, harmless, int(s.window.Photos))
	r.Evidently = evidently(all, s.window, p)
	r.Differ, r.ToLabel = choose(p, r, all, s.newest)
	return r, true
}

// harmless compares each past window with the history more than the lag off it,
// or, where that is less than half, with all the rest.
func (w watched) harmless(history, past []period, all *Sketch, size int64, p Policy) [][]float64 {
	lag := time.Duration(p.Reference.LagDays) * 24 * time.Hour
	rng := rand.New(rand.NewPCG(p.Seed, uint64(len(history))<<32|uint64(size)))
	out := make([][]float64, len(past))
	for i, s := range past {
		rest := newSketch()
		rest.merge(all, 1)
		for _, h := range history {
			if h.to.After(s.from.Add(-lag)) && h.from.Before(s.to.Add(lag)) {
				rest.merge(h.sketch, -1)
			}
		}
		if rest.Photos < all.Photos/2 {
			rest = newSketch()
			rest.merge(all, 1)
			rest.merge(s.sketch, -1)
		}
		out[i] = make([]float64, w.size())
		w.distances(out[i], rest, sample(rng, s.sketch, size, int64(p.Window.MaxPhotos)))
	}
	return out
}

// sample returns a sketch of size photos of s; s itself where it holds no more, or
// where size is many, so that the difference would not show.
func sample(rng *rand.Rand, s *Sketch, size, many int64) *Sketch {
	if s.Photos <= size || size >= many {
		return s
	}
	share := float64(size) / float64(s.Photos)
	d := newSketch()
	d.Photos = size
	for i, counts := range s.counts {
		left, want := int64(total(counts)), int64(total(counts)*share+0.5)
		for j, n := range counts {
			d.counts[i][j] = take(rng, n, left, want)
			left, want = left-n, want-d.counts[i][j]
		}
	}
	classes := slices.Sorted(maps.Keys(s.classes))
	var left int64
	for _, c := range classes {
		left += s.classes[c]
	}
	want := int64(float64(left)*share + 0.5)
	for _, c := range classes {
		d.classes[c] = take(rng, s.classes[c], left, want)
		left, want = left-s.classes[c], want-d.classes[c]
	}
	return d
}

// take is how many of n come when want are drawn of left, of which the n are a
// part: hypergeometric, as a binomial number whose spread is that of drawing
// without putting back.
func take(rng *rand.Rand, n, left, want int64) int64 {
	if n == 0 || want == 0 {
		return 0
	}
	if n == left || want >= left {
		return min(n, want)
	}
	share := float64(n) / float64(left)
	k := int64(distuv.Binomial{N: float64(want), P: share, Src: rng}.Rand())
	return max(min(k, n, want), want-(left-n), 0)
}

func sketchHash(v Version, s *Sketch) string {
	p, err := Sketches{v: s}.MarshalBinary()
	if err != nil {
		panic(err) // writing to memory
	}
	sum := sha256.Sum256(p)
	return hex.EncodeToString(sum[:12])
}
