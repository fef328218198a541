// Package vertex is the adapter of job.Launcher over Vertex AI's custom jobs:
// machines with accelerators for as long as a training takes. A custom job is
// declared and started in one call, so what Terraform says of a Cloud Run job
// stands here in a Job.
package vertex

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	aiplatform "google.golang.org/api/aiplatform/v1"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/job"
	"github.com/litterloop/litterloop/shared/telemetry"
)

// label bears the ID of a launch. Labels of custom jobs can be asked for.
const label = "litterloop-launch"

// Launcher runs custom jobs in one project and location.
type Launcher struct {
	jobs   *aiplatform.ProjectsLocationsCustomJobsService
	parent string // projects/P/locations/L
	known  map[string]Job
}

var _ job.Launcher = (*Launcher)(nil)

// New returns a launcher of the known jobs, by name, in parent,
// "projects/P/locations/L". The service speaks to that location's endpoint.
func New(s *aiplatform.Service, parent string, known map[string]Job) *Launcher {
	return &Launcher{aiplatform.NewProjectsLocationsCustomJobsService(s), parent, known}
}

// Start makes a custom job and returns its full name. The trace of ctx is in its
// environment, unless s.Env holds one. Several machines of a job all get the
// same arguments, and Vertex AI tells each its place in CLUSTER_SPEC.
func (l *Launcher) Start(ctx context.Context, s job.Spec) (execution string, err error) {
	defer errs.Wrap(&err, "start job %s", s.Job)
	j, ok := l.known[s.Job]
	if !ok {
		return "", l.missing(s, errs.NotFound)
	}
	created, err := l.jobs.Create(l.parent, l.custom(ctx, s, j)).Context(ctx).Do()
	if err != nil {
		return "", l.refusal(s, j, err)
	}
	if created.Name == "" {
		return "", fmt.Errorf("custom job %s was given no name", s.ID)
	}
	return created.Name, nil
}

func (l *Launcher) custom(ctx context.Context, s job.Spec, j Job) *aiplatform.GoogleCloudAiplatformV1CustomJob {
	env := telemetry.Environ(ctx)
	maps.Copy(env, j.Env)
	maps.Copy(env, s.Env)
	env[job.IDEnv] = s.ID
	container := &aiplatform.GoogleCloudAiplatformV1ContainerSpec{ImageUri: j.Image, Args: s.Args}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		container.Env = append(container.Env, &aiplatform.GoogleCloudAiplatformV1EnvVar{Name: name, Value: env[name]})
	}
	pool := func(replicas int64) *aiplatform.GoogleCloudAiplatformV1WorkerPoolSpec {
		p := &aiplatform.GoogleCloudAiplatformV1WorkerPoolSpec{
			ContainerSpec: container, ReplicaCount: replicas,
			MachineSpec: &aiplatform.GoogleCloudAiplatformV1MachineSpec{MachineType: j.MachineType, AcceleratorType: j.AcceleratorType, AcceleratorCount: j.AcceleratorCount},
		}
		if j.BootDiskGB > 0 {
			p.DiskSpec = &aiplatform.GoogleCloudAiplatformV1DiskSpec{BootDiskSizeGb: j.BootDiskGB}
		}
		return p
	}
	// The first pool is the chief's: one machine, whatever there is beside it.
	pools := []*aiplatform.GoogleCloudAiplatformV1WorkerPoolSpec{pool(1)}
	if j.Replicas > 1 {
		pools = append(pools, pool(j.Replicas-1))
	}
	scheduling := &aiplatform.GoogleCloudAiplatformV1Scheduling{Timeout: fmt.Sprintf("%ds", j.Timeout), RestartJobOnWorkerRestart: j.Replicas > 1}
	if j.Spot {
		scheduling.Strategy = "SPOT"
	}
	labels := maps.Clone(j.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[label] = s.ID
	c := &aiplatform.GoogleCloudAiplatformV1CustomJob{
		DisplayName: s.Job + "-" + s.ID, Labels: labels,
		JobSpec: &aiplatform.GoogleCloudAiplatformV1CustomJobSpec{
			WorkerPoolSpecs: pools, Scheduling: scheduling, ServiceAccount: j.ServiceAccount, Network: j.Network,
		},
	}
	if j.KMSKey != "" {
		c.EncryptionSpec = &aiplatform.GoogleCloudAiplatformV1EncryptionSpec{KmsKeyName: j.KMSKey}
	}
	return c
}

// Find implements job.Launcher.
func (l *Launcher) Find(ctx context.Context, s job.Spec) (string, error) {
	found, err := l.jobs.List(l.parent).Filter(fmt.Sprintf("labels.%s=%q", label, s.ID)).Context(ctx).Do()
	if err == nil && len(found.CustomJobs) == 0 {
		err = errs.NotFound
	}
	if err != nil {
		return "", fmt.Errorf("find execution %s of job %s: %w", s.ID, s.Job, translate(err))
	}
	return found.CustomJobs[0].Name, nil
}

// State implements job.Launcher.
func (l *Launcher) State(ctx context.Context, execution string) (job.State, string, error) {
	c, err := l.jobs.Get(execution).Context(ctx).Do()
	if status(err) == http.StatusNotFound {
		return job.Lost, "Vertex AI no longer knows the custom job", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("state of execution %s: %w", execution, translate(err))
	}
	switch c.State {
	case "JOB_STATE_SUCCEEDED":
		return job.Succeeded, "", nil
	case "JOB_STATE_FAILED", "JOB_STATE_PARTIALLY_SUCCEEDED":
		return job.Failed, reason(c, "the custom job failed"), nil
	case "JOB_STATE_EXPIRED":
		return job.Failed, reason(c, "its time was up before it ended"), nil
	case "JOB_STATE_CANCELLED":
		return job.Cancelled, reason(c, "the custom job was cancelled"), nil
	}
	// Queued, pending, running, paused, updating; or being cancelled, which may
	// still end in any way.
	return job.Running, "", nil
}

// reason is what Vertex AI says, and where the log is.
func reason(c *aiplatform.GoogleCloudAiplatformV1CustomJob, otherwise string) string {
	if c.Error != nil && c.Error.Message != "" {
		otherwise += ": " + c.Error.Message
	}
	id := c.Name[strings.LastIndexByte(c.Name, '/')+1:]
	return otherwise + "; log: gcloud logging read 'resource.type=\"ml_job\" resource.labels.job_id=\"" + id + "\"'"
}

// Cancel implements job.Launcher.
func (l *Launcher) Cancel(ctx context.Context, execution string) error {
	_, err := l.jobs.Cancel(execution, &aiplatform.GoogleCloudAiplatformV1CancelCustomJobRequest{}).Context(ctx).Do()
	if ended(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cancel execution %s: %w", execution, translate(err))
	}
	return nil
}
