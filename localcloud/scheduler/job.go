package scheduler

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/robfig/cron/v3"
)

// Job is one HTTP request on a schedule.
type Job struct {
	// Name is projects/P/locations/L/jobs/J, or any other unique name.
	Name string `json:"name"`
	// Schedule is unix-cron ("0 4 * * *") or "@every 3s", "@daily" and the like.
	Schedule string `json:"schedule"`
	// TimeZone is an IANA name; default UTC.
	TimeZone string `json:"time_zone,omitempty"`
	Paused   bool   `json:"paused,omitempty"`
	Target   Target `json:"target"`
	Retry    Retry  `json:"retry"`
}

// Target is what a job sends.
type Target struct {
	URL      string            `json:"url"`
	Method   string            `json:"method,omitempty"` // default POST
	Headers  map[string]string `json:"headers,omitempty"`
	Body     []byte            `json:"body,omitempty"`
	Account  string            `json:"account,omitempty"`  // e-mail of the service account to sign in as
	Audience string            `json:"audience,omitempty"` // default URL
	// Deadline of one attempt; default 3 minutes, as Cloud Scheduler's.
	Deadline time.Duration `json:"deadline,omitempty"`
}

// Retry says what follows a failed attempt. The zero value does not retry: the
// next time the schedule comes is the next attempt.
type Retry struct {
	Count      int           `json:"count,omitempty"`       // further attempts, 0 to 5
	MinBackoff time.Duration `json:"min_backoff,omitempty"` // default 5 s; doubles each time
	MaxBackoff time.Duration `json:"max_backoff,omitempty"` // default 1 h
}

// Status says how a job fares.
type Status struct {
	Next      time.Time `json:"next"`                 // when it runs next; in the past: missed
	Last      time.Time `json:"last"`                 // when the last run began; zero before the first
	LastError string    `json:"last_error,omitempty"` // of the last run; empty when it succeeded
}

// Document is a job with its status, as kept on disk.
type Document struct {
	Job    Job    `json:"job"`
	Status Status `json:"status"`
}

type schedule = cron.Schedule

const (
	defaultDeadline   = 3 * time.Minute
	defaultMinBackoff = 5 * time.Second
	defaultMaxBackoff = time.Hour
	maxRetries        = 5
)

func (j Job) withDefaults() Job {
	j.TimeZone = cmp.Or(j.TimeZone, "UTC")
	j.Target.Method = cmp.Or(j.Target.Method, http.MethodPost)
	j.Target.Audience = cmp.Or(j.Target.Audience, j.Target.URL)
	j.Target.Deadline = cmp.Or(j.Target.Deadline, defaultDeadline)
	j.Retry.MinBackoff = cmp.Or(j.Retry.MinBackoff, defaultMinBackoff)
	j.Retry.MaxBackoff = cmp.Or(j.Retry.MaxBackoff, defaultMaxBackoff)
	return j
}

// parse checks the job and returns its schedule; every fault is reported.
func (j Job) parse() (schedule, error) {
	var faults []error
	if j.Name == "" {
		faults = append(faults, errors.New("it has no name"))
	}
	if u, err := url.Parse(j.Target.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		faults = append(faults, fmt.Errorf("target %q is not an http or https URL", j.Target.URL))
	}
	if j.Retry.Count < 0 || j.Retry.Count > maxRetries {
		faults = append(faults, fmt.Errorf("%d retries: 0 to %d are allowed", j.Retry.Count, maxRetries))
	}
	if j.Retry.MinBackoff < 0 || j.Retry.MaxBackoff < j.Retry.MinBackoff {
		faults = append(faults, fmt.Errorf("back-off of %v to %v: 0 <= minimum <= maximum", j.Retry.MinBackoff, j.Retry.MaxBackoff))
	}
	if _, err := time.LoadLocation(j.TimeZone); err != nil {
		faults = append(faults, fmt.Errorf("time zone: %w", err))
		return nil, errors.Join(faults...)
	}
	sched, err := cron.ParseStandard("CRON_TZ=" + j.TimeZone + " " + j.Schedule)
	if err != nil {
		faults = append(faults, fmt.Errorf("schedule %q: %w", j.Schedule, err))
	}
	return sched, errors.Join(faults...)
}

func (j Job) equal(o Job) bool {
	return j.Name == o.Name && j.Schedule == o.Schedule && j.TimeZone == o.TimeZone && j.Paused == o.Paused &&
		j.Retry == o.Retry && j.Target.URL == o.Target.URL && j.Target.Method == o.Target.Method &&
		maps.Equal(j.Target.Headers, o.Target.Headers) && slices.Equal(j.Target.Body, o.Target.Body) &&
		j.Target.Account == o.Target.Account && j.Target.Audience == o.Target.Audience && j.Target.Deadline == o.Target.Deadline
}

func (e *entry) document() Document { return Document{Job: e.job, Status: e.status} }

func compareNames(a, b string) int { return cmp.Compare(a, b) }
