package cloudrun_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
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
	"github.com/litterloop/litterloop/shared/rollout"
	"github.com/litterloop/litterloop/shared/rollout/cloudrun"
	"github.com/litterloop/litterloop/shared/rollout/platformtest"
)

const (
	parent = "projects/demo/locations/here"
	child  = "ROLLOUT_CLOUDRUN_TEST_CHILD"
)

// The test binary is also the container of its revisions.
func TestMain(m *testing.M) {
	if os.Getenv(child) == "" {
		os.Exit(m.Run())
	}
	if os.Getenv("BROKEN") != "" {
		os.Exit(1)
	}
	http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, os.Getenv("NAME"))
	}))
}

func platform(t *testing.T, faults *run.Faults) rollout.Platform {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, err := run.New(run.Options{
		Dir: t.TempDir(), Images: map[string][]string{"detector": {exe}}, BaseEnv: []string{child + "=1"}, Seed: 1, Faults: faults,
	})
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
	services, err := runapi.NewServicesClient(t.Context(), option.WithGRPCConn(conn))
	if err != nil {
		t.Fatal(err)
	}
	revisions, err := runapi.NewRevisionsClient(t.Context(), option.WithGRPCConn(conn))
	if err != nil {
		t.Fatal(err)
	}
	return cloudrun.New(services, revisions, parent, &runpb.RevisionTemplate{Containers: []*runpb.Container{{
		Image:        "detector",
		StartupProbe: &runpb.Probe{PeriodSeconds: 1, FailureThreshold: 20, ProbeType: &runpb.Probe_HttpGet{HttpGet: &runpb.HTTPGetAction{Path: "/"}}},
	}}})
}

func TestConformance(t *testing.T) {
	platformtest.Run(t, func(t *testing.T) platformtest.Harness {
		return platformtest.Harness{Platform: platform(t, nil), Client: http.DefaultClient}
	})
}

// once answers err to the first call of a method that ends in suffix.
func once(suffix string, err error) func(string) error {
	var used atomic.Bool
	return func(method string) error {
		if strings.HasSuffix(method, suffix) && !used.Swap(true) {
			return err
		}
		return nil
	}
}

func TestErrors_tellWhetherToRepeat(t *testing.T) {
	for name, test := range map[string]struct {
		faults run.Faults
		want   error
	}{
		"away before the call":            {run.Faults{Call: once("/CreateService", status.Error(codes.Unavailable, "away"))}, errs.Unavailable},
		"away after it took effect":       {run.Faults{Committed: once("/CreateService", status.Error(codes.Unavailable, "away"))}, errs.Unavailable},
		"created by someone else":         {run.Faults{Call: once("/CreateService", status.Error(codes.AlreadyExists, "exists"))}, errs.Conflict},
		"away while waiting":              {run.Faults{Call: once("/WaitOperation", status.Error(codes.Unavailable, "away"))}, errs.Unavailable},
		"changed by someone else":         {run.Faults{Call: once("/UpdateService", status.Error(codes.Aborted, "etag"))}, errs.Conflict},
		"an operation of another runs":    {run.Faults{Call: once("/UpdateService", status.Error(codes.FailedPrecondition, "busy"))}, errs.Conflict},
		"changed, and the answer is lost": {run.Faults{Committed: once("/UpdateService", status.Error(codes.Unavailable, "away"))}, errs.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := platform(t, &test.faults)
			one := rollout.Revision{Name: "litter-v1", Tag: "v1", Env: map[string]string{"NAME": "one"}}
			two := rollout.Revision{Name: "litter-v2", Tag: "v2", Env: map[string]string{"NAME": "two"}}
			failed := 0
			repeat := func(err error, again func() error) {
				t.Helper()
				if err != nil {
					if failed++; !errors.Is(err, test.want) {
						t.Errorf("got %v, want %v", err, test.want)
					}
					err = again()
				}
				if err != nil {
					t.Fatalf("repeated: %v", err)
				}
			}
			for _, r := range []rollout.Revision{one, two} {
				ensure := func() error { return p.EnsureRevision(t.Context(), "litter", r) }
				repeat(ensure(), ensure)
			}
			if failed != 1 {
				t.Errorf("%d calls failed", failed)
			}
			s, err := p.Describe(t.Context(), "litter")
			if err != nil {
				t.Fatal(err)
			}
			if len(s.Revisions) != 2 || s.Revisions[0].Percent != 100 || s.Revisions[1].Percent != 0 || s.Revisions[1].Tag != "v2" || !s.Revisions[1].Ready {
				t.Errorf("revisions %+v", s.Revisions)
			}
		})
	}
}
