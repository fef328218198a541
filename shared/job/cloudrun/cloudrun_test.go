package cloudrun_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
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

	"github.com/litterloop/litterloop/localcloud/run"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/job"
	"github.com/litterloop/litterloop/shared/job/cloudrun"
)

const (
	parent = "projects/demo/locations/here"
	child  = "JOB_CLOUDRUN_TEST_CHILD"
)

// The test binary is also the container of its jobs: it tells its arguments to
// the URL it is given and ends as that says.
func TestMain(m *testing.M) {
	if os.Getenv(child) == "" {
		os.Exit(m.Run())
	}
	resp, err := http.Get(os.Getenv("URL") + "/" + strings.Join(os.Args[1:], "/"))
	if err != nil {
		os.Exit(2)
	}
	if resp.StatusCode == http.StatusAccepted { // stay
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		<-stop
	}
	if resp.StatusCode != http.StatusOK {
		os.Exit(1)
	}
}

func launcher(t *testing.T, faults *run.Faults) *cloudrun.Launcher {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, err := run.New(run.Options{Dir: t.TempDir(), Images: map[string][]string{"trainer": {exe}}, BaseEnv: []string{child + "=1"}, Faults: faults})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	s.Register(g)
	go g.Serve(l)
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		g.Stop()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	jobs, err := runapi.NewJobsClient(t.Context(), option.WithGRPCConn(conn))
	if err != nil {
		t.Fatal(err)
	}
	executions, err := runapi.NewExecutionsClient(t.Context(), option.WithGRPCConn(conn))
	if err != nil {
		t.Fatal(err)
	}
	op, err := jobs.CreateJob(t.Context(), &runpb.CreateJobRequest{Parent: parent, JobId: "trainer", Job: &runpb.Job{
		Template: &runpb.ExecutionTemplate{Template: &runpb.TaskTemplate{
			Containers: []*runpb.Container{{Image: "trainer"}}, Retries: &runpb.TaskTemplate_MaxRetries{},
		}},
	}})
	if err == nil {
		_, err = op.Wait(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return cloudrun.New(jobs, executions, parent)
}

// containers answers the containers' call with status and tells their paths.
func containers(t *testing.T, status int) (url string, called <-chan string) {
	ch := make(chan string, 4)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ch <- r.URL.Path
		w.WriteHeader(status)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, ch
}

// ended polls until the execution is no longer running.
func ended(t *testing.T, l *cloudrun.Launcher, execution string) (job.State, string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		s, why, err := l.State(t.Context(), execution)
		if err != nil {
			t.Fatal(err)
		}
		if s != job.Running {
			return s, why
		}
	}
	return "", ""
}

func TestLauncher(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer int
		cancel bool
		want   job.State
		why    string
	}{
		"succeeds":  {answer: 200, want: job.Succeeded},
		"fails":     {answer: 500, want: job.Failed, why: "exit status 1"},
		"cancelled": {answer: 202, cancel: true, want: job.Failed, why: "cancelled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := launcher(t, nil)
			url, called := containers(t, test.answer)
			e, err := l.Start(t.Context(), job.Spec{Job: "trainer", Args: []string{"train", "run7"}, Env: map[string]string{"URL": url}})
			if err != nil {
				t.Fatal(err)
			}
			if path := <-called; path != "/train/run7" {
				t.Errorf("arguments %s", path)
			}
			if test.cancel {
				if s, _, err := l.State(t.Context(), e); s != job.Running || err != nil {
					t.Errorf("before: %s, %v", s, err)
				}
				if err := l.Cancel(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
			s, why := ended(t, l, e)
			if s != test.want || !strings.Contains(why, test.why) {
				t.Errorf("ended %s: %q; want %s: %q", s, why, test.want, test.why)
			}
			if err := l.Cancel(t.Context(), e); err != nil {
				t.Errorf("cancelling what has ended: %v", err)
			}
		})
	}
}

func TestLauncher_unknown(t *testing.T) {
	t.Parallel()
	l := launcher(t, nil)
	if _, err := l.Start(t.Context(), job.Spec{Job: "nothing"}); !errors.Is(err, errs.NotFound) {
		t.Errorf("Start: %v", err)
	}
	gone := fmt.Sprintf("%s/jobs/trainer/executions/trainer-gone", parent)
	if s, _, err := l.State(t.Context(), gone); s != job.Lost || err != nil {
		t.Errorf("State: %s, %v", s, err)
	}
	if err := l.Cancel(t.Context(), gone); !errors.Is(err, errs.NotFound) {
		t.Errorf("Cancel: %v", err)
	}
}

func TestLauncher_unavailable(t *testing.T) {
	t.Parallel()
	l := launcher(t, &run.Faults{Call: func(method string) error {
		if strings.HasSuffix(method, "/RunJob") {
			return status.Error(codes.Unavailable, "away")
		}
		return nil
	}})
	if _, err := l.Start(t.Context(), job.Spec{Job: "trainer"}); !errors.Is(err, errs.Unavailable) {
		t.Errorf("got %v", err)
	}
}
