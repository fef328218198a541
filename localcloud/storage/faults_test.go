package storage_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/localcloud/storage"
)

// statuses uploads n objects and returns the answers and how many were made.
func statuses(t *testing.T, f storage.Faults, n int) (answers []int, made int) {
	t.Helper()
	srv := open(t, options(t, func(o *serverOptions) { o.Faults = f }))
	defer srv.Close()
	for i := range n {
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, httptest.NewRequest("POST", "http://localhost/upload/storage/v1/b/bench/o?uploadType=media&name="+strings.Repeat("k", i+1), strings.NewReader("x")))
		answers = append(answers, w.Code)
	}
	for i := range n {
		for { // the question too may be refused
			w := httptest.NewRecorder()
			srv.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/storage/v1/b/bench/o/"+strings.Repeat("k", i+1), nil))
			if w.Code == http.StatusOK {
				made++
			}
			if w.Code != http.StatusServiceUnavailable {
				break
			}
		}
	}
	return answers, made
}

func TestFaults_sameForSameSeed(t *testing.T) {
	f := storage.Faults{Seed: 42, Unavailable: 0.2, LoseAnswer: 0.2}
	first, _ := statuses(t, f, 100)
	second, _ := statuses(t, f, 100)
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("the same seed (-first +second):\n%s", diff)
	}
	f.Seed++
	if third, _ := statuses(t, f, 100); cmp.Equal(first, third) {
		t.Error("another seed made the same faults")
	}
}

func TestFaults_answers(t *testing.T) {
	count := func(answers []int) (ok int) {
		for _, status := range answers {
			if status == http.StatusOK {
				ok++
			} else if status != http.StatusServiceUnavailable {
				t.Errorf("status %d", status)
			}
		}
		return ok
	}
	answers, made := statuses(t, storage.Faults{Unavailable: 0.3}, 200)
	if ok := count(answers); ok < 100 || ok > 180 || made != ok {
		t.Errorf("refused: %d of 200 were answered, %d made", ok, made)
	}
	answers, made = statuses(t, storage.Faults{LoseAnswer: 0.3}, 200)
	if ok := count(answers); ok < 100 || ok > 180 || made != 200 {
		t.Errorf("answers lost: %d of 200 were answered, %d made", ok, made)
	}
}

func TestFaults_delay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := open(t, options(t, func(o *serverOptions) { o.Faults = storage.Faults{Delay: 1, MaxDelay: time.Second} }))
		defer srv.Close()
		start := time.Now()
		for range 20 {
			srv.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "http://localhost/storage/v1/b/bench", nil))
		}
		if took := time.Since(start); took < 5*time.Second || took > 15*time.Second {
			t.Errorf("20 requests took %v", took)
		}
	})
}

// At the crash the change is durable and nobody was told.
func TestFaults_crashAfterCommit(t *testing.T) {
	o := options(t)
	crashed := make(chan struct{})
	hang := make(chan struct{})
	o.Faults = storage.Faults{CrashAfter: 2, Crash: func() { close(crashed); <-hang }} // the bucket was the first
	srv := open(t, o)
	answered := make(chan struct{})
	go func() {
		srv.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "http://localhost/upload/storage/v1/b/bench/o?uploadType=media&name=crashing", strings.NewReader("x")))
		close(answered)
	}()
	<-crashed
	select {
	case <-answered:
		t.Error("the upload was answered")
	default:
	}
	journal, err := os.ReadFile(filepath.Join(o.Dir, "objects", "journal.00000000"))
	if err != nil || !strings.Contains(string(journal), `"name":"crashing"`) {
		t.Errorf("the journal: %v, %q", err, journal)
	}
	close(hang)
	<-answered
	srv.Close()
}
