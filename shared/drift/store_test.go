package drift

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/litterloop/litterloop/shared/blob/blobmem"
)

func TestStore_latestIsTheNewestWindow(t *testing.T) {
	s := NewStore(blobmem.New("predictions"))
	older, newer := &Report{ID: "a", Window: Window{To: monday}}, &Report{ID: "b", Window: Window{To: monday.Add(time.Hour)}}
	for _, r := range []*Report{newer, older, newer} {
		if _, err := s.SetLatest(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if l, err := s.Latest(t.Context()); err != nil || l.ID != "b" {
		t.Errorf("newest is %q (%v), want b", l.ID, err)
	}
}

func TestStore_theFirstReportOfAnIDStays(t *testing.T) {
	s := NewStore(blobmem.New("predictions"))
	if _, err := s.Save(t.Context(), &Report{ID: "a", Dataset: "first"}, nil); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Save(t.Context(), &Report{ID: "a", Dataset: "second"}, nil); err != nil || r.Dataset != "first" {
		t.Errorf("kept %+v (%v), want the first", r, err)
	}
}

func TestCollector(t *testing.T) {
	s := NewStore(blobmem.New("predictions"))
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(s.Collector())
	if families, err := registry.Gather(); err != nil || len(families) != 0 {
		t.Errorf("before the first report: %v (%v), want nothing", families, err)
	}
	r := &Report{ID: "a", Created: monday, Model: "litter", ModelVersion: "3", Window: Window{Photos: 60}, Verdict: Verdict{Outcome: Drifted, Score: 97.5, Threshold: 46}}
	if _, err := s.SetLatest(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		got[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
	}
	want := map[string]float64{
		"litterloop_drift": 1, "litterloop_drift_score": 97.5, "litterloop_drift_threshold": 46, "litterloop_drift_window_photos": 60,
		"litterloop_drift_columns_share": 0, "litterloop_drift_log_dropped_photos": 0, "litterloop_drift_log_missing_files": 0,
		"litterloop_drift_report_timestamp_seconds": float64(monday.Unix()),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// TestHTML_hostileNames: class names and ids come from people's files.
func TestHTML_hostileNames(t *testing.T) {
	const script = `<script>alert("1")</script>`
	in := oneDay(rand.New(rand.NewPCG(1, 1)), Severe, 40)
	for i := range in.Log {
		in.Log[i].ID = script + in.Log[i].ID
		in.Log[i].Photo = `"><img src=x>`
		for b := range in.Log[i].Boxes {
			in.Log[i].Boxes[b].Class = script
		}
	}
	p, err := Analyse(DefaultPolicy(), in).HTML(func(string) []byte { return []byte("not an image") })
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script", "<img src=x", "http://", "https://"} {
		if bytes.Contains(p, []byte(bad)) {
			t.Errorf("page holds %q", bad)
		}
	}
}
