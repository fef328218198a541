package drift

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/litterloop/litterloop/shared/predictionlog"
)

// split draws harmless windows where there is no history: it throws the model's
// reference and the window together and splits them at random, again and again,
// into a reference and a window of their own sizes. If the window is harmless
// the real split is one of these, so the chance of a false alarm is what the
// level says however small the reference is (a permutation test). Windows drawn
// from the reference alone know nothing beyond its 40 photos and alarm two to
// four times as often as they should.
func split(t *table, size, draws int, seed uint64) [][]float64 {
	rng := rand.New(rand.NewPCG(seed, uint64(t.photos)<<32|uint64(size)))
	order := rng.Perm(t.photos)
	a, b := make([]float64, t.photos), make([]float64, t.photos)
	for i := range a {
		a[i] = 1
	}
	out := make([][]float64, draws)
	for i := range out {
		for j := range size { // a partial shuffle: the first size photos are the window
			k := j + rng.IntN(t.photos-j)
			order[j], order[k] = order[k], order[j]
			a[order[j]], b[order[j]] = 0, 1
		}
		out[i] = make([]float64, t.size())
		t.distances(out[i], a, b)
		for _, p := range order[:size] {
			a[p], b[p] = 1, 0
		}
	}
	return out
}

// span is a past window: photos [from, to) of the reference, by time.
type span struct{ from, to int }

// cut divides a history, sorted by time, backwards from its end into consecutive
// windows that begin and end on the checked window's own clock: whole durations
// before end, as many as it takes to hold size photos. A daily check thus sees
// past days whole. Windows that begin wherever the last one had enough photos
// wander over midnight and mix two days; days then seem to differ less than
// they do, and the odd day alarms. What is left at the beginning is no window.
func cut(history []predictionlog.Row, end time.Time, duration time.Duration, size int) []span {
	var spans []span
	for to := len(history); to >= size; {
		end = end.Add(-duration)
		from := indexAt(history, end)
		if to-from >= size {
			spans = append(spans, span{from, to})
			to = from
		}
		if from == 0 {
			break
		}
	}
	slices.Reverse(spans)
	return spans
}

// past compares each past window with the rest of the history, photos [0, n) of
// t, as the current window is compared: at its size (photos drawn without
// replacement), and with nothing nearer than the lag. Where so much would be
// left out that less than half of the history stays, the lag is given up.
func past(t *table, history []predictionlog.Row, spans []span, size int, lag time.Duration, seed uint64) [][]float64 {
	rng := rand.New(rand.NewPCG(seed, uint64(len(history))<<32|uint64(size)))
	a, b := make([]float64, t.photos), make([]float64, t.photos)
	out := make([][]float64, len(spans))
	for i, s := range spans {
		clear(a)
		clear(b)
		from, to := history[s.from].TimeMicros-lag.Microseconds(), history[s.to-1].TimeMicros+lag.Microseconds()
		rest := 0
		for j, r := range history {
			if r.TimeMicros < from || r.TimeMicros > to {
				a[j] = 1
				rest++
			}
		}
		if rest < len(history)/2 {
			for j := range history {
				a[j] = indicator(j < s.from || j >= s.to)
			}
		}
		for _, j := range rng.Perm(s.to - s.from)[:size] {
			b[s.from+j] = 1
		}
		out[i] = make([]float64, t.size())
		t.distances(out[i], a, b)
	}
	return out
}
