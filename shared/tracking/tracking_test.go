package tracking_test

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/tracking"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newRun(t *testing.T) (*tracking.Store, tracking.Run) {
	t.Helper()
	s := tracking.New(blobmem.New("models"), func() time.Time { return noon })
	e, err := s.EnsureExperiment(t.Context(), "litter")
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.CreateRun(t.Context(), e.ID, "0123456789abcdef0123456789abcdef", "litter-01", map[string]string{"code": "v1"})
	if err != nil {
		t.Fatal(err)
	}
	return s, r
}

func TestEnsureExperiment_sameNameSameExperiment(t *testing.T) {
	s, _ := newRun(t)
	first, err := s.EnsureExperiment(t.Context(), "litter")
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.EnsureExperiment(t.Context(), "litter")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, again); diff != "" {
		t.Error(diff)
	}
	if d, err := s.EnsureExperiment(t.Context(), "Default"); err != nil || d.ID != "0" {
		t.Errorf("Default is experiment %q, %v; MLflow's clients expect 0", d.ID, err)
	}
	if _, err := s.Experiment(t.Context(), "../runs"); err == nil || errors.Is(err, errs.NotFound) {
		t.Errorf("an id that leaves its folder: %v", err)
	}
}

func TestRun_lifeOfARun(t *testing.T) {
	s, r := newRun(t)
	again, err := s.CreateRun(t.Context(), r.Experiment, r.ID, "another name", nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, again); diff != "" {
		t.Errorf("creating a run again (-first +again):\n%s", diff)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.LogParams(t.Context(), r.ID, map[string]string{"lr": "0.1"}))
	must(s.LogParams(t.Context(), r.ID, map[string]string{"lr": "0.1", "steps": "900"}))
	err = s.LogParams(t.Context(), r.ID, map[string]string{"lr": "0.2", "width": "8"})
	if code, _ := errs.Reason(err); code != tracking.CodeParamChanged {
		t.Errorf("a parameter changed: %v", err)
	}
	must(s.SetTags(t.Context(), r.ID, map[string]string{"code": "v2"}))
	must(s.SetStatus(t.Context(), r.ID, tracking.Killed))
	must(s.SetStatus(t.Context(), r.ID, tracking.Running))
	must(s.SetStatus(t.Context(), r.ID, tracking.Finished))
	got, err := s.Run(t.Context(), r.ID)
	must(err)
	want := r
	want.Status, want.End = tracking.Finished, noon.UnixMilli()
	want.Params = map[string]string{"lr": "0.1", "steps": "900"}
	want.Tags = map[string]string{"code": "v2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := s.SetStatus(t.Context(), "fedcba98", tracking.Failed); !errors.Is(err, errs.NotFound) {
		t.Errorf("a run that is not there: %v", err)
	}
}

func TestLogMetrics_historyIsInOrderAndOnce(t *testing.T) {
	s, r := newRun(t)
	log := func(segment string, points ...tracking.Metric) {
		t.Helper()
		if err := s.LogMetrics(t.Context(), r.ID, segment, points); err != nil {
			t.Fatal(err)
		}
	}
	log("step-20", tracking.Metric{Key: "loss", Value: 2, Step: 20, Time: 5}, tracking.Metric{Key: "mAP50-95", Value: math.NaN(), Step: 20})
	log("step-10", tracking.Metric{Key: "loss", Value: 3, Step: 10, Time: 9})
	log("step-20", tracking.Metric{Key: "loss", Value: 7, Step: 20, Time: 6}) // the same segment again: kept once
	log("", tracking.Metric{Key: "loss", Value: math.Inf(1), Step: 30})
	log("", tracking.Metric{Key: "loss", Value: 3, Step: 10, Time: 9}) // an equal point
	got, err := s.Metrics(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := []tracking.Metric{
		{Key: "loss", Value: 3, Step: 10, Time: 9},
		{Key: "loss", Value: 2, Step: 20, Time: 5},
		{Key: "loss", Value: math.MaxFloat64, Step: 30},
		{Key: "mAP50-95", Value: math.NaN(), Step: 20},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateNaNs()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if latest := tracking.Latest(got)["loss"]; latest.Step != 30 {
		t.Errorf("latest loss %+v", latest)
	}
}

func TestLogMetrics_refusesKeysThatMLflowRefuses(t *testing.T) {
	s, r := newRun(t)
	for _, key := range []string{"", "/a", "a/", "a//b", "a/../b", "..", "...", ".", "mAP50(B)", "a\nb"} {
		if err := s.LogMetrics(t.Context(), r.ID, "", []tracking.Metric{{Key: key}}); err == nil {
			t.Errorf("key %q was taken", key)
		}
	}
	for _, key := range []string{"a", "train/box_loss", "metrics/mAP50-95", "a.b: c", "a/..b"} {
		if err := s.LogMetrics(t.Context(), r.ID, "", []tracking.Metric{{Key: key}}); err != nil {
			t.Errorf("key %q: %v", key, err)
		}
	}
}

func TestStore_manyWritersLoseNothing(t *testing.T) {
	s, r := newRun(t)
	const writers, each = 8, 20
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				key := fmt.Sprintf("p%d.%d", w, i)
				if err := s.LogParams(t.Context(), r.ID, map[string]string{key: "x"}); err != nil {
					t.Error(err)
				}
				if err := s.LogMetrics(t.Context(), r.ID, "", []tracking.Metric{{Key: key, Step: int64(i)}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := s.Run(t.Context(), r.ID)
	if err != nil || len(got.Params) != writers*each {
		t.Errorf("%d parameters, %v", len(got.Params), err)
	}
	if points, err := s.Metrics(t.Context(), r.ID); err != nil || len(points) != writers*each {
		t.Errorf("%d points, %v", len(points), err)
	}
}
