package tracking

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

// The tail tells which runs the index may be behind of: those with a marker or
// with a segment of points there. One listing shows them all.
const tailPrefix = "tracking/tail/"

func tailOf(run string) string        { return tailPrefix + run + "/" }
func marker(run string) string        { return tailOf(run) + "changed" }
func segment(run, name string) string { return tailOf(run) + name + ".json" }
func segmentName(object string) string {
	return strings.TrimSuffix(object[strings.LastIndexByte(object, '/')+1:], ".json")
}
func isSegment(object string) bool { return strings.HasSuffix(object, ".json") }
func tailRun(object string) (string, bool) {
	run, _, ok := strings.Cut(strings.TrimPrefix(object, tailPrefix), "/")
	return run, ok
}

// mark says that a run is about to change. It is written anew each time, so that
// who takes an older marker away for having indexed the run fails at it.
func (s *Store) mark(ctx context.Context, run string) error {
	if _, err := s.bucket.Write(ctx, marker(run), bytes.NewReader(nil), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
		return fmt.Errorf("mark run %s as changed: %w", run, err)
	}
	return nil
}

// tail is what lies in the tail of one run.
type tail struct {
	marker   int64 // its generation; 0 when there is none
	newest   time.Time
	segments []string
}

// tails lists the tails of every run, or of one.
func (s *Store) tails(ctx context.Context, prefix string) (map[string]tail, error) {
	all := map[string]tail{}
	for a, err := range s.bucket.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list what is not compacted: %w", err)
		}
		run, ok := tailRun(a.Name)
		if !ok {
			continue
		}
		t := all[run]
		if isSegment(a.Name) {
			t.segments = append(t.segments, a.Name)
		} else {
			t.marker = a.Generation
		}
		if a.Updated.After(t.newest) {
			t.newest = a.Updated
		}
		all[run] = t
	}
	return all, nil
}

// parallel bounds the requests that one call has under way.
const parallel = 64

// read returns the points of segments, which never change. gone is true when
// one is not there any more: it was compacted, and the run's document tells of
// its points.
func (s *Store) read(ctx context.Context, objects []string) (points [][]Metric, gone bool, err error) {
	points = make([][]Metric, len(objects))
	missing := make([]bool, len(objects))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, object := range objects {
		if known, ok := s.segments.Get(object); ok {
			points[i] = known
			continue
		}
		g.Go(func() error {
			var p []Metric
			_, err := blob.ReadJSON(ctx, s.bucket, object, &p)
			if errors.Is(err, errs.NotFound) {
				missing[i] = true
				return nil
			}
			if err != nil {
				return err
			}
			points[i] = p
			if len(p) <= cachedPoints {
				s.segments.Add(object, p)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, false, fmt.Errorf("read metrics: %w", err)
	}
	for _, m := range missing {
		gone = gone || m
	}
	return points, gone, nil
}

// cachedPoints is how large a segment may be to be kept in memory.
const cachedPoints = 200

// state is a run's document together with the points of its tail. t must be
// listed before: what is compacted meanwhile is then in the document.
type state struct {
	document
	fresh []Metric // points that are not in History
}

// complete reads what a run's tail t adds to its document.
func (s *Store) complete(ctx context.Context, run string, t tail) (st state, err error) {
	var points [][]Metric
	for {
		var gone bool
		g, gctx := errgroup.WithContext(ctx)
		g.Go(func() (err error) { st.document, err = s.fetch(gctx, run); return err })
		g.Go(func() (err error) { points, gone, err = s.read(gctx, t.segments); return err })
		if err := g.Wait(); err != nil {
			return st, err
		}
		if !gone {
			break
		}
		// Segments go after the document took them up, which it may have done
		// just after it was read above.
		all, err := s.tails(ctx, tailOf(run))
		if err != nil {
			return st, err
		}
		t = all[run]
	}
	folded := map[string]bool{}
	for _, name := range st.Folded {
		folded[name] = true
	}
	st.fresh = append(st.fresh, st.Points...)
	for i, p := range points {
		if !folded[segmentName(t.segments[i])] {
			st.fresh = append(st.fresh, p...)
		}
	}
	return st, nil
}

// metrics are the latest points of the run.
func (st state) metrics() map[string]Metric { return latest(st.Latest, st.fresh) }
