package cloudrun_test

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	runapi "cloud.google.com/go/run/apiv2"
	"cloud.google.com/go/run/apiv2/runpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/litterloop/litterloop/localcloud/run"
	"github.com/litterloop/litterloop/shared/job"
	"github.com/litterloop/litterloop/shared/job/cloudrun"
	"github.com/litterloop/litterloop/shared/job/jobtest"
)

const (
	parent = "projects/demo/locations/here"
	given  = "JOB_CLOUDRUN_TEST_GIVEN" // folder that a container writes down in what it was given
)

// The test binary is also the container of its jobs.
func TestMain(m *testing.M) {
	if os.Getenv(given) == "" {
		os.Exit(m.Run())
	}
	env := map[string]string{}
	for _, v := range os.Environ() {
		key, value, _ := strings.Cut(v, "=")
		env[key] = value
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	text, err := json.Marshal(container{os.Args[1:], env})
	if err == nil {
		err = os.WriteFile(filepath.Join(env[given], env[job.IDEnv]), text, 0o644)
	}
	if err != nil {
		os.Exit(2)
	}
	switch os.Args[1] {
	case jobtest.Succeed:
	case jobtest.Stay:
		<-stop
		os.Exit(1)
	default:
		os.Exit(1)
	}
}

// container is what a launch's container was given.
type container struct {
	Args []string
	Env  map[string]string
}

// faults answer one call in place of the server, before it or after.
type faults struct {
	mu   sync.Mutex
	code codes.Code
	done bool
}

func (f *faults) next(code codes.Code, done bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.code, f.done = code, done
}

func (f *faults) intercept(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	f.mu.Lock()
	code, done := f.code, f.done
	f.code = codes.OK
	f.mu.Unlock()
	if code == codes.OK {
		return handle(ctx, req)
	}
	if done {
		if _, err := handle(ctx, req); err != nil {
			return nil, err
		}
	}
	return nil, status.Error(code, "as the test will have it")
}

// clients speak to a server of Cloud Run's API through faults.
func clients(t *testing.T, register func(grpc.ServiceRegistrar)) (*runapi.JobsClient, *runapi.ExecutionsClient, *faults) {
	t.Helper()
	f := &faults{}
	g := grpc.NewServer(grpc.UnaryInterceptor(f.intercept))
	register(g)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go g.Serve(l)
	t.Cleanup(g.Stop)
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	jobs, err := runapi.NewJobsClient(t.Context(), option.WithGRPCConn(conn))
	if err != nil {
		t.Fatal(err)
	}
	executions, err := runapi.NewExecutionsClient(t.Context(), option.WithGRPCConn(conn))
	if err != nil {
		t.Fatal(err)
	}
	return jobs, executions, f
}

// The local cloud starts a process for each execution.
func TestLauncher_localProcesses(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	jobtest.Run(t, func(t *testing.T) jobtest.Platform {
		dir := t.TempDir()
		s, err := run.New(run.Options{Dir: filepath.Join(dir, "state"), Images: map[string][]string{"trainer": {exe}}, BaseEnv: []string{given + "=" + dir}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
			defer cancel()
			if err := s.Close(ctx); err != nil {
				t.Error(err)
			}
		})
		jobs, executions, f := clients(t, s.Register)
		for name, timeout := range map[string]time.Duration{jobtest.Trainer: time.Hour, jobtest.Brief: time.Millisecond} {
			op, err := jobs.CreateJob(t.Context(), &runpb.CreateJobRequest{Parent: parent, JobId: name, Job: &runpb.Job{
				Template: &runpb.ExecutionTemplate{Template: &runpb.TaskTemplate{
					Containers: []*runpb.Container{{Image: "trainer"}}, Retries: &runpb.TaskTemplate_MaxRetries{}, Timeout: durationpb.New(timeout),
				}},
			}})
			if err == nil {
				_, err = op.Wait(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return jobtest.Platform{
			Launcher: cloudrun.New(jobs, executions, parent), Fault: f.next, Unknown: parent + "/jobs/trainer/executions/trainer-gone",
			Started: func() int {
				j, err := jobs.GetJob(t.Context(), &runpb.GetJobRequest{Name: parent + "/jobs/" + jobtest.Trainer})
				if err != nil {
					t.Fatal(err)
				}
				return int(j.ExecutionCount)
			},
			Given: func(id string) ([]string, map[string]string) {
				var c container
				text, err := os.ReadFile(filepath.Join(dir, id))
				if err == nil {
					err = json.Unmarshal(text, &c)
				}
				if err != nil {
					t.Fatal(err)
				}
				return c.Args, c.Env
			},
			Delete: func(execution string) {
				if _, err := executions.DeleteExecution(t.Context(), &runpb.DeleteExecutionRequest{Name: execution}); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

// The answers of Cloud Run itself.
func TestLauncher_contract(t *testing.T) {
	t.Parallel()
	jobtest.Run(t, func(t *testing.T) jobtest.Platform {
		c := &contract{}
		jobs, executions, f := clients(t, func(r grpc.ServiceRegistrar) {
			runpb.RegisterJobsServer(r, jobsContract{contract: c})
			runpb.RegisterExecutionsServer(r, executionsContract{contract: c})
		})
		return jobtest.Platform{
			Launcher: cloudrun.New(jobs, executions, parent), Fault: f.next, Unknown: parent + "/jobs/trainer/executions/trainer-gone",
			Started: c.started, Given: c.given, Delete: c.delete,
		}
	})
}
