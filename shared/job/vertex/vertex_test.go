package vertex_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	aiplatform "google.golang.org/api/aiplatform/v1"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"

	"github.com/litterloop/litterloop/shared/job"
	"github.com/litterloop/litterloop/shared/job/jobtest"
	"github.com/litterloop/litterloop/shared/job/vertex"
)

const parent = "projects/streets-1/locations/europe-west4"

type customJob = aiplatform.GoogleCloudAiplatformV1CustomJob

// platform is Vertex AI's API for custom jobs. Its jobs are no machines: they
// end when they are looked at.
type platform struct {
	mu    sync.Mutex
	jobs  []*customJob
	code  codes.Code // that the next call fails with
	done  bool       // though it took effect
	count int
}

// answers are what Google's front end makes of a code.
var answers = map[codes.Code]struct {
	http int
	name string
}{
	codes.Unavailable:        {503, "UNAVAILABLE"},
	codes.DeadlineExceeded:   {504, "DEADLINE_EXCEEDED"},
	codes.Aborted:            {409, "ABORTED"},
	codes.ResourceExhausted:  {429, "RESOURCE_EXHAUSTED"},
	codes.PermissionDenied:   {403, "PERMISSION_DENIED"},
	codes.InvalidArgument:    {400, "INVALID_ARGUMENT"},
	codes.FailedPrecondition: {400, "FAILED_PRECONDITION"},
	codes.NotFound:           {404, "NOT_FOUND"},
}

func refuse(w http.ResponseWriter, code codes.Code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(answers[code].http)
	json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": answers[code].http, "message": message, "status": answers[code].name}})
}

func (p *platform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	code := p.code
	p.code = codes.OK
	if code == codes.OK {
		p.serve(w, r)
		return
	}
	if p.done {
		p.serve(httptest.NewRecorder(), r)
	}
	refuse(w, code, "as the test will have it")
}

func (p *platform) serve(w http.ResponseWriter, r *http.Request) {
	name, verb, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/"), ":")
	if name == parent+"/customJobs" && r.Method == http.MethodPost {
		c := &customJob{}
		if err := json.NewDecoder(r.Body).Decode(c); err != nil {
			refuse(w, codes.InvalidArgument, err.Error())
			return
		}
		p.count++
		c.Name, c.State = fmt.Sprintf("projects/123456789/locations/europe-west4/customJobs/%d", 7000+p.count), "JOB_STATE_PENDING"
		p.jobs = append(p.jobs, c)
		json.NewEncoder(w).Encode(c)
		return
	}
	if name == parent+"/customJobs" {
		var list aiplatform.GoogleCloudAiplatformV1ListCustomJobsResponse
		for _, c := range p.jobs {
			if r.URL.Query().Get("filter") == fmt.Sprintf("labels.litterloop-launch=%q", c.Labels["litterloop-launch"]) {
				list.CustomJobs = append(list.CustomJobs, c)
			}
		}
		json.NewEncoder(w).Encode(&list)
		return
	}
	i := slices.IndexFunc(p.jobs, func(c *customJob) bool { return c.Name == name })
	if i < 0 {
		refuse(w, codes.NotFound, "CustomJob does not exist.")
		return
	}
	c := p.jobs[i]
	if verb != "cancel" {
		p.advance(c)
		json.NewEncoder(w).Encode(c)
		return
	}
	if c.EndTime != "" {
		refuse(w, codes.FailedPrecondition, "The job is in a final state.")
		return
	}
	c.State = "JOB_STATE_CANCELLING"
	w.Write([]byte("{}"))
}

// advance moves a job to its next state, as time does.
func (p *platform) advance(c *customJob) {
	end := func(state, message string) {
		c.State, c.EndTime = state, "2026-11-24T12:00:00Z"
		if message != "" {
			c.Error = &aiplatform.GoogleRpcStatus{Message: message}
		}
	}
	does := c.JobSpec.WorkerPoolSpecs[0].ContainerSpec.Args[0]
	switch {
	case c.EndTime != "":
	case c.State == "JOB_STATE_CANCELLING":
		end("JOB_STATE_CANCELLED", "")
	case c.State == "JOB_STATE_PENDING":
		c.State = "JOB_STATE_RUNNING"
	case does == jobtest.Succeed:
		end("JOB_STATE_SUCCEEDED", "")
	case does == jobtest.Fail:
		end("JOB_STATE_FAILED", "The replica workerpool0-0 exited with a non-zero status of 1.")
	case strings.HasPrefix(c.DisplayName, jobtest.Brief):
		end("JOB_STATE_EXPIRED", "")
	}
}

func trainer() vertex.Job {
	return vertex.Job{
		Image: "europe-west4-docker.pkg.dev/streets-1/litterloop/trainer-ultralytics:v1", MachineType: "g2-standard-8",
		AcceleratorType: "NVIDIA_L4", AcceleratorCount: 1, Timeout: 86400, ServiceAccount: "litterloop-trainer@streets-1.iam.gserviceaccount.com",
	}
}

func open(t *testing.T, p *platform, known map[string]vertex.Job) *vertex.Launcher {
	t.Helper()
	srv := httptest.NewServer(p)
	t.Cleanup(srv.Close)
	s, err := aiplatform.NewService(t.Context(), option.WithEndpoint(srv.URL), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	return vertex.New(s, parent, known)
}

func TestLauncher_contract(t *testing.T) {
	t.Parallel()
	jobtest.Run(t, func(t *testing.T) jobtest.Platform {
		p := &platform{}
		return jobtest.Platform{
			Launcher: open(t, p, map[string]vertex.Job{jobtest.Trainer: trainer(), jobtest.Brief: trainer()}),
			Unknown:  "projects/123456789/locations/europe-west4/customJobs/1",
			Fault: func(code codes.Code, done bool) {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.code, p.done = code, done
			},
			Started: func() int {
				p.mu.Lock()
				defer p.mu.Unlock()
				return p.count
			},
			Given: func(id string) ([]string, map[string]string) {
				p.mu.Lock()
				defer p.mu.Unlock()
				i := slices.IndexFunc(p.jobs, func(c *customJob) bool { return c.Labels["litterloop-launch"] == id })
				c := p.jobs[i].JobSpec.WorkerPoolSpecs[0].ContainerSpec
				env := map[string]string{}
				for _, v := range c.Env {
					env[v.Name] = v.Value
				}
				return c.Args, env
			},
			Delete: func(execution string) {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.jobs = slices.DeleteFunc(p.jobs, func(c *customJob) bool { return c.Name == execution })
			},
		}
	})
}

// Every state that Vertex AI has is told as one of the port's.
func TestState_ofEveryState(t *testing.T) {
	for state, want := range map[string]job.State{
		"JOB_STATE_QUEUED": job.Running, "JOB_STATE_PENDING": job.Running, "JOB_STATE_RUNNING": job.Running, "JOB_STATE_PAUSED": job.Running,
		"JOB_STATE_UPDATING": job.Running, "JOB_STATE_CANCELLING": job.Running, "JOB_STATE_SUCCEEDED": job.Succeeded, "JOB_STATE_FAILED": job.Failed,
		"JOB_STATE_PARTIALLY_SUCCEEDED": job.Failed, "JOB_STATE_EXPIRED": job.Failed, "JOB_STATE_CANCELLED": job.Cancelled,
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			json.NewEncoder(w).Encode(customJob{Name: parent + "/customJobs/1", State: state})
		}))
		s, err := aiplatform.NewService(t.Context(), option.WithEndpoint(srv.URL), option.WithoutAuthentication())
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := vertex.New(s, parent, nil).State(t.Context(), parent+"/customJobs/1"); got != want || err != nil {
			t.Errorf("%s: %s, %v; want %s", state, got, err, want)
		}
		srv.Close()
	}
}

func TestStart_asksForWhatIsDeclared(t *testing.T) {
	p := &platform{}
	j := trainer()
	j.AcceleratorCount, j.Replicas, j.Spot, j.BootDiskGB = 2, 3, true, 200
	j.Network, j.KMSKey, j.Labels = "projects/123456789/global/networks/inner", "projects/p/locations/l/keyRings/r/cryptoKeys/k", map[string]string{"app": "litterloop"}
	j.Env = map[string]string{"MODEL": "litter"}
	l := open(t, p, map[string]vertex.Job{"trainer-ultralytics": j})
	if _, err := l.Start(t.Context(), job.Spec{Job: "trainer-ultralytics", ID: "run7-1", Args: []string{"train", "--run", "run7"}}); err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(p.jobs[0], "", " ")
	if err != nil {
		t.Fatal(err)
	}
	pool := `{"containerSpec": {"imageUri": "` + j.Image + `", "args": ["train", "--run", "run7"], "env": [{"name": "LITTERLOOP_LAUNCH", "value": "run7-1"}, {"name": "MODEL", "value": "litter"}]},
		"diskSpec": {"bootDiskSizeGb": 200}, "machineSpec": {"machineType": "g2-standard-8", "acceleratorType": "NVIDIA_L4", "acceleratorCount": 2}, "replicaCount": "%d"}`
	want := `{"displayName": "trainer-ultralytics-run7-1", "name": "projects/123456789/locations/europe-west4/customJobs/7001", "state": "JOB_STATE_PENDING",
		"labels": {"app": "litterloop", "litterloop-launch": "run7-1"}, "encryptionSpec": {"kmsKeyName": "projects/p/locations/l/keyRings/r/cryptoKeys/k"},
		"jobSpec": {"serviceAccount": "litterloop-trainer@streets-1.iam.gserviceaccount.com", "network": "projects/123456789/global/networks/inner",
			"scheduling": {"timeout": "86400s", "strategy": "SPOT", "restartJobOnWorkerRestart": true},
			"workerPoolSpecs": [` + fmt.Sprintf(pool, 1) + `, ` + fmt.Sprintf(pool, 2) + `]}}`
	if d := cmp.Diff(tree(t, want), tree(t, string(got))); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func tree(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestJob_ValidateReportsEveryFault(t *testing.T) {
	if err := trainer().Validate(); err != nil {
		t.Error(err)
	}
	err := vertex.Job{AcceleratorType: "NVIDIA_L4", Replicas: -1, Timeout: 8 * 24 * 3600}.Validate()
	for _, want := range []string{"image", "machine_type", "service_account", "accelerator_count", "replicas", "timeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named: %v", want, err)
		}
	}
}
