package run

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"cloud.google.com/go/run/apiv2/runpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// attemptsAnnotation counts the attempts of an execution, those that ended
// with this server included; retried_count counts only those that failed.
const attemptsAnnotation = "localcloud/attempts"

// loadJobs takes up jobs, and starts again the executions that were in
// progress. Needs s.mu.
func (s *Server) loadJobs() error {
	err := loadAll(s.store, "jobs", func() *runpb.Job { return &runpb.Job{} }, func(j *runpb.Job) error {
		s.jobs[j.Name] = j
		return nil
	})
	if err != nil {
		return err
	}
	return loadAll(s.store, "jobs/executions", func() *runpb.Execution { return &runpb.Execution{} }, func(doc *runpb.Execution) error {
		if s.jobs[doc.Job] == nil { // its job was deleted
			return s.store.remove(doc.Name)
		}
		e := &execution{doc: doc}
		s.executions[doc.Name] = e
		if doc.CompletionTime == nil {
			s.launch(e)
		}
		return nil
	})
}

// launch runs an execution to its completion in the background. Needs s.mu.
func (s *Server) launch(e *execution) {
	var ctx context.Context
	ctx, e.cancel = context.WithCancel(s.ctx)
	s.background(func() {
		defer e.cancel()
		s.execute(ctx, e)
	})
}

// execute makes attempts until one succeeds, retries are spent, or the
// execution is cancelled. When the server closes, it stays in progress.
func (s *Server) execute(ctx context.Context, e *execution) {
	backoff := firstBackoff
	for retry := false; ; retry = true {
		doc, attempt, ok := s.beginAttempt(e, retry)
		if !ok {
			return
		}
		failure := s.attempt(ctx, doc, attempt)
		if s.ctx.Err() != nil {
			return
		}
		if failure == nil || doc.RetriedCount >= maxRetries(doc.Template) {
			s.complete(e, failure)
			return
		}
		s.opt.Log.Warn("job attempt failed; trying again", "execution", id(doc.Name), "error", failure, "in", backoff)
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// beginAttempt records the next attempt before it is made. ok is false when
// there is to be none.
func (s *Server) beginAttempt(e *execution, retry bool) (doc *runpb.Execution, attempt int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.executions[e.doc.Name] != e || s.ctx.Err() != nil { // deleted; closing
		return nil, 0, false
	}
	if e.doc.CancelledCount > 0 {
		s.finishLocked(e, nil)
		return nil, 0, false
	}
	doc = proto.CloneOf(e.doc)
	if retry {
		doc.RetriedCount++
	}
	if doc.Annotations == nil {
		doc.Annotations = map[string]string{}
	}
	attempt, _ = strconv.Atoi(doc.Annotations[attemptsAnnotation])
	doc.Annotations[attemptsAnnotation] = strconv.Itoa(attempt + 1)
	doc.RunningCount, doc.ObservedGeneration = 1, doc.Generation
	if doc.StartTime == nil {
		doc.StartTime = timestamppb.New(s.opt.Now())
	}
	doc.Conditions = []*runpb.Condition{condition("Completed", runpb.Condition_CONDITION_RECONCILING, "", s.opt.Now())}
	if err := s.saveExecution(e, doc); err != nil {
		s.opt.Log.Error("begin job attempt", "execution", doc.Name, "error", err)
		return nil, 0, false
	}
	return doc, attempt, true
}

// attempt runs the process once.
func (s *Server) attempt(ctx context.Context, doc *runpb.Execution, n int) error {
	c := doc.Template.Containers[0]
	timeout := cmp.Or(doc.Template.Timeout.AsDuration(), 10*time.Minute)
	env, err := s.env(c, doc.Template.ServiceAccount, "CLOUD_RUN_JOB="+id(doc.Job), "CLOUD_RUN_EXECUTION="+id(doc.Name),
		"CLOUD_RUN_TASK_INDEX=0", "CLOUD_RUN_TASK_COUNT=1", "CLOUD_RUN_TASK_ATTEMPT="+strconv.Itoa(n))
	if err != nil {
		return err
	}
	p, err := s.procs.start(command{
		name: doc.Name,
		argv: s.argv(c),
		env:  env,
		dir:  c.WorkingDir,
		log:  s.logPath(doc.Name),
	})
	if err != nil {
		return err
	}
	limit := time.NewTimer(timeout)
	defer limit.Stop()
	select {
	case <-p.exited:
	case <-ctx.Done():
		p.stop(s.opt.Grace)
	case <-limit.C:
		p.stop(s.opt.Grace)
		return fmt.Errorf("the attempt took longer than its timeout of %s", timeout)
	}
	if err := p.outcome(); err != nil {
		return fmt.Errorf("%w; see %s", err, s.logPath(doc.Name))
	}
	return nil
}

func maxRetries(t *runpb.TaskTemplate) int32 {
	if r, ok := t.Retries.(*runpb.TaskTemplate_MaxRetries); ok {
		return r.MaxRetries
	}
	return 3 // Cloud Run's default
}

// complete records how an execution ended.
func (s *Server) complete(e *execution, failure error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.executions[e.doc.Name] == e {
		s.finishLocked(e, failure)
	}
}

func (s *Server) finishLocked(e *execution, failure error) {
	doc := proto.CloneOf(e.doc)
	now := s.opt.Now()
	doc.RunningCount, doc.Reconciling, doc.CompletionTime = 0, false, timestamppb.New(now)
	status := runpb.ExecutionReference_EXECUTION_SUCCEEDED
	c := condition("Completed", runpb.Condition_CONDITION_SUCCEEDED, "", now)
	switch {
	case doc.CancelledCount > 0:
		status = runpb.ExecutionReference_EXECUTION_CANCELLED
		c = condition("Completed", runpb.Condition_CONDITION_FAILED, "the execution was cancelled", now)
		c.Reasons = &runpb.Condition_ExecutionReason_{ExecutionReason: runpb.Condition_CANCELLED}
	case failure != nil:
		doc.FailedCount = 1
		status = runpb.ExecutionReference_EXECUTION_FAILED
		c = condition("Completed", runpb.Condition_CONDITION_FAILED, failure.Error(), now)
		c.Reasons = &runpb.Condition_ExecutionReason_{ExecutionReason: runpb.Condition_NON_ZERO_EXIT_CODE}
	default:
		doc.SucceededCount = 1
	}
	doc.Conditions = []*runpb.Condition{c}
	if err := s.saveExecution(e, doc); err != nil {
		s.opt.Log.Error("complete execution", "execution", doc.Name, "error", err)
		return
	}
	job := s.jobs[doc.Job]
	if job != nil && job.LatestCreatedExecution.GetName() == id(doc.Name) {
		job = proto.CloneOf(job)
		job.LatestCreatedExecution.CompletionTime, job.LatestCreatedExecution.CompletionStatus = doc.CompletionTime, status
		if err := s.saveJob(job); err != nil {
			s.opt.Log.Error("complete execution", "job", job.Name, "error", err)
		}
	}
}
