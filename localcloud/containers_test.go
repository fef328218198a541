package localcloud

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	run "cloud.google.com/go/run/apiv2"
	"cloud.google.com/go/run/apiv2/runpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/litterloop/litterloop/localcloud/scheduler"
	"github.com/litterloop/litterloop/shared/detector/service"
)

// TestMain is also the container that the tests deploy: it listens where the
// detector would, and answers its process.
func TestMain(m *testing.M) {
	if os.Getenv("K_SERVICE") == "" {
		os.Exit(m.Run())
	}
	c, err := service.FromEnv(os.Getenv)
	if err == nil {
		err = http.ListenAndServe(c.Addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, os.Getpid()) }))
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// Nothing of the local cloud can be reached from another machine, its containers
// included.
func TestStart_listensOnLoopbackAlone(t *testing.T) {
	if _, err := os.Stat("/proc/self/net/tcp6"); err != nil {
		t.Skip("only Linux tells which process listens where: ", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Start(t.Context(), Options{Dir: t.TempDir(), Images: map[string][]string{DetectorImage: {self}}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	c.ServeFunctions(http.NotFoundHandler())
	client, err := run.NewServicesClient(t.Context(), option.WithEndpoint(c.Endpoints.GRPC), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	op, err := client.CreateService(t.Context(), &runpb.CreateServiceRequest{
		Parent: "projects/local/locations/here", ServiceId: "litter",
		Service: &runpb.Service{Template: &runpb.RevisionTemplate{Containers: []*runpb.Container{{
			Image: DetectorImage, Env: []*runpb.EnvVar{{Name: "MODEL_URI", Values: &runpb.EnvVar_Value{Value: "model.onnx"}}},
		}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := op.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(s.Uri)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var container int
	if _, err := fmt.Fscan(resp.Body, &container); err != nil {
		t.Fatal(err)
	}
	for name, pid := range map[string]int{"the local cloud": os.Getpid(), "the container": container} {
		addresses := listening(t, pid)
		if len(addresses) == 0 {
			t.Errorf("%s listens nowhere", name)
		}
		for _, a := range addresses {
			if !a.IP.IsLoopback() {
				t.Errorf("%s listens on %s", name, a)
			}
		}
	}
}

// listening returns where a process listens, from /proc.
func listening(t *testing.T, pid int) (out []*net.TCPAddr) {
	t.Helper()
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	sockets := map[string]bool{}
	files, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if link, err := os.Readlink(filepath.Join(dir, "fd", f.Name())); err == nil {
			sockets[link] = true
		}
	}
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(filepath.Join(dir, "net", table))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			const local, state, inode, listens = 1, 3, 9, "0A"
			f := strings.Fields(line)
			if len(f) <= inode || f[state] != listens || !sockets["socket:["+f[inode]+"]"] {
				continue
			}
			host, port, _ := strings.Cut(f[local], ":")
			n, err := strconv.ParseUint(port, 16, 16)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, &net.TCPAddr{IP: kernelIP(t, host), Port: int(n)})
		}
	}
	return out
}

// kernelIP decodes an address as /proc writes it: words of four bytes, each
// with its lowest byte first.
func kernelIP(t *testing.T, hex string) net.IP {
	t.Helper()
	ip := make(net.IP, len(hex)/2)
	for i := range ip {
		b, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		ip[i/4*4+3-i%4] = byte(b)
	}
	return ip
}

func TestScheduler_signsIn(t *testing.T) {
	c, err := Start(t.Context(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	bearer := make(chan string, 1)
	c.ServeFunctions(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { bearer <- r.Header.Get("Authorization") }))
	job := scheduler.Job{Name: "drift", Schedule: "0 4 1 1 *", Target: scheduler.Target{URL: "http://" + c.Endpoints.Functions + "/drift", Account: "scheduler@local.iam.gserviceaccount.com"}}
	if err := c.Scheduler.Put(job); err != nil {
		t.Fatal(err)
	}
	if err := c.Scheduler.Run(t.Context(), job.Name); err != nil {
		t.Fatal(err)
	}
	if token := strings.Split(<-bearer, "."); !strings.HasPrefix(token[0], "Bearer ") || len(token) != 3 {
		t.Errorf("%d parts of a token, the first %q", len(token), token[0])
	}
}

func TestFaults_ofCloudRun(t *testing.T) {
	if (Faults{Duplicate: 1, Delay: 1, MaxDelay: time.Second}).run() != nil {
		t.Error("faults of others are injected into Cloud Run")
	}
	f := Faults{Seed: 1, Unavailable: 0.2, LoseAnswer: 0.3}.run()
	refused, lost := 0, 0
	for range 1000 {
		if f.Call("/google.cloud.run.v2.Jobs/RunJob") != nil {
			refused++
		}
		if f.Committed("/google.cloud.run.v2.Services/UpdateService") != nil {
			lost++
		}
		if f.Call("/google.cloud.run.v2.Jobs/CreateJob") != nil || f.Committed("/google.cloud.run.v2.Services/GetService") != nil {
			t.Fatal("what is provisioned by hand, or changes nothing, was hit")
		}
	}
	if refused < 100 || refused > 300 || lost < 200 || lost > 400 {
		t.Errorf("of 1000 calls %d refused and %d answers lost, want about 200 and 300", refused, lost)
	}
	again := Faults{Seed: 1, Unavailable: 0.2, LoseAnswer: 0.3}.run()
	first := Faults{Seed: 1, Unavailable: 0.2, LoseAnswer: 0.3}.run()
	for i := range 100 {
		method := fmt.Sprint("/google.cloud.run.v2.Jobs/RunJob", i)
		if (again.Call(method) == nil) != (first.Call(method) == nil) {
			t.Fatal("the same seed made other faults")
		}
	}
}
