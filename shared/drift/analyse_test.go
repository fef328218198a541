package drift

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/predictionlog"
)

var monday = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)

// oneDay is the input of a check of a day's photos against a package of 40.
func oneDay(rng *rand.Rand, s traffic, photos int) Input {
	return Input{
		Model: "litter", ModelVersion: "1", From: monday, To: monday.AddDate(0, 0, 1), Created: monday.AddDate(0, 0, 1),
		Package: Harmless.rows(rng, 40, monday.AddDate(0, -1, 0), time.Hour),
		Log:     s.rows(rng, photos, monday, 24*time.Hour),
	}
}

func TestAnalyse_orderDuplicatesAndStrangersAreIrrelevant(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 1))
	in := oneDay(rng, Moderate, 50)
	want := Analyse(DefaultPolicy(), in)
	for name, change := range map[string]func(*Policy, *Input){
		"rows in another order": func(_ *Policy, in *Input) {
			rng.Shuffle(len(in.Log), func(i, j int) { in.Log[i], in.Log[j] = in.Log[j], in.Log[i] })
			rng.Shuffle(len(in.Package), func(i, j int) { in.Package[i], in.Package[j] = in.Package[j], in.Package[i] })
		},
		"rows twice": func(_ *Policy, in *Input) {
			in.Log = append(in.Log, in.Log[:20]...)
			in.Package = append(in.Package, in.Package[5:9]...)
		},
		"features in another order": func(p *Policy, _ *Input) { slices.Reverse(p.Features) },
		"rows of other models and times": func(_ *Policy, in *Input) {
			for i, r := range Severe.rows(rng, 30, monday, time.Hour) {
				switch i % 4 {
				case 0:
					r.ModelVersion = "2"
				case 1:
					r.Model = "other"
				case 2:
					r.TimeMicros = in.To.UnixMicro()
				default:
					r.TimeMicros = in.From.UnixMicro() - 1
				}
				in.Log = append(in.Log, r)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, changed := DefaultPolicy(), in
			p.Features, changed.Log, changed.Package = slices.Clone(p.Features), slices.Clone(in.Log), slices.Clone(in.Package)
			change(&p, &changed)
			if diff := cmp.Diff(want, Analyse(p, changed)); diff != "" {
				t.Errorf("another report (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAnalyse_firstCheck is what the demo rests on: against some 40 photos,
// windows of 30 to 100 of the same kind stay quiet, and darker, blurred photos of
// other litter are found at the first check.
func TestAnalyse_firstCheck(t *testing.T) {
	p := DefaultPolicy()
	p.Splits = 1000
	for _, photos := range []int{30, 100} {
		alarms := 0
		for trial := range 12 {
			rng := rand.New(rand.NewPCG(uint64(trial), 5))
			if r := Analyse(p, oneDay(rng, Harmless, photos)); r.Verdict.Outcome != Stable {
				alarms++
				t.Logf("%d photos, trial %d: %s", photos, trial, r.Verdict.Reason)
			}
			if r := Analyse(p, oneDay(rng, Severe, photos)); r.Verdict.Outcome != Drifted {
				t.Errorf("%d photos, trial %d: severe drift is %s: %s", photos, trial, r.Verdict.Outcome, r.Verdict.Reason)
			}
		}
		if alarms > 1 {
			t.Errorf("%d of 12 harmless windows of %d photos alarm", alarms, photos)
		}
	}
}

// TestAnalyse_mixedWindow: half a window of a new kind is drift too.
func TestAnalyse_mixedWindow(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	in := oneDay(rng, Harmless, 30)
	in.Log = append(in.Log, Severe.rows(rng, 30, monday, 24*time.Hour)...)
	if r := Analyse(DefaultPolicy(), in); r.Verdict.Outcome != Drifted {
		t.Errorf("half a window of new photos is %s: %s", r.Verdict.Outcome, r.Verdict.Reason)
	}
}

func TestAnalyse_awkwardRows(t *testing.T) {
	p := DefaultPolicy()
	p.Splits = 1000
	rng := rand.New(rand.NewPCG(6, 6))
	nan := float32(math.NaN())
	for name, change := range map[string]func(*predictionlog.Row){
		"no boxes": func(r *predictionlog.Row) { r.Boxes = nil },
		"nothing known": func(r *predictionlog.Row) {
			*r = predictionlog.Row{ID: r.ID, TimeMicros: r.TimeMicros, Model: r.Model, ModelVersion: r.ModelVersion}
		},
		"not numbers": func(r *predictionlog.Row) {
			r.Brightness, r.Contrast, r.Sharpness = nan, nan, float32(math.Inf(1))
			r.Boxes = []predictionlog.Box{{Class: "can", Confidence: nan, X1: nan}}
		},
		"a box without extent": func(r *predictionlog.Row) { r.Boxes = []predictionlog.Box{{Class: "can", Confidence: 0.5}} },
	} {
		t.Run(name, func(t *testing.T) {
			for _, side := range []string{"window", "reference", "both"} {
				in := oneDay(rng, Harmless, 40)
				if side != "reference" {
					for i := range in.Log {
						change(&in.Log[i])
					}
				}
				if side != "window" {
					for i := range in.Package {
						change(&in.Package[i])
					}
				}
				r := Analyse(p, in)
				if want := map[bool]Outcome{true: Stable, false: Drifted}[side == "both"]; r.Verdict.Outcome != want {
					t.Errorf("in the %s: %s, want %s: %s", side, r.Verdict.Outcome, want, r.Verdict.Reason)
				}
				if v := r.Verdict; !finite(v.Score) || !finite(v.Threshold) || !finite(v.P) {
					t.Errorf("in the %s: verdict %+v", side, v)
				}
				if _, err := r.HTML(nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestAnalyse_history(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	p := DefaultPolicy()
	to := monday.AddDate(0, 0, 70)
	log := Harmless.rows(rng, 70*40, monday, 70*24*time.Hour)
	in := Input{Model: "litter", ModelVersion: "1", From: to.AddDate(0, 0, -1), To: to, Log: log, Package: Severe.rows(rng, 40, monday, time.Hour)}
	r := Analyse(p, in)
	if r.Reference.Source != History || !r.Reference.To.Equal(to.AddDate(0, 0, -7)) || !r.Reference.From.Equal(to.AddDate(0, 0, -63)) {
		t.Errorf("reference %+v, want the 56 days that end a week before", r.Reference)
	}
	if r.Verdict.Outcome != Stable {
		t.Errorf("a day like all days is %s: %s", r.Verdict.Outcome, r.Verdict.Reason)
	}
	in.Log = append(slices.DeleteFunc(slices.Clone(log), func(r predictionlog.Row) bool { return r.TimeMicros >= in.From.UnixMicro() }), Moderate.rows(rng, 40, in.From, 24*time.Hour)...)
	if r := Analyse(p, in); r.Verdict.Outcome != Drifted {
		t.Errorf("a darker day is %s: %s", r.Verdict.Outcome, r.Verdict.Reason)
	}
	in.Log = slices.DeleteFunc(slices.Clone(log), func(r predictionlog.Row) bool { return r.TimeMicros < to.AddDate(0, 0, -15).UnixMicro() })
	if r := Analyse(p, in); r.Reference.Source != Package {
		t.Errorf("a week of history is used as the reference: %+v", r.Reference)
	}
}

func TestAnalyse_maxPhotosTakesTheNewest(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	p := DefaultPolicy()
	p.Window.MaxPhotos = 50
	in := oneDay(rng, Harmless, 200)
	in.Log = append(in.Log, Severe.rows(rng, 50, monday.AddDate(0, 0, 1).Add(-time.Minute), time.Minute)...)
	r := Analyse(p, in)
	if r.Window.Photos != 50 || r.Window.Left != 200 || r.Verdict.Outcome != Drifted {
		t.Errorf("window %+v is %s, want the newest 50 photos, drift", r.Window, r.Verdict.Outcome)
	}
}

func TestSelectForLabelling_spreadsOut(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 10))
	in := oneDay(rng, Severe, 80)
	p := DefaultPolicy()
	p.ToLabel = 50
	r := Analyse(p, in)
	if len(r.ToLabel) != 50 {
		t.Fatalf("%d photos to label, want 50", len(r.ToLabel))
	}
	seen := map[string]bool{}
	for _, photo := range r.ToLabel {
		if seen[photo.ID] {
			t.Errorf("photo %s stands twice", photo.ID)
		}
		seen[photo.ID] = true
	}
	for i := range 20 {
		in.Log[i].Photo = "photos/kept.jpg"
	}
	for _, photo := range Analyse(p, in).ToLabel {
		if photo.Photo == "" {
			t.Errorf("photo %s is to be labelled and was not kept", photo.ID)
		}
	}
	for i := range 20 {
		in.Log[i].Photo = ""
	}
	twins := slices.Repeat(in.Log[:1], 20) // twenty of one photo and one other
	for i := range twins {
		twins[i].ID += string(rune('a' + i))
	}
	in.Log = append(twins, in.Log[1:20]...)
	p.ToLabel, p.Window.MinPhotos = 15, 10
	same := 0
	for _, photo := range Analyse(p, in).ToLabel {
		if len(photo.ID) == 17 {
			same++
		}
	}
	if same != 1 {
		t.Errorf("%d of 15 photos to label are the same picture", same)
	}
}

func TestPolicy_validateReportsEveryFault(t *testing.T) {
	if err := DefaultPolicy().Validate(); err != nil {
		t.Error("default policy: ", err)
	}
	p := Policy{Features: []string{"boxes", "boxes", "colour"}, FalseAlarmsPerYear: -1}
	err := p.Validate()
	for _, want := range []string{`"colour" is unknown`, "stands twice", "check_interval", "false_alarms_per_year", "window.duration", "window.min_photos", "reference.days", "reference.min_windows", "splits", "to_label", "evidently.drift_share"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no fault %q in: %v", want, err)
		}
	}
}
