package setup

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	aiplatform "google.golang.org/api/aiplatform/v1"
	"google.golang.org/api/option"

	"github.com/litterloop/litterloop/shared/job"
	jobcloudrun "github.com/litterloop/litterloop/shared/job/cloudrun"
	"github.com/litterloop/litterloop/shared/job/vertex"
)

// Launcher starts the jobs that Vertex names on Vertex AI, and all others on
// Cloud Run.
func (p *Parts) Launcher(ctx context.Context) (job.Launcher, error) {
	c, err := p.cloudRun(ctx)
	if err != nil {
		return nil, err
	}
	l := launchers{cloudRun: jobcloudrun.New(c.jobs, c.executions, p.Location()), onVertex: p.Vertex.Jobs}
	if p.RunEmulator != "" && len(p.Vertex.Jobs) == 0 { // one machine, without Vertex AI or credentials
		return l.cloudRun, nil
	}
	// Built though nothing is to start there: what was started before the setting
	// changed is still watched.
	region := cmp.Or(p.Vertex.Region, p.Region)
	s, err := aiplatform.NewService(ctx, option.WithEndpoint("https://"+region+"-aiplatform.googleapis.com/"))
	if err != nil {
		return nil, fmt.Errorf("vertex ai client: %w", err)
	}
	l.vertex = vertex.New(s, "projects/"+p.Project+"/locations/"+region, p.Vertex.Jobs)
	return l, nil
}

// launchers are platforms side by side.
type launchers struct {
	cloudRun, vertex job.Launcher
	onVertex         map[string]vertex.Job
}

func (l launchers) of(s job.Spec) job.Launcher {
	if _, ok := l.onVertex[s.Job]; ok {
		return l.vertex
	}
	return l.cloudRun
}

// by is the platform that gave an execution its name.
func (l launchers) by(execution string) job.Launcher {
	if strings.Contains(execution, "/customJobs/") {
		return l.vertex
	}
	return l.cloudRun
}

// Start implements job.Launcher.
func (l launchers) Start(ctx context.Context, s job.Spec) (string, error) {
	return l.of(s).Start(ctx, s)
}

// Find implements job.Launcher.
func (l launchers) Find(ctx context.Context, s job.Spec) (string, error) { return l.of(s).Find(ctx, s) }

// State implements job.Launcher.
func (l launchers) State(ctx context.Context, execution string) (job.State, string, error) {
	return l.by(execution).State(ctx, execution)
}

// Cancel implements job.Launcher.
func (l launchers) Cancel(ctx context.Context, execution string) error {
	return l.by(execution).Cancel(ctx, execution)
}
