package run_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	runapi "cloud.google.com/go/run/apiv2"
	"cloud.google.com/go/run/apiv2/runpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/litterloop/litterloop/localcloud/run"
)

const (
	parent = "projects/demo/locations/here"
	child  = "LOCALCLOUD_RUN_TEST_CHILD"
)

// The test binary is also what the containers run, and the host that is killed.
func TestMain(m *testing.M) {
	if os.Getenv(child) == "" {
		os.Exit(m.Run())
	}
	role := os.Args[1]
	switch role {
	case "server":
		serverChild()
	case "job":
		os.Exit(jobChild(os.Args[2:]))
	case "host":
		hostChild(os.Args[2])
	case "exit":
		os.Exit(3)
	}
}

// serverChild is a container of a service.
func serverChild() {
	if f := os.Getenv("BROKEN_FILE"); f != "" {
		if _, err := os.Stat(f); err == nil {
			os.Exit(4)
		}
	}
	release := make(chan struct{})
	http.HandleFunc("/readyz", func(w http.ResponseWriter, r *http.Request) {
		if f := os.Getenv("READY_FILE"); f != "" {
			if _, err := os.Stat(f); err != nil {
				http.Error(w, "not ready", http.StatusServiceUnavailable)
			}
		}
	})
	http.HandleFunc("/env", func(w http.ResponseWriter, r *http.Request) {
		env := map[string]string{}
		for _, kv := range os.Environ() {
			k, v, _ := strings.Cut(kv, "=")
			env[k] = v
		}
		json.NewEncoder(w).Encode(env)
	})
	http.HandleFunc("/pid", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, os.Getpid()) })
	http.HandleFunc("/port", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, os.Getenv("PORT")) })
	http.HandleFunc("/die", func(w http.ResponseWriter, r *http.Request) { os.Exit(1) })
	http.HandleFunc("/fail", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "failed", 500) })
	// /hold answers its headers at once and the rest when /release is called.
	http.HandleFunc("/hold", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "held ")
		w.(http.Flusher).Flush()
		<-release
		io.WriteString(w, "and released")
	})
	http.HandleFunc("/release", func(w http.ResponseWriter, r *http.Request) { close(release) })
	http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil)
}

// jobChild is a container of a job: fail N fails the attempts below N, block
// waits for SIGTERM in those below N.
func jobChild(args []string) int {
	attempt, _ := strconv.Atoi(os.Getenv("CLOUD_RUN_TASK_ATTEMPT"))
	fmt.Printf("attempt %d of %s in %s, GREETING=%s\n", attempt, os.Getenv("CLOUD_RUN_JOB"), os.Getenv("CLOUD_RUN_EXECUTION"), os.Getenv("GREETING"))
	until := 1
	if len(args) > 1 {
		until, _ = strconv.Atoi(args[1])
	}
	if args[0] == "ok" || attempt >= until {
		return 0
	}
	if args[0] == "fail" {
		return 7
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	if url := os.Getenv("STARTED_URL"); url != "" {
		http.Get(url)
	}
	<-stop
	return 1
}

// hostChild is a whole server, for killing.
func hostChild(dir string) {
	s, err := run.New(options(dir))
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		os.Exit(1)
	}
	g := grpc.NewServer()
	s.Register(g)
	fmt.Println(l.Addr())
	g.Serve(l)
}

func options(dir string) run.Options {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return run.Options{
		Dir:     dir,
		Images:  map[string][]string{"server": {exe, "server"}, "job": {exe, "job"}, "exit": {exe, "exit"}},
		BaseEnv: []string{child + "=1", "PATH=" + os.Getenv("PATH"), "OVERRIDDEN=base"},
		Log:     slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError + 1})),
		Seed:    1,
	}
}

// cloud is a server and the Google clients of it.
type cloud struct {
	*run.Server
	services   *runapi.ServicesClient
	revisions  *runapi.RevisionsClient
	jobs       *runapi.JobsClient
	executions *runapi.ExecutionsClient
}

// open starts a server on dir; close is run by the test's end, or before.
func open(t testing.TB, o run.Options) (c *cloud, closeServer func()) {
	t.Helper()
	s, err := run.New(o)
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
	closed := false
	closeServer = func() {
		if closed {
			return
		}
		closed = true
		g.Stop()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(closeServer)
	c = dial(t, l.Addr().String())
	c.Server = s
	return c, closeServer
}

func dial(t testing.TB, addr string) *cloud {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c, ctx, opt := &cloud{}, t.Context(), option.WithGRPCConn(conn)
	if c.services, err = runapi.NewServicesClient(ctx, opt); err != nil {
		t.Fatal(err)
	}
	if c.revisions, err = runapi.NewRevisionsClient(ctx, opt); err != nil {
		t.Fatal(err)
	}
	if c.jobs, err = runapi.NewJobsClient(ctx, opt); err != nil {
		t.Fatal(err)
	}
	if c.executions, err = runapi.NewExecutionsClient(ctx, opt); err != nil {
		t.Fatal(err)
	}
	return c
}

// template of a revision of image, with the given environment ("K=v").
func template(revision, image string, env ...string) *runpb.RevisionTemplate {
	c := &runpb.Container{
		Image:        image,
		StartupProbe: &runpb.Probe{PeriodSeconds: 1, FailureThreshold: 20, ProbeType: &runpb.Probe_HttpGet{HttpGet: &runpb.HTTPGetAction{Path: "/readyz"}}},
	}
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		c.Env = append(c.Env, &runpb.EnvVar{Name: k, Values: &runpb.EnvVar_Value{Value: v}})
	}
	return &runpb.RevisionTemplate{Revision: revision, Containers: []*runpb.Container{c}}
}

// to is a share of traffic; a tag may follow the percentage.
func to(revision string, percent int32, tag ...string) *runpb.TrafficTarget {
	return &runpb.TrafficTarget{
		Type: runpb.TrafficTargetAllocationType_TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION, Revision: revision, Percent: percent,
		Tag: strings.Join(tag, ""),
	}
}

func (c *cloud) create(t testing.TB, id string, tmpl *runpb.RevisionTemplate, traffic ...*runpb.TrafficTarget) (*runpb.Service, error) {
	t.Helper()
	op, err := c.services.CreateService(t.Context(), &runpb.CreateServiceRequest{
		Parent: parent, ServiceId: id, Service: &runpb.Service{Template: tmpl, Traffic: traffic},
	})
	if err != nil {
		return nil, err
	}
	c.settle(t, op.Name())
	return op.Poll(t.Context())
}

// settle waits for an operation on the server's side: the clients' own Wait
// asks again only after up to a second.
func (c *cloud) settle(t testing.TB, operation string) {
	t.Helper()
	op, err := c.services.LROClient.WaitOperation(t.Context(), &longrunningpb.WaitOperationRequest{Name: operation})
	if err != nil || !op.Done {
		t.Fatalf("%s: %v, %v", operation, op, err)
	}
}

// update changes the service by read, modify, write.
func (c *cloud) update(t testing.TB, id string, change func(*runpb.Service)) (*runpb.Service, error) {
	t.Helper()
	s, err := c.services.GetService(t.Context(), &runpb.GetServiceRequest{Name: parent + "/services/" + id})
	if err != nil {
		t.Fatal(err)
	}
	change(s)
	op, err := c.services.UpdateService(t.Context(), &runpb.UpdateServiceRequest{Service: s})
	if err != nil {
		return nil, err
	}
	c.settle(t, op.Name())
	return op.Poll(t.Context())
}

func get(t testing.TB, url string) (body string, h http.Header, code int) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	p, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(p), resp.Header, resp.StatusCode
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func logOf(t testing.TB, dir, name string) string {
	t.Helper()
	p, err := os.ReadFile(filepath.Join(dir, "logs", name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	return cmp.Or(string(p), "(empty)")
}
