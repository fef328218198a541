package tracking_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/blob/blobtest"
	"github.com/litterloop/litterloop/shared/tracking"
)

func count(t *testing.T, b blob.Bucket, prefix string) (n int) {
	t.Helper()
	for _, err := range b.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func search(t *testing.T, s *tracking.Store, filter string) []string {
	t.Helper()
	found, _, err := s.SearchRuns(t.Context(), tracking.Query{Experiments: []string{"0"}, Filter: filter, Order: []string{"attributes.run_name"}, View: tracking.All, Page: tracking.Page{Max: 50000}})
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, r := range found {
		names = append(names, r.Name)
	}
	return names
}

func start(t *testing.T, s *tracking.Store, name string) tracking.Run {
	t.Helper()
	r, err := s.StartRun(t.Context(), tracking.NewRun{Experiment: "0", Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func fold(t *testing.T, s *tracking.Store) {
	t.Helper()
	for left := 1; left > 0; {
		var err error
		if left, err = s.Fold(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
	}
}

// What a run is, it is before it is compacted and indexed, and after; for who
// compacted it and for who did not know of it.
func TestFold_changesNothingThatIsSeen(t *testing.T) {
	b := blobmem.New("models")
	s, other := tracking.New(b, func() time.Time { return noon }), tracking.New(b, func() time.Time { return noon })
	var runs []tracking.Run
	for i := range 30 {
		r := start(t, s, fmt.Sprintf("run-%02d", i))
		runs = append(runs, r)
		for step := range 12 {
			if err := s.LogBatch(t.Context(), r.ID, tracking.Batch{Metrics: []tracking.Metric{{Key: "loss", Value: float64(i*100 - step), Step: int64(step), Time: 1}}}); err != nil {
				t.Fatal(err)
			}
		}
		err := s.LogBatch(t.Context(), r.ID, tracking.Batch{
			Metrics: []tracking.Metric{{Key: "mAP", Value: 0.5, Time: 2}}, Params: []tracking.Tag{{Key: "lr", Value: fmt.Sprint(i % 3)}}, Tags: []tracking.Tag{{Key: "t", Value: "v"}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	see := func(s *tracking.Store) (all []any) {
		for _, r := range runs {
			got, err := s.Get(t.Context(), r.ID)
			if err != nil {
				t.Fatal(err)
			}
			points, err := s.Metrics(t.Context(), r.ID)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, got, points)
		}
		return append(all, search(t, s, "metrics.loss < 1000 AND params.lr = '1'"), search(t, s, "metrics.mAP = 0.5"))
	}
	before := see(s)
	if names := search(t, s, "params.lr = '1'"); len(names) != 10 {
		t.Fatalf("found %v", names)
	}
	fold(t, s)
	if n := count(t, b, "tracking/tail/"); n != 0 {
		t.Errorf("%d objects are left in the tail", n)
	}
	if diff := cmp.Diff(before, see(s)); diff != "" {
		t.Errorf("to who compacted (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(before, see(other)); diff != "" {
		t.Errorf("to others (-before +after):\n%s", diff)
	}
	if err := other.SetTags(t.Context(), runs[3].ID, map[string]string{"t": "w"}); err != nil {
		t.Fatal(err)
	}
	if err := other.LogMetric(t.Context(), runs[4].ID, tracking.Metric{Key: "loss", Value: 7777, Step: 99}); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*tracking.Store{s, other} {
		if diff := cmp.Diff([]string{"run-03"}, search(t, s, "tags.t = 'w'")); diff != "" {
			t.Errorf("a tag of an indexed run: %s", diff)
		}
		if diff := cmp.Diff([]string{"run-04"}, search(t, s, "metrics.loss = 7777")); diff != "" {
			t.Errorf("a metric of an indexed run: %s", diff)
		}
	}
	for range 10 { // as many histories as make one of many
		if err := s.LogMetric(t.Context(), runs[4].ID, tracking.Metric{Key: "more", Step: rand.Int64N(1 << 40)}); err != nil {
			t.Fatal(err)
		}
		fold(t, s)
	}
	if points, err := other.Metrics(t.Context(), runs[4].ID); err != nil || len(points) != 12+1+1+10 {
		t.Errorf("%d points after many compactions, %v", len(points), err)
	}
	if n := count(t, b, "tracking/runs/"+runs[4].ID+"/metrics/"); n > 9 {
		t.Errorf("%d objects of history", n)
	}
}

func TestIndex_isRebuiltWhenMissing(t *testing.T) {
	b := blobmem.New("models")
	s := tracking.New(b, func() time.Time { return noon })
	for i := range 20 {
		start(t, s, fmt.Sprintf("run-%02d", i))
	}
	fold(t, s)
	want := search(t, s, "")
	for range 2 {
		for a, err := range b.List(t.Context(), "tracking/index/") {
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Delete(t.Context(), a.Name, blob.Any); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range []*tracking.Store{s, tracking.New(b, func() time.Time { return noon })} {
			if diff := cmp.Diff(want, search(t, s, "")); diff != "" {
				t.Errorf("(-before +rebuilt): %s", diff)
			}
		}
		start(t, s, "run-99") // which the next rebuilding finds outside the index
		want = search(t, s, "")
	}
}

const latency = 30 * time.Millisecond

// Every call takes at most three requests one after the other, by a server that
// has just begun, on a store of 1,100 runs of which some changed since they were
// indexed.
func TestStore_threeRoundTripsACall(t *testing.T) {
	b := blobmem.New("models")
	quick := tracking.New(b, time.Now)
	var run, finished, doomed tracking.Run
	var model tracking.LoggedModel
	for i := range 1100 {
		r := start(t, quick, fmt.Sprint(i))
		switch i {
		case 10:
			finished = r
		case 11:
			doomed = r
		}
		run = r
	}
	fold(t, quick)
	for range 40 {
		start(t, quick, "late")
		if err := quick.LogMetric(t.Context(), run.ID, tracking.Metric{Key: "loss", Step: rand.Int64N(1 << 30)}); err != nil {
			t.Fatal(err)
		}
	}
	model, err := quick.CreateLoggedModel(t.Context(), tracking.LoggedModel{Experiment: "0", Run: run.ID})
	if err != nil {
		t.Fatal(err)
	}
	fresh := start(t, quick, "fresh")
	metric := tracking.Metric{Key: "loss", Value: 1, Step: 3, Time: 1}
	for name, call := range map[string]func(ctx context.Context, s *tracking.Store) error{
		"create a run": func(ctx context.Context, s *tracking.Store) error {
			_, err := s.StartRun(ctx, tracking.NewRun{Experiment: "0"})
			return err
		},
		"get a run":          func(ctx context.Context, s *tracking.Store) error { _, err := s.Get(ctx, run.ID); return err },
		"get an indexed run": func(ctx context.Context, s *tracking.Store) error { _, err := s.Get(ctx, finished.ID); return err },
		"history": func(ctx context.Context, s *tracking.Store) error {
			_, err := s.History(ctx, run.ID, "loss")
			return err
		},
		"log a metric":          func(ctx context.Context, s *tracking.Store) error { return s.LogMetric(ctx, run.ID, metric) },
		"log to an indexed run": func(ctx context.Context, s *tracking.Store) error { return s.LogMetric(ctx, finished.ID, metric) },
		"set a tag": func(ctx context.Context, s *tracking.Store) error {
			return s.SetTags(ctx, run.ID, map[string]string{"a": "b"})
		},
		"tag an indexed run": func(ctx context.Context, s *tracking.Store) error {
			return s.SetTags(ctx, finished.ID, map[string]string{"a": "b"})
		},
		"log a parameter": func(ctx context.Context, s *tracking.Store) error {
			return s.LogParams(ctx, run.ID, map[string]string{"p": "1"})
		},
		"log a metric of a model": func(ctx context.Context, s *tracking.Store) error {
			m := metric
			m.Model = model.ID
			return s.LogMetric(ctx, run.ID, m)
		},
		"log a mixed batch": func(ctx context.Context, s *tracking.Store) error {
			return s.LogBatch(ctx, run.ID, tracking.Batch{Metrics: []tracking.Metric{metric}, Tags: []tracking.Tag{{Key: "c", Value: "d"}}})
		},
		"log a mixed batch of a model": func(ctx context.Context, s *tracking.Store) error {
			m := metric
			m.Model = model.ID
			return s.LogBatch(ctx, fresh.ID, tracking.Batch{Metrics: []tracking.Metric{m}, Params: []tracking.Tag{{Key: "e", Value: "f"}}})
		},
		"delete a run":  func(ctx context.Context, s *tracking.Store) error { return s.DeleteRun(ctx, doomed.ID) },
		"restore a run": func(ctx context.Context, s *tracking.Store) error { return s.RestoreRun(ctx, doomed.ID) },
		"update a run": func(ctx context.Context, s *tracking.Store) error {
			_, err := s.UpdateRun(ctx, run.ID, tracking.RunUpdate{Status: tracking.Finished})
			return err
		},
		"search 1,000 of 1,100": func(ctx context.Context, s *tracking.Store) error {
			_, _, err := s.SearchRuns(ctx, tracking.Query{Experiments: []string{"0"}, View: tracking.ActiveOnly, Page: tracking.Page{Max: 1000}})
			return err
		},
		"create an experiment": func(ctx context.Context, s *tracking.Store) error {
			_, err := s.CreateExperiment(ctx, fmt.Sprint(rand.Int64()), "", nil)
			return err
		},
		"log a model": func(ctx context.Context, s *tracking.Store) error {
			_, err := s.CreateLoggedModel(ctx, tracking.LoggedModel{Experiment: "0"})
			return err
		},
		"search logged models": func(ctx context.Context, s *tracking.Store) error {
			_, _, err := s.SearchModels(ctx, tracking.ModelQuery{Experiments: []string{"0"}, Page: tracking.Page{Max: 10}})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := tracking.New(blobtest.Slow{Bucket: b, Latency: latency}, time.Now)
				begin := time.Now()
				err := call(t.Context(), s)
				if trips := float64(time.Since(begin)) / float64(latency); err != nil || trips > 3 {
					t.Errorf("%.0f round trips, %v", trips, err)
				}
			})
		})
	}
}

// mortal is a bucket as a process sees it that may die before or after any of
// its writes: from then on it gets errors alone.
type mortal struct {
	blob.Bucket
	random *rand.Rand
	chance float64

	mu   sync.Mutex
	dead bool
}

var errDead = errors.New("the process has died")

func (m *mortal) die() (before, after bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return true, true
	}
	if m.random.Float64() < m.chance {
		m.dead = true
		return m.random.IntN(2) == 0, true
	}
	return false, false
}

func (m *mortal) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, blob.Attrs, error) {
	if _, dead := m.die(); dead {
		return nil, blob.Attrs{}, errDead
	}
	return m.Bucket.Open(ctx, name, offset, length)
}

func (m *mortal) Write(ctx context.Context, name string, r io.Reader, o blob.WriteOptions) (blob.Attrs, error) {
	before, after := m.die()
	if before {
		return blob.Attrs{}, errDead
	}
	a, err := m.Bucket.Write(ctx, name, r, o)
	if after {
		return blob.Attrs{}, errDead
	}
	return a, err
}

func (m *mortal) Delete(ctx context.Context, name string, generation int64) error {
	before, after := m.die()
	if before {
		return errDead
	}
	err := m.Bucket.Delete(ctx, name, generation)
	if after {
		return errDead
	}
	return err
}

// Many processes at once write to the same runs, fold them, search them, and
// die. Whatever was acknowledged is there at the end, in the runs and in the
// index alike; a batch is there whole or not at all.
func TestStore_serversThatDieLoseNothing(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			b := blobmem.New("models")
			now := func() time.Time { return time.Now() }
			setup := tracking.New(b, now)
			var runs []string
			for i := range 6 {
				runs = append(runs, start(t, setup, fmt.Sprint("run-", i)).ID)
			}
			type acked struct{ run, key string }
			var mu sync.Mutex
			sure, maybe := map[acked]bool{}, map[acked]bool{}
			var wg sync.WaitGroup
			for w := range 4 {
				wg.Go(func() {
					random := rand.New(rand.NewPCG(seed, uint64(w)))
					m := &mortal{Bucket: b, random: random, chance: 0.02}
					s := tracking.New(m, now)
					for i := range 50 {
						if m.dead { // another takes its place
							m = &mortal{Bucket: b, random: random, chance: 0.02}
							s = tracking.New(m, now)
						}
						at := acked{runs[random.IntN(len(runs))], fmt.Sprintf("k%d.%d", w, i)}
						var err error
						switch random.IntN(5) {
						case 0:
							_, err = s.Fold(t.Context(), 10)
							at.run = ""
						case 1:
							_, _, err = s.SearchRuns(t.Context(), tracking.Query{Experiments: []string{"0"}, View: tracking.ActiveOnly, Page: tracking.Page{Max: 100}})
							at.run = ""
						case 2:
							err = s.LogBatch(t.Context(), at.run, tracking.Batch{Metrics: []tracking.Metric{{Key: at.key, Value: 1}, {Key: at.key + "b", Value: 1}},
								Params: []tracking.Tag{{Key: at.key, Value: "x"}}, Tags: []tracking.Tag{{Key: at.key, Value: "x"}}})
						default:
							err = s.LogBatch(t.Context(), at.run, tracking.Batch{Metrics: []tracking.Metric{{Key: at.key, Value: 1}, {Key: at.key + "b", Value: 1}}})
						}
						if err != nil && !errors.Is(err, errDead) {
							t.Errorf("server %d, operation %d: %v", w, i, err)
						}
						mu.Lock()
						if err == nil && at.run != "" {
							sure[at] = true
						}
						maybe[at] = true
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			s := tracking.New(b, now)
			check := func(when string, r tracking.RunData) {
				for k := range r.Metrics {
					base := strings.TrimSuffix(k, "b")
					if !maybe[acked{r.ID, base}] {
						t.Errorf("%s: run %s has a metric %s that nobody logged", when, r.ID, k)
					}
					if _, a := r.Metrics[base]; !a {
						t.Errorf("%s: half a batch: %s without %s", when, k, base)
					}
					if _, twin := r.Metrics[base+"b"]; !twin {
						t.Errorf("%s: half a batch: %s without %sb", when, k, base)
					}
				}
				for k := range r.Params {
					if _, ok := r.Metrics[k]; !ok || r.Tags[k] != "x" {
						t.Errorf("%s: half a batch: parameter %s without its metric or tag", when, k)
					}
				}
				for a := range sure {
					if _, ok := r.Metrics[a.key]; a.run == r.ID && !ok {
						t.Errorf("%s: run %s lost %s", when, r.ID, a.key)
					}
				}
			}
			all := func(when string) (datas []tracking.RunData) {
				for _, id := range runs {
					r, err := s.Get(t.Context(), id)
					if err != nil {
						t.Fatal(err)
					}
					check(when, r)
					datas = append(datas, r)
				}
				found, _, err := s.SearchRuns(t.Context(), tracking.Query{Experiments: []string{"0"}, Order: []string{"run_name"}, View: tracking.ActiveOnly, Page: tracking.Page{Max: 100}})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(datas, found, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s: the search differs (-runs +found):\n%s", when, diff)
				}
				return datas
			}
			before := all("after the deaths")
			fold(t, s)
			if diff := cmp.Diff(before, all("after a last compaction"), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("compaction changed runs:\n%s", diff)
			}
			if n := count(t, b, "tracking/tail/"); n != 0 {
				t.Errorf("%d objects are left in the tail", n)
			}
			slices.Sort(runs)
		})
	}
}
