package scheduler

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// keep runs one entry on its schedule until it changes.
func (s *Scheduler) keep(e *entry) {
	if e.job.Paused {
		return
	}
	for {
		s.mu.Lock()
		wait := e.status.Next.Sub(s.o.Now())
		s.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-e.changed:
			timer.Stop()
			return
		case <-s.ctx.Done():
			timer.Stop()
			return
		}
		if err := s.runOnce(s.ctx, e); err != nil {
			s.o.Log.Warn("scheduler: job failed", "job", e.job.Name, "error", err)
		}
	}
}

// runOnce runs the job with its retries and records the outcome. The next time
// is recorded before the first attempt: a crash in the middle of a run does not
// repeat it.
func (s *Scheduler) runOnce(ctx context.Context, e *entry) error {
	e.running.Lock()
	defer e.running.Unlock()
	began := s.o.Now()
	if err := s.record(e, func(st *Status) { st.Last, st.Next = began, e.schedule.Next(began) }); err != nil {
		return err
	}
	err := s.attempts(ctx, e.job)
	if s.ctx.Err() != nil {
		return err // cut off by Close: what is on disk stands
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	if saveErr := s.record(e, func(st *Status) { st.LastError = text }); saveErr != nil {
		return saveErr
	}
	return err
}

// record changes an entry's status, on disk too while the entry is current.
func (s *Scheduler) record(e *entry, change func(*Status)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&e.status)
	if s.jobs[e.job.Name] != e {
		return nil
	}
	return save(s.o.Dir, e.document())
}

func (s *Scheduler) attempts(ctx context.Context, j Job) error {
	backoff := j.Retry.MinBackoff
	for n := 0; ; n++ {
		err := s.send(ctx, j.Name, j.Target)
		if err == nil || n == j.Retry.Count {
			return err
		}
		timer := time.NewTimer(backoff)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
		backoff = min(2*backoff, j.Retry.MaxBackoff)
	}
}

func (s *Scheduler) send(ctx context.Context, name string, t Target) error {
	ctx, cancel := context.WithTimeout(ctx, t.Deadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, t.Method, t.URL, bytes.NewReader(t.Body))
	if err != nil {
		return fmt.Errorf("target of job %q: %w", name, err)
	}
	req.Header.Set("User-Agent", "Google-Cloud-Scheduler")
	req.Header.Set("X-CloudScheduler", "true")
	req.Header.Set("X-CloudScheduler-JobName", name)
	if len(t.Body) > 0 {
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	for k, v := range t.Headers {
		req.Header.Set(k, v)
	}
	if t.Account != "" && s.o.Token != nil {
		token, err := s.o.Token(t.Account, t.Audience)
		if err != nil {
			return fmt.Errorf("token for job %q: %w", name, err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := s.o.HTTPClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("%s %s answered %s: %.300s", t.Method, t.URL, res.Status, bytes.TrimSpace(answer))
	}
	return err
}
