package demo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/predictionlog"
)

// callers is how many photos are under way at once.
const callers = 2

// send has every photo answered by the deployed detector and waits until the
// prediction log holds the answers, as an act of the story; an act that was sent
// before is not sent again. The detector writes its log behind its answers, so
// one that is killed takes what it had not written with it: an act that only
// noted its answers would then wait for a drift that nobody can see.
func (s *story) send(ctx context.Context, act, title string, photos []Photo) error {
	stage := s.board.Stage(title)
	if sent := s.journal.Sent[act]; sent != nil {
		stage.Done("%d photos answered", sent.Requests)
		return nil
	}
	url, err := s.loop.DetectorURL(ctx)
	if err != nil {
		stage.Fail(err)
		return err
	}
	var mu sync.Mutex
	sent := &Sent{}
	answered := map[string]bool{} // ids of predictions
	found := 0
	began := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(callers)
	for p := range slices.Values(photos) {
		g.Go(func() error {
			data, err := p.Load()
			if err != nil {
				return fmt.Errorf("load %s: %w", p.Name, err)
			}
			begin := time.Now()
			a, err := s.loop.Detect(gctx, url, data, 0.25)
			took := time.Since(begin)
			mu.Lock()
			defer mu.Unlock()
			sent.Requests++
			if err != nil {
				sent.Errors++
				return fmt.Errorf("photo %s: %w", p.Name, err)
			}
			sent.Latencies = append(sent.Latencies, float64(took.Microseconds())/1000)
			found += len(a.Detections)
			answered[a.ID] = true
			stage.Set(sent.Requests, len(photos), "%d of %d photos, %d objects", sent.Requests, len(photos), found)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		stage.Fail(err)
		return err
	}
	if err := s.logged(ctx, began, answered); err != nil {
		stage.Fail(err)
		return err
	}
	s.journal.Sent[act] = sent
	if err := s.journal.save(); err != nil {
		return err
	}
	stage.Done("%d photos answered, %d objects found", sent.Requests, found)
	return nil
}

// logged waits until the prediction log holds the answers, given since began, of
// these ids.
func (s *story) logged(ctx context.Context, began time.Time, ids map[string]bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the detector does not write its prediction log"))
	defer cancel()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		missing := maps.Clone(ids)
		var failed error
		for row, err := range predictionlog.Read(ctx, s.loop.Bucket(s.loop.Predictions), began, time.Now()) {
			if failed = err; failed == nil {
				delete(missing, row.ID)
			}
		}
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%d of %d answers are not in the prediction log: %w", len(missing), len(ids), context.Cause(ctx)), failed)
		}
	}
}

// quantile returns the q-quantile of ms, nearest rank; 0 of none.
func quantile(ms []float64, q float64) float64 {
	if len(ms) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(ms))
	return s[min(len(s)-1, int(q*float64(len(s))))]
}
