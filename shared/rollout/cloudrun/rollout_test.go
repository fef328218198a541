package cloudrun_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/run/apiv2/runpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/bus/busmem"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/rollout"
	"github.com/litterloop/litterloop/shared/rollout/cloudrun"
)

// project is a deployment with registered versions, and the recorded Cloud Run.
type project struct {
	*contract
	models *blobmem.Bucket
	roller *rollout.Roller
	now    time.Time
}

func newProject(t *testing.T, versions int) *project {
	t.Helper()
	p := &project{contract: newContract(), models: blobmem.New("models"), now: time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)}
	now := func() time.Time { return p.now }
	reg := registry.New(p.models, now)
	for n := 1; n <= versions; n++ {
		v, err := reg.Create(t.Context(), registry.Version{Model: "litter", Run: fmt.Sprint("run", n), Package: fmt.Sprintf("runs/%d/package/", n), SHA256: fmt.Sprint("sha", n)})
		if err != nil {
			t.Fatal(err)
		}
		g := modelpackage.Golden{Conf: 0.25, IoU: 0.7, MaxDet: 300, Photos: []modelpackage.GoldenPhoto{{File: "a.jpg"}}}
		if _, err := blob.WriteJSON(t.Context(), p.models, v.Package+modelpackage.GoldenFile, g, blob.Absent); err != nil {
			t.Fatal(err)
		}
		if _, err := p.models.Write(t.Context(), v.Package+modelpackage.GoldenDir+"a.jpg", strings.NewReader("photo"), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
			t.Fatal(err)
		}
	}
	services, revisions := p.clients(t)
	policy := rollout.DefaultPolicy()
	policy.KeepRevisions, policy.Hold = 2, 0
	var err error
	p.roller, err = rollout.New(rollout.Options{
		Models: p.models, Registry: reg, Bus: &busmem.Bus{}, HTTP: &http.Client{Transport: p}, Policy: policy,
		Platform: cloudrun.New(services, revisions, parent, &runpb.RevisionTemplate{MaxInstanceRequestConcurrency: 8, Containers: []*runpb.Container{{
			Image: "detector:1", Resources: &runpb.ResourceRequirements{Limits: map[string]string{"memory": "4Gi"}},
		}}}),
		Now: now, Log: slog.New(slog.DiscardHandler),
		// Time stands still: only the lease, which is renewed by the side, waits.
		Sleep: func(ctx context.Context, d time.Duration) error {
			if d > 2*time.Second {
				<-ctx.Done()
			}
			return ctx.Err()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// RoundTrip implements http.RoundTripper: it is the detector of the revision that
// a tag names.
func (p *project) RoundTrip(r *http.Request) (*http.Response, error) {
	tag, _, _ := strings.Cut(r.URL.Host, "---")
	p.mu.Lock()
	version := ""
	for _, t := range p.service.TrafficStatuses {
		if t.Tag == tag {
			for _, e := range p.revision(t.Revision).Containers[0].Env {
				if e.Name == "MODEL_URI" {
					version = path.Base(e.GetValue())
				}
			}
		}
	}
	p.mu.Unlock()
	w := httptest.NewRecorder()
	switch {
	case version == "":
		w.WriteHeader(http.StatusNotFound)
	case r.URL.Path == "/v1/model":
		json.NewEncoder(w).Encode(map[string]string{"version": version, "sha256": "sha" + version})
	case r.URL.Path == "/v1/detect":
		w.WriteString(`{"detections": []}`)
	}
	return w.Result(), nil
}

// deliver hands a version's event over until it is acknowledged, and counts how
// often.
func (p *project) deliver(t *testing.T, version int) (ro rollout.Rollout, times int) {
	t.Helper()
	for times = 1; times <= 10; times++ {
		ro, err := p.roller.Run(t.Context(), "litter", version)
		if err == nil {
			return ro, times
		}
		p.now = p.now.Add(time.Minute) // the bus's back-off
	}
	t.Fatalf("version %d was never rolled out", version)
	return ro, times
}

// ends is all that must be the same however the rollout came about.
func (p *project) ends(t *testing.T, ro rollout.Rollout) string {
	t.Helper()
	aliases, err := registry.New(p.models, time.Now).Aliases(t.Context(), "litter")
	if err != nil {
		t.Fatal(err)
	}
	var revisions []string
	for _, r := range p.revisions {
		revisions = append(revisions, path.Base(r.Name))
	}
	return fmt.Sprintf("%s; serving %s; revisions %s; staging %d", ro.State, p.shares(), revisions[1:], aliases[registry.Staging]) // the first is Terraform's
}

// Whatever a call is answered with, and whoever changes the service in between,
// the rollout ends where it would have.
func TestRollout_anyCallMayFail(t *testing.T) {
	p := newProject(t, 3)
	for v := 1; v <= 2; v++ {
		p.deliver(t, v)
	}
	before := p.calls
	ro, _ := p.deliver(t, 3)
	want, calls := p.ends(t, ro), p.calls-before
	if want != "serving; serving litter-v3 100 v3; revisions [litter-v2 litter-v3]; staging 3" {
		t.Fatalf("undisturbed it ends %s", want)
	}
	// answer gives the code to calls of the methods, all when none is named.
	answer := func(code codes.Code, after bool, methods ...string) func(*contract, string, bool) error {
		return func(_ *contract, method string, now bool) error {
			if now != after || len(methods) > 0 && !slices.Contains(methods, method) {
				return nil
			}
			return status.Error(code, "injected")
		}
	}
	for name, disturb := range map[string]func(c *contract, method string, after bool) error{
		"away before it took effect":   answer(codes.Unavailable, false),
		"away after it took effect":    answer(codes.Unavailable, true),
		"aborted":                      answer(codes.Aborted, false, "UpdateService", "WaitOperation", "DeleteRevision"),
		"already exists":               answer(codes.AlreadyExists, false, "UpdateService", "WaitOperation"),
		"another operation is running": answer(codes.FailedPrecondition, false, "UpdateService", "WaitOperation"),
		"too many requests":            answer(codes.ResourceExhausted, false),
		"an answer too late":           answer(codes.DeadlineExceeded, true),
		"an error of the server":       answer(codes.Internal, true),
		"a stale etag": func(c *contract, _ string, after bool) error {
			if !after {
				c.changed()
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := 1; n <= calls; n++ {
				p := newProject(t, 3)
				for v := 1; v <= 2; v++ {
					p.deliver(t, v)
				}
				first, method := p.calls, ""
				p.fault = func(call int, m string, after bool) error {
					if call-first != n {
						return nil
					}
					method = m
					return disturb(p.contract, m, after)
				}
				ro, _ := p.deliver(t, 3)
				if got := p.ends(t, ro); got != want {
					t.Errorf("call %d, %s: ends %s, want %s", n, method, got, want)
				}
			}
		})
	}
}

// What Terraform declared beside the container that is replaced stays in every
// revision: the collector of metrics, the processors, the account.
func TestRollout_keepsWhatTerraformDeclared(t *testing.T) {
	p := newProject(t, 1)
	p.deliver(t, 1)
	r := p.revision("litter-v1")
	if len(r.Containers) != 2 || r.Containers[1].Name != "collector" || r.Containers[1].DependsOn[0] != r.Containers[0].Name {
		t.Fatalf("containers %v", r.Containers)
	}
	main := r.Containers[0]
	if main.Resources.Limits["memory"] != "4Gi" || main.Resources.Limits["cpu"] != "2" || !main.Resources.CpuIdle || p.service.Template.MaxInstanceRequestConcurrency != 8 {
		t.Errorf("what was declared since did not arrive: %v", main.Resources)
	}
	if main.Image != "detector:1" || p.service.Template.ServiceAccount != declared().Template.ServiceAccount {
		t.Errorf("container %v of %s", main, p.service.Template.ServiceAccount)
	}
	env := map[string]string{}
	for _, e := range main.Env {
		env[e.Name] = e.GetValue()
	}
	if env["PHOTO_BUCKETS"] != "-" || env["MODEL_URI"] != "models:/litter/1" {
		t.Errorf("environment %v", env)
	}
}
