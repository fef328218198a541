package drift

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/litterloop/litterloop/shared/predictionlog"
)

// Input is what one check looks at.
type Input struct {
	Model, ModelVersion string
	From, To            time.Time // the window
	// Package are the predictions of the model on its validation split.
	Package []predictionlog.Row
	// Log are the rows of the prediction log from HistoryFrom(To) to To, or as
	// many as there are, in any order. Rows of other models are left out here.
	Log     []predictionlog.Row
	Created time.Time
}

// HistoryFrom is the time from which a check at to reads the log.
func (p Policy) HistoryFrom(to time.Time) time.Time {
	history := to.AddDate(0, 0, -p.Reference.LagDays-p.Reference.Days)
	if from := to.Add(-p.Window.Duration); from.Before(history) {
		return from
	}
	return history
}

// Analyse makes the report of one window. It reads no clock and draws from a
// fixed seed: the same photos give the same report.
func Analyse(p Policy, in Input) *Report {
	log := distinct(slices.DeleteFunc(slices.Clone(in.Log), func(r predictionlog.Row) bool {
		return r.ModelVersion != in.ModelVersion || r.Model != in.Model
	}))
	window := between(log, in.From, in.To)
	left := max(len(window)-p.Window.MaxPhotos, 0)
	window = window[left:]

	r := &Report{
		Schema: 1, ID: reportID(in.Model, in.ModelVersion, in.From, in.To, p.Hash()), Created: in.Created.UTC(),
		Model: in.Model, ModelVersion: in.ModelVersion, PolicyHash: p.Hash(), Content: contentHash(in, window),
		Window: Window{in.From.UTC(), in.To.UTC(), len(window), left},
	}
	if len(window) > 0 {
		r.Dataset = window[len(window)-1].Dataset
	}
	reference, spans := p.reference(r, log, distinct(in.Package), in.To, len(window))
	r.Verdict.Level = p.Level()
	switch {
	case len(window) < p.Window.MinPhotos:
		r.Verdict.Outcome = Insufficient
		r.Verdict.Reason = fmt.Sprintf("The window holds %d photos; %d are needed to tell.", len(window), p.Window.MinPhotos)
		return r
	case len(reference) < p.Reference.MinPhotos:
		r.Verdict.Outcome = Insufficient
		r.Verdict.Reason = fmt.Sprintf("The model's reference holds %d photos; %d are needed to tell.", len(reference), p.Reference.MinPhotos)
		return r
	}
	p.decide(r, reference, window, spans)
	r.Evidently = evidently(rows(reference), rows(window), p)
	r.Differ, r.ToLabel = choose(p, r, rows(reference), window)
	return r
}

// reference picks what the window is compared with, and says so in r. spans are
// the past windows when it is the history.
func (p Policy) reference(r *Report, log, pkg []predictionlog.Row, to time.Time, size int) ([]predictionlog.Row, []span) {
	end := to.AddDate(0, 0, -p.Reference.LagDays)
	if window := to.Add(-p.Window.Duration); window.Before(end) {
		end = window // a window longer than the lag must not be part of its own reference
	}
	history := between(log, end.AddDate(0, 0, -p.Reference.Days), end)
	if size >= p.Window.MinPhotos {
		if spans := cut(history, end, p.Window.Duration, size); len(spans) >= p.Reference.MinWindows {
			r.Reference = Reference{History, len(history), end.AddDate(0, 0, -p.Reference.Days).UTC(), end.UTC()}
			return history, spans
		}
	}
	r.Reference = Reference{Source: Package, Photos: len(pkg)}
	return pkg, nil
}

// decide fills in r's verdict and features.
func (p Policy) decide(r *Report, reference, window []predictionlog.Row, spans []span) {
	t := newTable(slices.Concat(reference, window), p.Features)
	a, b := make([]float64, t.photos), make([]float64, t.photos)
	for i := range a {
		a[i], b[i] = indicator(i < len(reference)), indicator(i >= len(reference))
	}
	observed := make([]float64, t.size())
	t.distances(observed, a, b)

	var harmless [][]float64
	if r.Reference.Source == History {
		harmless = past(t, reference, spans, len(window), time.Duration(p.Reference.LagDays)*24*time.Hour, p.Seed)
	} else {
		harmless = split(t, len(window), p.Splits, p.Seed)
	}
	r.judge(features{t.size(), t.name, t.resolution, func(i int) (Histogram, Histogram) {
		if i < len(t.columns) {
			return t.columns[i].histograms(rows(reference), rows(window))
		}
		return classHistograms(rows(reference), rows(window))
	}}, observed, harmless, len(window))
}

// features are what a verdict is about.
type features struct {
	size       int
	name       func(i int) string
	resolution func(i int) float64
	histograms func(i int) (reference, current Histogram)
}

// judge fills in the verdict on observed distances, by what harmless windows of
// as many photos reach.
func (r *Report) judge(about features, observed []float64, harmless [][]float64, photos int) {
	n := newNull(harmless, about.resolution)
	var l limit = newExcess(n.sums)
	if r.Reference.Source == History {
		l = newPrediction(n.sums)
	}
	v := &r.Verdict
	v.Score, v.Threshold, v.Windows, v.Harmless = n.sum(observed), l.threshold(v.Level), len(harmless), histogramOf(n.sums, 40)
	v.P = l.p(v.Score)
	for i, d := range observed {
		absent := !finite(d)
		d = orElse(d, n.typical[i])
		f := Feature{Name: about.name(i), Absent: absent, Distance: d, Typical: n.typical[i], Spread: n.spread[i], Score: d / n.spread[i], Excess: (d - n.typical[i]) / n.spread[i]}
		f.Reference, f.Current = about.histograms(i)
		r.Features = append(r.Features, f)
	}
	if v.Score > v.Threshold {
		v.Outcome = Drifted
		v.Reason = fmt.Sprintf("The photos changed. They are %.1f away from the reference; harmless windows of %d photos stay below %.1f. What moved most: %s.", v.Score, photos, v.Threshold, strings.Join(r.Moved(), ", "))
	} else {
		v.Outcome = Stable
		v.Reason = fmt.Sprintf("The photos look like the reference. They are %.1f away from it; harmless windows of %d photos stay below %.1f.", v.Score, photos, v.Threshold)
	}
}

// Moved names the features that lie more than 3 spreads above what is typical,
// largest first; if none does, the largest alone.
func (r *Report) Moved() []string {
	sorted := slices.SortedStableFunc(slices.Values(r.Features), func(a, b Feature) int { return cmp.Compare(b.Excess, a.Excess) })
	var names []string
	for i, f := range sorted {
		if f.Excess > 3 || i == 0 && r.Verdict.Outcome == Drifted {
			names = append(names, f.Name)
		}
	}
	return names
}

func between(sorted []predictionlog.Row, from, to time.Time) []predictionlog.Row {
	i, j := indexAt(sorted, from), indexAt(sorted, to)
	return sorted[i:max(i, j)]
}

// indexAt is the index of the first row at t or later, by time.
func indexAt(sorted []predictionlog.Row, t time.Time) int {
	i, _ := slices.BinarySearchFunc(sorted, t.UnixMicro(), func(r predictionlog.Row, us int64) int { return cmp.Compare(r.TimeMicros, us) })
	return i
}

// contentHash identifies the photos of a window.
func contentHash(in Input, window []predictionlog.Row) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\n", in.Model, in.ModelVersion)
	for _, r := range window {
		io.WriteString(h, r.ID)
		fmt.Fprintf(h, "\x00%d\n", r.TimeMicros)
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}
