package drift

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/predictionlog"
)

// shown bounds the photos of a large window that are read for people to look at,
// and to label.
const shown = 1000

// sketched returns what a check looks at when the log is large: when the window,
// or the newest past one, holds more photos than a window may have. ok is false
// where the rows themselves are few enough to read.
func (c *Checker) sketched(ctx context.Context, v Version, born, to time.Time) (s scaled, ok bool, err error) {
	duration := c.policy.Window.Duration
	if duration < time.Hour || duration%time.Hour != 0 {
		return s, false, nil // sketches are of hours
	}
	s.to = to.Truncate(time.Hour)
	s.from = s.to.Add(-duration)
	many := int64(c.policy.Window.MaxPhotos)
	window, files, err := c.sum(ctx, s.from, s.to)
	if err != nil {
		return s, false, err
	}
	s.window, s.files = sumOf(window[v]), files
	end := to.AddDate(0, 0, -c.policy.Reference.LagDays)
	if s.from.Before(end) {
		end = s.from
	}
	begin := end.AddDate(0, 0, -c.policy.Reference.Days)
	if born.After(begin) {
		begin = born
	}
	last := end.Truncate(duration)
	newest := newSketch()
	if from := last.Add(-duration); !from.Before(begin) {
		if newest, err = c.past(ctx, v, from, last); err != nil {
			return s, false, err
		}
	}
	if s.window.Photos <= many && newest.Photos <= many {
		return s, false, nil
	}
	if s.history, err = c.history(ctx, v, begin, last); err != nil {
		return s, false, err
	}
	s.newest, err = c.newest(ctx, v, files, s.from, s.to, shown)
	return s, true, err
}

// history reads the past windows from begin to last.
func (c *Checker) history(ctx context.Context, v Version, begin, last time.Time) ([]period, error) {
	duration := c.policy.Window.Duration
	var all []period
	for to := last; !to.Add(-duration).Before(begin); to = to.Add(-duration) {
		all = append(all, period{from: to.Add(-duration), to: to})
	}
	slices.Reverse(all)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(logReaders)
	for i := range all {
		g.Go(func() (err error) {
			all[i].sketch, err = c.past(ctx, v, all[i].from, all[i].to)
			return err
		})
	}
	err := g.Wait()
	return all, err
}

// rollup is the object that keeps the sketches of a past window, so that its files
// are read once.
func rollup(from, to time.Time) string {
	return fmt.Sprintf("sketches/%s-%s.sketch", from.UTC().Format("20060102T150405Z"), to.Sub(from))
}

// past returns the sketch of a past window. The window ended so long ago (the
// reference's lag) that what was delayed has arrived; what still comes is not
// looked at.
func (c *Checker) past(ctx context.Context, v Version, from, to time.Time) (*Sketch, error) {
	name := rollup(from, to)
	p, _, err := blob.Fetch(ctx, c.predictions, name)
	if err == nil {
		s, err := decodeSketches(p)
		if err == nil {
			return sumOf(s[v]), nil
		}
		// Of another format, as after an update: made again.
	} else if !errors.Is(err, errs.NotFound) {
		return nil, fmt.Errorf("sketch of the log: %w", err)
	}
	s, _, err := c.sum(ctx, from, to)
	if err != nil {
		return nil, err
	}
	if p, err = s.MarshalBinary(); err != nil {
		return nil, err
	}
	if sumOf(s[v]).Photos > int64(c.policy.Window.MaxPhotos) { // small ones are as quickly read again
		_, err = c.predictions.Write(ctx, name, bytes.NewReader(p), blob.WriteOptions{IfGeneration: blob.Any, ContentType: "application/octet-stream"})
	}
	if err != nil {
		return nil, fmt.Errorf("keep the sketch of the log: %w", err)
	}
	return sumOf(s[v]), nil
}

// sum adds up the log's sketches of whole hours, and returns its files.
func (c *Checker) sum(ctx context.Context, from, to time.Time) (Sketches, []predictionlog.File, error) {
	var mu sync.Mutex
	sum := Sketches{}
	var all []predictionlog.File
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(logReaders)
	for hour := from; hour.Before(to); hour = hour.Add(time.Hour) {
		g.Go(func() error {
			files, err := predictionlog.Files(ctx, c.predictions, hour)
			if err != nil {
				return err
			}
			hourly := Sketches{}
			for _, f := range predictionlog.Last(files) {
				s, err := c.instanceHour(ctx, f, files)
				if err != nil {
					return err
				}
				hourly.merge(s)
			}
			mu.Lock()
			defer mu.Unlock()
			sum.merge(hourly)
			all = append(all, files...)
			return nil
		})
	}
	err := g.Wait()
	slices.SortFunc(all, func(a, b predictionlog.File) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	return sum, all, err
}

// instanceHour is the sketch of all that an instance logged in an hour, whose last
// file is f: the one that it holds, or, where it holds none, that of the rows.
func (c *Checker) instanceHour(ctx context.Context, f predictionlog.File, files []predictionlog.File) (Sketches, error) {
	footer, err := predictionlog.ReadFooter(ctx, c.predictions, f)
	if err != nil {
		return nil, err
	}
	if footer.Sketch != nil {
		if s, err := decodeSketches(footer.Sketch); err == nil {
			return s, nil
		}
	}
	s := Sketches{}
	for _, other := range files {
		if other.Instance != f.Instance {
			continue
		}
		all, err := predictionlog.ReadRows(ctx, c.predictions, other)
		if err != nil {
			return nil, err
		}
		for _, r := range all {
			s.Add(r)
		}
	}
	return s, nil
}

// newest reads rows of [from, to) from the last files until there are enough.
func (c *Checker) newest(ctx context.Context, v Version, files []predictionlog.File, from, to time.Time, enough int) ([]predictionlog.Row, error) {
	var out []predictionlog.Row
	for _, f := range slices.Backward(files) { // by name: by hour
		if len(out) >= enough {
			break
		}
		all, err := predictionlog.ReadRows(ctx, c.predictions, f)
		if err != nil {
			return nil, err
		}
		for _, r := range all {
			if t := time.UnixMicro(r.TimeMicros); r.Model == v.Model && r.ModelVersion == v.Version && !t.Before(from) && t.Before(to) {
				out = append(out, r)
			}
		}
	}
	out = distinct(out)
	return out[max(len(out)-enough, 0):], nil
}

// health lists the log of a window, and the hour before for what spans its
// beginning, and finds what is missing in it.
func (c *Checker) health(ctx context.Context, from, to time.Time) (l Log, err error) {
	var mu sync.Mutex
	var all []predictionlog.File
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(logReaders)
	for hour := from.Truncate(time.Hour).Add(-time.Hour); hour.Before(to); hour = hour.Add(time.Hour) {
		g.Go(func() error {
			files, err := predictionlog.Files(gctx, c.predictions, hour)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, files...)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return l, err
	}
	l.Files, l.Missing = len(all), predictionlog.Gaps(all)
	for _, f := range predictionlog.Last(all) {
		footer, err := predictionlog.ReadFooter(ctx, c.predictions, f)
		if err != nil {
			return l, err
		}
		l.Dropped += footer.Dropped
	}
	return l, nil
}
