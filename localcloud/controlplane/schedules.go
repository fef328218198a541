package controlplane

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"time"

	"github.com/litterloop/litterloop/localcloud/scheduler"
)

// schedules are Cloud Scheduler's jobs.
func schedules() kind {
	state := func(state string) func(context.Context, *Server, string, document) (any, error) {
		return func(_ context.Context, s *Server, name string, _ document) (any, error) {
			return s.docs.update(name, func(doc document) (document, error) {
				doc["state"] = state
				return doc, schedule(s, doc)
			})
		}
	}
	return kind{
		path: "/cloudscheduler/v1/" + inLocation + "jobs", id: fromBody,
		adds: func(_ *Server, doc document) {
			if doc["state"] == nil {
				doc["state"] = "ENABLED"
			}
		},
		apply: func(_ context.Context, s *Server, doc document) error { return schedule(s, doc) },
		remove: func(_ context.Context, s *Server, name string) error {
			return s.o.Schedule.Delete(name)
		},
		verbs: map[string]func(context.Context, *Server, string, document) (any, error){
			"POST resume": state("ENABLED"),
			"POST pause":  state("PAUSED"),
			"POST run": func(ctx context.Context, s *Server, name string, doc document) (any, error) {
				return doc, s.o.Schedule.Run(ctx, name)
			},
		},
	}
}

// schedule has the scheduler run what doc declares.
func schedule(s *Server, doc document) error {
	text := func(d document, key string) string { v, _ := d[key].(string); return v }
	target, _ := doc["httpTarget"].(document)
	if target == nil {
		return fmt.Errorf("the local Cloud Scheduler sends HTTP requests alone; the job has no httpTarget")
	}
	body, err := base64.StdEncoding.DecodeString(text(target, "body"))
	if err != nil {
		return fmt.Errorf("httpTarget.body: %w", err)
	}
	token, _ := target["oidcToken"].(document)
	retry, _ := doc["retryConfig"].(document)
	job := scheduler.Job{
		Name: text(doc, "name"), Schedule: text(doc, "schedule"), TimeZone: text(doc, "timeZone"), Paused: doc["state"] == "PAUSED",
		Target: scheduler.Target{
			URL: text(target, "uri"), Method: text(target, "httpMethod"), Body: body, Headers: map[string]string{},
			Account: text(token, "serviceAccountEmail"), Audience: text(token, "audience"),
		},
	}
	headers, _ := target["headers"].(document)
	for k, v := range maps.All(headers) {
		job.Target.Headers[k] = fmt.Sprint(v)
	}
	for key, d := range map[string]*time.Duration{"minBackoffDuration": &job.Retry.MinBackoff, "maxBackoffDuration": &job.Retry.MaxBackoff} {
		if *d, err = duration(text(retry, key)); err != nil {
			return fmt.Errorf("retryConfig.%s: %w", key, err)
		}
	}
	if job.Target.Deadline, err = duration(text(doc, "attemptDeadline")); err != nil {
		return fmt.Errorf("attemptDeadline: %w", err)
	}
	count, _ := retry["retryCount"].(float64)
	job.Retry.Count = int(count)
	return s.o.Schedule.Put(job)
}

// duration reads protobuf's JSON of one, "3.5s"; nothing is 0.
func duration(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	return time.ParseDuration(text)
}
