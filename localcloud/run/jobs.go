package run

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/run/apiv2/runpb"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

type jobsAPI struct {
	runpb.UnimplementedJobsServer
	s *Server
}

func (a jobsAPI) CreateJob(ctx context.Context, req *runpb.CreateJobRequest) (*longrunningpb.Operation, error) {
	if err := a.s.opt.Access.Check(ctx, "run.jobs.create", req.Parent); err != nil {
		return nil, err
	}
	if err := a.s.mayRun(ctx, req.Parent, req.GetJob().GetTemplate().GetTemplate()); err != nil {
		return nil, err
	}
	if err := errors.Join(checkParent(req.Parent), checkID("job_id", req.JobId)); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	name := req.Parent + "/jobs/" + req.JobId
	if a.s.jobs[name] != nil {
		return nil, status.Errorf(codes.AlreadyExists, "job %s exists", name)
	}
	return a.s.createJob(name, req.Job, req.ValidateOnly)
}

func (s *Server) createJob(name string, want *runpb.Job, validateOnly bool) (*longrunningpb.Operation, error) {
	job := &runpb.Job{Name: name, Uid: uuid.NewString(), CreateTime: timestamppb.New(s.opt.Now())}
	return s.putJob(job, want, validateOnly)
}

func (a jobsAPI) UpdateJob(ctx context.Context, req *runpb.UpdateJobRequest) (*longrunningpb.Operation, error) {
	if err := a.s.opt.Access.Check(ctx, "run.jobs.update", req.GetJob().GetName()); err != nil {
		return nil, err
	}
	if err := a.s.mayRun(ctx, req.GetJob().GetName(), req.GetJob().GetTemplate().GetTemplate()); err != nil {
		return nil, err
	}
	name := req.GetJob().GetName()
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	job := a.s.jobs[name]
	if job == nil && req.AllowMissing {
		parent, id, _ := strings.Cut(name, "/jobs/")
		if err := errors.Join(checkParent(parent), checkID("job name", id)); err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
		if err := a.s.opt.Access.Check(ctx, "run.jobs.create", parent); err != nil {
			return nil, err
		}
		return a.s.createJob(name, req.Job, req.ValidateOnly)
	}
	if job == nil {
		return nil, status.Errorf(codes.NotFound, "job %s not found", name)
	}
	if req.Job.Etag != "" && req.Job.Etag != job.Etag {
		return nil, status.Errorf(codes.Aborted, "job %s has changed: etag is %s, not %s; read it again", name, job.Etag, req.Job.Etag)
	}
	return a.s.putJob(job, req.Job, req.ValidateOnly)
}

// putJob declares a new generation of a job. Needs s.mu.
func (s *Server) putJob(old, want *runpb.Job, validateOnly bool) (*longrunningpb.Operation, error) {
	job := proto.CloneOf(old)
	job.Generation++
	job.ObservedGeneration = job.Generation
	job.Etag = fmt.Sprintf("%q", fmt.Sprintf("%.8s-%d", job.Uid, job.Generation))
	job.UpdateTime = timestamppb.New(s.opt.Now())
	job.Labels, job.Annotations = want.GetLabels(), want.GetAnnotations()
	job.Client, job.ClientVersion, job.LaunchStage = want.GetClient(), want.GetClientVersion(), want.GetLaunchStage()
	job.Template = proto.CloneOf(want.GetTemplate())
	if err := s.checkContainers(job.GetTemplate().GetTemplate().GetContainers()); err != nil {
		return nil, err
	}
	if n := job.Template.TaskCount; n > 1 {
		return nil, status.Errorf(codes.InvalidArgument, "the job has %d tasks; the local Cloud Run runs one task an execution", n)
	}
	job.TerminalCondition = condition("Ready", runpb.Condition_CONDITION_SUCCEEDED, "", s.opt.Now())
	if validateOnly {
		return done(job.Name, "validate", job)
	}
	if err := s.saveJob(job); err != nil {
		return nil, err
	}
	return done(job.Name, "job", job)
}

func (s *Server) saveJob(job *runpb.Job) error {
	if err := s.store.save(job.Name, job); err != nil {
		return status.Errorf(codes.Internal, "save job: %v", err)
	}
	s.jobs[job.Name] = job
	s.notify()
	return nil
}

func (a jobsAPI) GetJob(ctx context.Context, req *runpb.GetJobRequest) (*runpb.Job, error) {
	if err := a.s.opt.Access.Check(ctx, "run.jobs.get", req.Name); err != nil {
		return nil, err
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	job := a.s.jobs[req.Name]
	if job == nil {
		return nil, status.Errorf(codes.NotFound, "job %s not found", req.Name)
	}
	return job, nil
}

func (a jobsAPI) ListJobs(ctx context.Context, req *runpb.ListJobsRequest) (*runpb.ListJobsResponse, error) {
	if err := a.s.opt.Access.Check(ctx, "run.jobs.list", req.Parent); err != nil {
		return nil, err
	}
	if err := checkParent(req.Parent); err != nil {
		return nil, err
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	var all []*runpb.Job
	for _, name := range slices.Sorted(maps.Keys(a.s.jobs)) {
		if location(name) == req.Parent {
			all = append(all, a.s.jobs[name])
		}
	}
	out, next := page(all, req.PageSize, req.PageToken)
	return &runpb.ListJobsResponse{Jobs: out, NextPageToken: next}, nil
}

func (a jobsAPI) DeleteJob(ctx context.Context, req *runpb.DeleteJobRequest) (*longrunningpb.Operation, error) {
	if err := a.s.opt.Access.Check(ctx, "run.jobs.delete", req.Name); err != nil {
		return nil, err
	}
	s := a.s
	s.mu.Lock()
	defer s.mu.Unlock()
	job := s.jobs[req.Name]
	if job == nil {
		return nil, status.Errorf(codes.NotFound, "job %s not found", req.Name)
	}
	if req.Etag != "" && req.Etag != job.Etag {
		return nil, status.Errorf(codes.Aborted, "job %s has changed: etag is %s, not %s", req.Name, job.Etag, req.Etag)
	}
	job = proto.CloneOf(job)
	job.DeleteTime = timestamppb.New(s.opt.Now())
	if req.ValidateOnly {
		return done(job.Name, "validate", job)
	}
	if err := s.store.remove(req.Name); err != nil {
		return nil, status.Errorf(codes.Internal, "delete job: %v", err)
	}
	delete(s.jobs, req.Name)
	for name, e := range s.executions {
		if e.doc.Job == req.Name {
			if err := s.dropExecution(name); err != nil {
				s.opt.Log.Error("delete execution", "name", name, "error", err)
			}
		}
	}
	s.notify()
	return done(job.Name, "delete", job)
}

// RunJob starts an execution. It has started for good once it is answered: a
// crash starts it again.
func (a jobsAPI) RunJob(ctx context.Context, req *runpb.RunJobRequest) (*longrunningpb.Operation, error) {
	permission := "run.jobs.run"
	if req.Overrides != nil {
		permission = "run.jobs.runWithOverrides"
	}
	if err := a.s.opt.Access.Check(ctx, permission, req.Name); err != nil {
		return nil, err
	}
	s := a.s
	s.mu.Lock()
	defer s.mu.Unlock()
	job := s.jobs[req.Name]
	if job == nil {
		return nil, status.Errorf(codes.NotFound, "job %s not found", req.Name)
	}
	if req.Etag != "" && req.Etag != job.Etag {
		return nil, status.Errorf(codes.Aborted, "job %s has changed: etag is %s, not %s", req.Name, job.Etag, req.Etag)
	}
	template, err := override(job.Template.Template, req.Overrides)
	if err != nil {
		return nil, err
	}
	if err := s.checkContainers(template.Containers); err != nil {
		return nil, err
	}
	uid := uuid.NewString()
	doc := &runpb.Execution{
		Name: job.Name + "/executions/" + fmt.Sprintf("%.57s-%.5s", id(job.Name), uid),
		Uid:  uid, Generation: 1, Job: job.Name, CreateTime: timestamppb.New(s.opt.Now()), Labels: job.Template.Labels,
		Annotations: map[string]string{}, Parallelism: 1, TaskCount: 1, Template: template, Reconciling: true,
		Etag: fmt.Sprintf("%q", uid[:8]),
	}
	maps.Copy(doc.Annotations, job.Template.Annotations)
	doc.LogUri = "file://" + s.logPath(doc.Name)
	doc.Conditions = []*runpb.Condition{condition("Completed", runpb.Condition_CONDITION_PENDING, "", s.opt.Now())}
	if req.ValidateOnly {
		return done(job.Name, "validate", doc)
	}
	e := &execution{doc: doc}
	if err := s.saveExecution(e, doc); err != nil {
		return nil, err
	}
	s.executions[doc.Name] = e
	job = proto.CloneOf(job)
	job.ExecutionCount++
	job.LatestCreatedExecution = &runpb.ExecutionReference{Name: id(doc.Name), CreateTime: doc.CreateTime}
	if err := s.saveJob(job); err != nil {
		s.opt.Log.Error("count an execution", "job", job.Name, "error", err)
	}
	s.launch(e)
	return s.executionOperation(doc.Name)
}

// override is a job's task template with what one execution changes.
func override(t *runpb.TaskTemplate, o *runpb.RunJobRequest_Overrides) (*runpb.TaskTemplate, error) {
	t = proto.CloneOf(t)
	if o.GetTaskCount() > 1 {
		return nil, status.Errorf(codes.InvalidArgument, "%d tasks asked for; the local Cloud Run runs one task an execution", o.TaskCount)
	}
	if o.GetTimeout() != nil {
		t.Timeout = o.Timeout
	}
	for _, co := range o.GetContainerOverrides() {
		c := t.Containers[0]
		if co.Name != "" && co.Name != c.Name {
			return nil, status.Errorf(codes.InvalidArgument, "the job has no container %q", co.Name)
		}
		if len(co.Args) > 0 || co.ClearArgs {
			c.Args = co.Args
		}
		for _, e := range co.Env {
			c.Env = slices.DeleteFunc(c.Env, func(old *runpb.EnvVar) bool { return old.Name == e.Name })
			c.Env = append(c.Env, e)
		}
	}
	return t, nil
}
