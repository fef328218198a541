// Package drift answers one question on a schedule: do the photos that the
// detector answers, and its answers, still look like those it was judged on?
//
// A report holds two things. The verdict decides: the distance between the
// window and the reference, summed over features, against what windows of the
// same size reach by chance (see Verdict). Beside it stand the tests and
// thresholds of Evidently's data drift preset, because people know them; they
// inform and decide nothing.
//
// Analyse is pure and deterministic: the same rows in any order, with or
// without duplicates, give the same report.
package drift

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/litterloop/litterloop/shared/predictionlog"
)

// Outcome of a check.
type Outcome string

// The outcomes of a check.
const (
	Stable       Outcome = "stable"       // the window looks like the reference
	Drifted      Outcome = "drift"        // it does not
	Insufficient Outcome = "insufficient" // too few photos, on either side, to tell
)

// Window is a span of the prediction log, From inclusive, To exclusive, and the
// number of distinct photos of the serving model version in it.
type Window struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Photos int       `json:"photos"`
	// Left is how many of the span's photos were not looked at, because the
	// policy bounds a window.
	Left int `json:"left,omitempty"`
}

// Basis says what a verdict was made of; "" is the photos' own rows.
type Basis string

// BySketches is the basis of a check of more photos than are read.
const BySketches Basis = "sketches"

// Log says whether the window's part of the prediction log is whole.
type Log struct {
	Files int `json:"files"`
	// Missing are files that were written and are not there.
	Missing []predictionlog.Gap `json:"missing,omitempty"`
	// Dropped counts photos that the window's instances answered, since they began,
	// and could not log.
	Dropped uint64 `json:"dropped,omitempty"`
}

// Whole tells that nothing is known to be missing.
func (l Log) Whole() bool { return len(l.Missing) == 0 && l.Dropped == 0 }

// missing counts the missing files.
func (l Log) missing() (n int) {
	for _, g := range l.Missing {
		n += g.To - g.From + 1
	}
	return n
}

// Says tells people what is missing; "" when nothing is.
func (l Log) Says() string {
	var says []string
	if n := l.missing(); n > 0 {
		says = append(says, fmt.Sprintf("%d files of the log are missing (the first of instance %s): lost, or still in its spool.", n, l.Missing[0].Instance))
	}
	if l.Dropped > 0 {
		says = append(says, fmt.Sprintf("%d photos were answered and could not be logged.", l.Dropped))
	}
	return strings.Join(says, " ")
}

// Source says where a reference comes from.
type Source string

// The sources of a reference.
const (
	Package Source = "package" // the model package's predictions on its validation split
	History Source = "history" // the serving version's own log, a lag before the window
)

// Reference is what the window is compared with.
type Reference struct {
	Source Source    `json:"source"`
	Photos int       `json:"photos"`
	From   time.Time `json:"from,omitzero"` // of History
	To     time.Time `json:"to,omitzero"`
}

// Report is one check of one window; reports/ID/report.json.
type Report struct {
	Schema       int       `json:"schema"`
	ID           string    `json:"id"`
	Created      time.Time `json:"created"`
	Model        string    `json:"model"`
	ModelVersion string    `json:"model_version"`
	Dataset      string    `json:"dataset,omitempty"` // the version the model was trained on
	PolicyHash   string    `json:"policy_hash"`
	Basis        Basis     `json:"basis,omitempty"`
	Log          Log       `json:"log"`
	Content      string    `json:"content"` // hash of the window's photos: equal content, equal report
	Window       Window    `json:"window"`
	Reference    Reference `json:"reference"`
	Verdict      Verdict   `json:"verdict"`
	Features     []Feature `json:"features,omitempty"`
	Evidently    Evidently `json:"evidently"`
	// Differ are the window's photos least like the reference, most different
	// first; ToLabel those most worth labelling (see selectForLabelling).
	Differ  []Photo `json:"differ,omitempty"`
	ToLabel []Photo `json:"to_label,omitempty"`
}

// PerAlarm is how many harmless checks pass between two false alarms.
func (r *Report) PerAlarm() float64 { return 1 / r.Verdict.Level }

// Feature is one feature's part in the verdict.
type Feature struct {
	Name string `json:"name"`
	// Absent: one side has no value at all; Distance is then Typical, and says
	// nothing.
	Absent   bool    `json:"absent,omitempty"`
	Distance float64 `json:"distance"` // Wasserstein-1 in the feature's unit; Jensen-Shannon for classes
	Typical  float64 `json:"typical"`  // mean distance of harmless windows of this size
	Spread   float64 `json:"spread"`   // their standard deviation, what Distance is divided by
	Score    float64 `json:"score"`    // Distance / Spread: its share of Verdict.Score
	// Excess is how many spreads Distance lies above Typical: what people should
	// read to see which features moved.
	Excess    float64   `json:"excess"`
	Reference Histogram `json:"reference"`
	Current   Histogram `json:"current"`
}

// Photo is one photo of a window and why it was chosen.
type Photo struct {
	ID     string   `json:"id"`
	Photo  string   `json:"photo,omitempty"` // object of the sampled photo in the predictions bucket
	Score  float64  `json:"score"`
	Boxes  int      `json:"boxes"`
	Why    []string `json:"why,omitempty"`
	Width  int      `json:"width"`
	Height int      `json:"height"`
}

// Summary is reports/latest.json: what others need of the newest report.
type Summary struct {
	ID           string    `json:"id"`
	Created      time.Time `json:"created"`
	Model        string    `json:"model"`
	ModelVersion string    `json:"model_version"`
	Content      string    `json:"content"`
	Window       Window    `json:"window"`
	Reference    Reference `json:"reference"`
	Verdict      Verdict   `json:"verdict"`
	Log          Log       `json:"log"`
	Share        float64   `json:"share"`   // of columns drifted by Evidently's tests
	Columns      []string  `json:"columns"` // those, in feature order
	Moved        []string  `json:"moved"`   // features that carry the verdict, largest excess first
	Report       string    `json:"report"`  // gs:// addresses
	HTML         string    `json:"html"`
	ToLabel      string    `json:"to_label,omitempty"`
	ToLabelCount int       `json:"to_label_count,omitempty"`
}

// reportID identifies a check: the same window of the same model version under
// the same policy is one report, however often it is asked for.
func reportID(model, version string, from, to time.Time, policy string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%d\x00%s", model, version, from.UnixMicro(), to.UnixMicro(), policy))
	return to.UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(sum[:6])
}
