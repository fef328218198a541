package drift_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/drift"
	"github.com/litterloop/litterloop/shared/predictionlog"
)

// counted is a bucket that counts what is read of it.
type counted struct {
	blob.Bucket
	reads, lists, listed, bytes atomic.Int64
}

func (c *counted) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, blob.Attrs, error) {
	r, a, err := c.Bucket.Open(ctx, name, offset, length)
	c.reads.Add(1)
	if err != nil {
		return r, a, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.TeeReader(r, counter{&c.bytes}), r}, a, nil
}

func (c *counted) List(ctx context.Context, prefix string) iter.Seq2[blob.Attrs, error] {
	c.lists.Add(1)
	return func(yield func(blob.Attrs, error) bool) {
		for a, err := range c.Bucket.List(ctx, prefix) {
			c.listed.Add(1)
			if !yield(a, err) {
				return
			}
		}
	}
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) { c.n.Add(int64(len(p))); return len(p), nil }

// times is the sketch of rows as if each stood for so many photos.
func times(n int, rows []predictionlog.Row) drift.Sketches {
	s := drift.Sketches{}
	for _, r := range rows {
		s.AddTimes(r, n)
	}
	return s
}

// put writes an instance's file of an hour: some rows, and the sketch of all that
// it logged in the hour.
func put(t testing.TB, b blob.Bucket, hour time.Time, instance string, sequence int, rows []predictionlog.Row, s drift.Sketches) {
	t.Helper()
	p, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	w := parquet.NewGenericWriter[predictionlog.Row](&file, parquet.KeyValueMetadata("litterloop.sketch", base64.StdEncoding.EncodeToString(p)))
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("%s%s-%06d.parquet", predictionlog.Dir(hour), instance, sequence)
	if _, err := b.Write(t.Context(), name, &file, blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
		t.Fatal(err)
	}
}

// busy is a log of so many days up to to, each hour of two instances; sketch makes
// what each logged in an hour from a few of its rows.
func busy(t testing.TB, b blob.Bucket, to time.Time, days int, today drift.Traffic, sketch func([]predictionlog.Row) drift.Sketches) {
	const rows = 40
	rng := rand.New(rand.NewPCG(6, 6))
	for h := range days * 24 {
		hour := to.Add(time.Duration(h-days*24) * time.Hour)
		scene := drift.Harmless
		if to.Sub(hour) <= 24*time.Hour {
			scene = today
		}
		for i, instance := range []string{"litter-v1-aaaa", "litter-v1-bbbb"} {
			some := scene.Rows(rng, rows, hour.Add(time.Duration(i)), time.Hour-time.Second)
			put(t, b, hour, instance, h+1, some, sketch(some))
		}
	}
}

func checker(models blob.Bucket, predictions blob.Bucket, born, now time.Time) *drift.Checker {
	v := serves{Model: "litter", Version: 1, Package: "runs/r1/package/", Created: born}
	return drift.NewChecker(drift.DefaultPolicy(), "litter", v, models, predictions, func() time.Time { return now })
}

func TestCheck_largeLogsAreReadAsSketches(t *testing.T) {
	to := time.Date(2026, 11, 2, 4, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name    string
		days    int
		today   drift.Traffic
		outcome drift.Outcome
		source  drift.Source
		basis   drift.Basis
	}{
		{"harmless, with history", 30, drift.Harmless, drift.Stable, drift.History, drift.BySketches},
		{"darker, with history", 30, drift.Moderate, drift.Drifted, drift.History, drift.BySketches},
		{"a model of two days, against its package", 2, drift.Severe, drift.Drifted, drift.Package, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			models, predictions := blobmem.New("models"), &counted{Bucket: blobmem.New("predictions")}
			parquetIn(t, models, "runs/r1/package/reference.parquet", drift.Harmless.Rows(rand.New(rand.NewPCG(1, 1)), 40, to.AddDate(0, -2, 0), time.Hour))
			busy(t, predictions, to, c.days, c.today, func(rows []predictionlog.Row) drift.Sketches { return times(25, rows) })
			check := checker(models, predictions, to.AddDate(0, 0, -c.days), to)
			r, s, err := check.Check(t.Context(), to)
			if err != nil {
				t.Fatal(err)
			}
			if r.Verdict.Outcome != c.outcome || r.Reference.Source != c.source || r.Basis != c.basis || r.Window.Photos+r.Window.Left != 48_000 {
				t.Errorf("%s against %s by %q, window %+v: %s", r.Verdict.Outcome, r.Reference.Source, r.Basis, r.Window, r.Verdict.Reason)
			}
			if s.ToLabelCount == 0 || !s.Log.Whole() {
				t.Errorf("%d photos to label, log %+v", s.ToLabelCount, s.Log)
			}
			first := predictions.reads.Load()
			next := to.AddDate(0, 0, 1)
			for h := range 24 {
				rows := drift.Harmless.Rows(rand.New(rand.NewPCG(9, uint64(h))), 40, to.Add(time.Duration(h)*time.Hour), 59*time.Minute)
				put(t, predictions, to.Add(time.Duration(h)*time.Hour), "litter-v1-aaaa", 24*c.days+h+1, rows, times(50, rows))
			}
			if _, _, err := checker(models, predictions, to.AddDate(0, 0, -c.days), next).Check(t.Context(), next); err != nil {
				t.Fatal(err)
			}
			if again := predictions.reads.Load() - first; c.source == drift.History && again > first/3 {
				t.Errorf("the next day's check reads %d objects, the first one read %d: past days are not kept", again, first)
			}
		})
	}
}

func TestCheck_tellsOfMissingFiles(t *testing.T) {
	check, predictions := newChecker(t)
	rng := rand.New(rand.NewPCG(2, 2))
	for _, n := range []int{1, 2, 5} {
		from := noon.Add(-time.Duration(40-n) * time.Minute)
		rows := drift.Harmless.Rows(rng, 20, from, time.Minute)
		put(t, predictions, from, "litter-v1-aaaa", n, rows, times(1, rows))
	}
	r, s, err := check.Check(t.Context(), noon)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Log.Missing) != 1 || s.Log.Missing[0] != (predictionlog.Gap{Instance: "litter-v1-aaaa", From: 3, To: 4}) {
		t.Errorf("log %+v, want files 3 and 4 missing", s.Log)
	}
	page, err := r.HTML(nil)
	if err != nil || !strings.Contains(string(page), "2 files of the log are missing") {
		t.Errorf("the page does not tell: %v", err)
	}
}

// BenchmarkCheck_sketches checks a log of 100 million predictions, 63 days of two
// instances: what a daily check reads, once past days are summed up.
func BenchmarkCheck_sketches(b *testing.B) {
	to := time.Date(2026, 11, 2, 4, 0, 0, 0, time.UTC)
	const days = 64
	models, predictions := blobmem.New("models"), &counted{Bucket: blobmem.New("predictions")}
	// Sketches of photos all different, as large as they get.
	var hours []drift.Sketches
	for range 16 {
		s := drift.Sketches{}
		for _, r := range drift.Harmless.Rows(rand.New(rand.NewPCG(4, uint64(len(hours)))), 33_000, to.AddDate(0, 0, -days), time.Hour) {
			s.Add(r)
		}
		hours = append(hours, s)
	}
	n := 0
	busy(b, predictions, to, days, drift.Harmless, func([]predictionlog.Row) drift.Sketches { n++; return hours[n%len(hours)] })
	if _, _, err := checker(models, predictions, to.AddDate(0, 0, -days), to).Check(b.Context(), to.Add(-24*time.Hour)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for _, c := range []*atomic.Int64{&predictions.reads, &predictions.lists, &predictions.listed, &predictions.bytes} {
			c.Store(0)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, _, err := checker(models, predictions, to.AddDate(0, 0, -days), to).Check(b.Context(), to)
		if err != nil || r.Basis != drift.BySketches {
			b.Fatal(r, err)
		}
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(r.Window.Photos+r.Reference.Photos)/1e6, "Mphotos")
		b.ReportMetric(float64(predictions.bytes.Load())/1e3, "kB-read")
		b.ReportMetric(float64(predictions.reads.Load()), "reads")
		b.ReportMetric(float64(predictions.listed.Load()), "names-listed")
		b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/1e6, "MB-allocated")
		for a, err := range predictions.List(b.Context(), "reports/") { // made anew each time
			if err != nil {
				b.Fatal(err)
			}
			if err := predictions.Delete(b.Context(), a.Name, blob.Any); err != nil {
				b.Fatal(err)
			}
		}
	}
}
