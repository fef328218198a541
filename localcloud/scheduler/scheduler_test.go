package scheduler_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/localcloud/scheduler"
)

// Time in these tests is synctest's, which begins at midnight UTC.

// target is an HTTP target without a network; it answers with the next of
// codes, the last one for ever.
type target struct {
	mu       sync.Mutex
	codes    []int
	takes    time.Duration
	requests []*http.Request
	bodies   []string
	times    []time.Time
}

func (t *target) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	t.requests, t.bodies, t.times = append(t.requests, r), append(t.bodies, string(body)), append(t.times, time.Now())
	code := t.codes[0]
	if len(t.codes) > 1 {
		t.codes = t.codes[1:]
	}
	t.mu.Unlock()
	select {
	case <-time.After(t.takes):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: code, Status: http.StatusText(code), Body: io.NopCloser(strings.NewReader("because")), Request: r}, nil
}

// since are the times of the requests, counted from began.
func (t *target) since(began time.Time) []time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []time.Duration
	for _, at := range t.times {
		out = append(out, at.Sub(began))
	}
	return out
}

func start(t *testing.T, dir string, to *target) *scheduler.Scheduler {
	t.Helper()
	s, err := scheduler.New(scheduler.Options{Dir: dir, HTTPClient: &http.Client{Transport: to},
		Token: func(email, audience string) (string, error) { return email + " for " + audience, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t *testing.T, s *scheduler.Scheduler, j scheduler.Job) {
	t.Helper()
	if j.Target.URL == "" {
		j.Target.URL = "http://drift/"
	}
	if err := s.Put(j); err != nil {
		t.Fatal(err)
	}
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func wantTimes(t *testing.T, to *target, began time.Time, want ...time.Duration) {
	t.Helper()
	if diff := cmp.Diff(want, to.since(began)); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestSchedule(t *testing.T) {
	tests := map[string]struct {
		schedule, zone string
		want           []time.Duration // in the first day
	}{
		"cron":              {"0 4,16 * * *", "", []time.Duration{4 * time.Hour, 16 * time.Hour}},
		"cron in a zone":    {"0 4 * * *", "Europe/Berlin", []time.Duration{3 * time.Hour}},
		"every eight hours": {"@every 8h", "", []time.Duration{8 * time.Hour, 16 * time.Hour}},
		"a descriptor":      {"@weekly", "", []time.Duration{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				to, began := &target{codes: []int{200}}, time.Now()
				s := start(t, t.TempDir(), to)
				put(t, s, scheduler.Job{Name: "drift", Schedule: tt.schedule, TimeZone: tt.zone})
				pass(24*time.Hour - time.Second)
				if diff := cmp.Diff(append([]time.Duration(nil), tt.want...), to.since(began)); diff != "" {
					t.Errorf("requests (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &target{codes: []int{200}}
		s := start(t, t.TempDir(), to)
		put(t, s, scheduler.Job{Name: "drift", Schedule: "@every 1h", Target: scheduler.Target{
			URL: "http://drift/run", Headers: map[string]string{"Content-Type": "application/json"}, Body: []byte(`{"a":1}`), Account: "cron@p"}})
		if err := s.Run(t.Context(), "drift"); err != nil {
			t.Fatal(err)
		}
		r := to.requests[0]
		got := map[string]string{"method": r.Method, "url": r.URL.String(), "body": to.bodies[0]}
		for _, k := range []string{"Authorization", "Content-Type", "X-CloudScheduler", "X-CloudScheduler-JobName", "User-Agent"} {
			got[k] = r.Header.Get(k)
		}
		want := map[string]string{"method": "POST", "url": "http://drift/run", "body": `{"a":1}`,
			"Authorization": "Bearer cron@p for http://drift/run", "Content-Type": "application/json",
			"X-CloudScheduler": "true", "X-CloudScheduler-JobName": "drift", "User-Agent": "Google-Cloud-Scheduler"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("request (-want +got):\n%s", diff)
		}
	})
}

func TestRestart_missedRunsHappenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, to, began := t.TempDir(), &target{codes: []int{200}}, time.Now()
		s := start(t, dir, to)
		put(t, s, scheduler.Job{Name: "drift", Schedule: "0 * * * *"})
		pass(90 * time.Minute) // one run, at one o'clock
		s.Close()
		time.Sleep(5 * time.Hour) // down from half past one to half past six
		s = start(t, dir, to)
		put(t, s, scheduler.Job{Name: "drift", Schedule: "0 * * * *"}) // as every start does
		pass(time.Hour)
		wantTimes(t, to, began, time.Hour, 6*time.Hour+30*time.Minute, 7*time.Hour)
	})
}

func TestRestart_nothingMissedNothingRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, to, began := t.TempDir(), &target{codes: []int{200}}, time.Now()
		for range 5 { // a start every ten minutes does not put off the hour
			s := start(t, dir, to)
			put(t, s, scheduler.Job{Name: "drift", Schedule: "@every 1h"})
			pass(10 * time.Minute)
			s.Close()
		}
		start(t, dir, to)
		pass(11 * time.Minute)
		wantTimes(t, to, began, time.Hour)
	})
}

func TestRetry_backsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to, began := &target{codes: []int{500, 500, 500, 500}}, time.Now()
		s := start(t, t.TempDir(), to)
		put(t, s, scheduler.Job{Name: "drift", Schedule: "@every 1h",
			Retry: scheduler.Retry{Count: 3, MinBackoff: time.Minute, MaxBackoff: 3 * time.Minute}})
		pass(90 * time.Minute)
		wantTimes(t, to, began, time.Hour, 61*time.Minute, 63*time.Minute, 66*time.Minute)
		_, st, err := s.Get("drift")
		if err != nil || !strings.Contains(st.LastError, "because") || !st.Last.Equal(began.Add(time.Hour)) {
			t.Errorf("status %+v, %v", st, err)
		}
	})
}

func TestRun_longerThanItsPeriod_doesNotOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to, began := &target{codes: []int{200}, takes: 150 * time.Second}, time.Now()
		s := start(t, t.TempDir(), to)
		put(t, s, scheduler.Job{Name: "drift", Schedule: "@every 1m"})
		pass(7 * time.Minute)
		for i, at := range to.since(began) {
			if want := time.Minute + time.Duration(i)*150*time.Second; at != want {
				t.Errorf("request %d at %v, want %v", i, at, want)
			}
		}
	})
}

func TestTarget_thatHangs_isCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &target{codes: []int{200}, takes: time.Hour}
		s := start(t, t.TempDir(), to)
		put(t, s, scheduler.Job{Name: "drift", Schedule: "@daily"})
		began := time.Now()
		if err := s.Run(t.Context(), "drift"); err == nil {
			t.Error("Run succeeded")
		}
		if took := time.Since(began); took != 3*time.Minute {
			t.Errorf("cut off after %v, want the default deadline of 3 minutes", took)
		}
	})
}

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to, began := &target{codes: []int{200}}, time.Now()
		s := start(t, t.TempDir(), to)
		put(t, s, scheduler.Job{Name: "drift", Schedule: "0 * * * *"})
		if err := s.Pause("drift"); err != nil {
			t.Fatal(err)
		}
		pass(5*time.Hour + 30*time.Minute)
		if err := s.Resume("drift"); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		wantTimes(t, to, began, 6*time.Hour)
	})
}

func TestPut_changedAndDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, to, began := t.TempDir(), &target{codes: []int{200}}, time.Now()
		s := start(t, dir, to)
		put(t, s, scheduler.Job{Name: "drift", Schedule: "@every 1h"})
		put(t, s, scheduler.Job{Name: "drift", Schedule: "@every 10m"})
		put(t, s, scheduler.Job{Name: "../escape", Schedule: "@every 1h"})
		pass(15 * time.Minute)
		if err := s.Delete("drift"); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Minute)
		wantTimes(t, to, began, 10*time.Minute)
		if err := s.Delete("drift"); !errors.Is(err, scheduler.ErrNotFound) {
			t.Errorf("Delete = %v, want ErrNotFound", err)
		}
		if got := s.List(); len(got) != 1 || got[0].Job.Name != "../escape" {
			t.Errorf("List = %v", got)
		}
		if files, _ := filepath.Glob(filepath.Join(dir, "*.json")); len(files) != 1 {
			t.Errorf("files %q, want the one job, inside %s", files, dir)
		}
	})
}

func TestPut_faults(t *testing.T) {
	s := start(t, t.TempDir(), &target{codes: []int{200}})
	err := s.Put(scheduler.Job{Schedule: "every now and then", Target: scheduler.Target{URL: "drift"}, Retry: scheduler.Retry{Count: 9}})
	if err == nil {
		t.Fatal("Put succeeded")
	}
	for _, want := range []string{"no name", `"every now and then"`, `"drift" is not an http`, "9 retries"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %s:\n%v", want, err)
		}
	}
}

func TestNew_damagedFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "job-drift.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := scheduler.New(scheduler.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "job-drift.json") {
		t.Errorf("New = %v, want an error that names the file", err)
	}
}
