package setup

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/job"
	"github.com/litterloop/litterloop/shared/job/vertex"
)

// noted is a platform that notes what it is asked.
type noted struct {
	name  string
	asked *[]string
}

func (n noted) Start(_ context.Context, s job.Spec) (string, error) {
	*n.asked = append(*n.asked, n.name+" starts "+s.Job)
	return "", nil
}

func (n noted) Find(_ context.Context, s job.Spec) (string, error) {
	*n.asked = append(*n.asked, n.name+" finds "+s.Job)
	return "", nil
}

func (n noted) State(_ context.Context, execution string) (job.State, string, error) {
	*n.asked = append(*n.asked, n.name+" tells of "+execution)
	return job.Running, "", nil
}

func (n noted) Cancel(_ context.Context, execution string) error {
	*n.asked = append(*n.asked, n.name+" cancels "+execution)
	return nil
}

func TestLaunchers_eachJobHasItsPlatform(t *testing.T) {
	var asked []string
	l := launchers{noted{"Cloud Run", &asked}, noted{"Vertex AI", &asked}, map[string]vertex.Job{"trainer-ultralytics": {}}}
	for _, name := range []string{"trainer", "trainer-ultralytics"} {
		if _, err := l.Start(t.Context(), job.Spec{Job: name}); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Find(t.Context(), job.Spec{Job: name}); err != nil {
			t.Fatal(err)
		}
	}
	for _, execution := range []string{"projects/p/locations/l/jobs/trainer-ultralytics/executions/e", "projects/1/locations/l/customJobs/7"} {
		if _, _, err := l.State(t.Context(), execution); err != nil {
			t.Fatal(err)
		}
		if err := l.Cancel(t.Context(), execution); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"Cloud Run starts trainer", "Cloud Run finds trainer", "Vertex AI starts trainer-ultralytics", "Vertex AI finds trainer-ultralytics",
		// Started before the setting sent the job to Vertex AI.
		"Cloud Run tells of projects/p/locations/l/jobs/trainer-ultralytics/executions/e", "Cloud Run cancels projects/p/locations/l/jobs/trainer-ultralytics/executions/e",
		"Vertex AI tells of projects/1/locations/l/customJobs/7", "Vertex AI cancels projects/1/locations/l/customJobs/7",
	}
	if d := cmp.Diff(want, asked); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestFromEnv_vertexJobs(t *testing.T) {
	env := map[string]string{"GOOGLE_CLOUD_PROJECT": "streets", "VERTEX_JOBS": `{"region": "europe-west4", "jobs": {"trainer": {"image": "i", "machine_type": "g2-standard-8", "timeout": 3600, "service_account": "a"}}}`}
	getenv := func(k string) string { return env[k] }
	if c, err := FromEnv(getenv); err != nil || c.Vertex.Region != "europe-west4" || c.Vertex.Jobs["trainer"].Timeout != 3600 {
		t.Errorf("%+v, %v", c.Vertex, err)
	}
	for text, want := range map[string]string{
		`{"region": "r", "jobs": {"trainer": {"image": "i", "timeout": 1, "service_account": "a"}}}`: "job trainer: machine_type is not given\ntimeout 1",
		`{"jobs": {}, "machine": 1}`: "machine",
		`trainer`:                    "VERTEX_JOBS",
	} {
		env["VERTEX_JOBS"] = text
		if _, err := FromEnv(getenv); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
