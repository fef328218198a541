package rollout_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/bus/busmem"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/rollout"
	"github.com/litterloop/litterloop/shared/rollout/platformmem"
)

// fault is what is wrong with a version.
type fault string

const (
	none       fault = ""
	crashes    fault = "its container does not start"
	notReady   fault = "it never gets ready"
	otherModel fault = "it serves another model"
	shifted    fault = "its boxes are shifted by a pixel"
	failing    fault = "it fails every second request of others"
	stuck      fault = "the platform refuses its revision again and again"
	noPhoto    fault = "its package lacks a golden photo"
	failsLate  fault = "its golden photos go wrong once it has traffic"
)

var golden = []modelpackage.Detection{
	{Box: [4]float64{10, 20, 110, 220}, ClassID: 1, Class: "can", Confidence: 0.9},
	{Box: [4]float64{12, 20, 111, 220}, ClassID: 1, Class: "can", Confidence: 0.3},
}

// world is everything that outlives a function: buckets, bus and platform.
type world struct {
	bucket   *blobmem.Bucket
	bus      *busmem.Bus
	platform *platformmem.Platform
	faults   map[int]fault
	policy   rollout.Policy
	traffic  rollout.Traffic // nil: revisions' own metrics
}

// newWorld has a registered version for every fault, numbered from 1.
func newWorld(t *testing.T, faults ...fault) *world {
	t.Helper()
	w := &world{bucket: blobmem.New("models"), bus: &busmem.Bus{}, faults: map[int]fault{}, policy: rollout.DefaultPolicy()}
	w.platform = platformmem.New(w.start)
	reg := registry.New(w.bucket, time.Now)
	for i, f := range faults {
		run := fmt.Sprintf("run%d", i+1)
		v, err := reg.Create(t.Context(), registry.Version{Model: "litter", Run: run, Package: "runs/" + run + "/package/", SHA256: sha(i + 1)})
		if err != nil {
			t.Fatal(err)
		}
		w.faults[v.Version] = f
		g := modelpackage.Golden{Conf: 0.25, IoU: 0.7, MaxDet: 300, Photos: []modelpackage.GoldenPhoto{{File: "a.jpg", Detections: golden}}}
		if _, err := blob.WriteJSON(t.Context(), w.bucket, v.Package+modelpackage.GoldenFile, g, blob.Absent); err != nil {
			t.Fatal(err)
		}
		if f == noPhoto {
			continue
		}
		if _, err := w.bucket.Write(t.Context(), v.Package+modelpackage.GoldenDir+"a.jpg", strings.NewReader("photo"), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func sha(version int) string { return strings.Repeat(strconv.Itoa(version), 64) }

// start makes the detector of a revision.
func (w *world) start(r rollout.Revision) http.Handler {
	n, err := strconv.Atoi(strings.TrimPrefix(r.Env["MODEL_URI"], "models:/litter/"))
	if err != nil {
		return nil
	}
	f := w.faults[n]
	if f == crashes {
		return nil
	}
	var scrapes, detections atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(rw http.ResponseWriter, _ *http.Request) {
		if f == notReady {
			http.Error(rw, "loading", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /v1/model", func(rw http.ResponseWriter, _ *http.Request) {
		if f == otherModel {
			n = 99
		}
		json.NewEncoder(rw).Encode(map[string]any{"name": "litter", "version": strconv.Itoa(n), "sha256": sha(n)})
	})
	mux.HandleFunc("POST /v1/detect", func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get(rollout.NoLogHeader) != "off" || r.URL.Query().Get("conf") != "0.25" {
			http.Error(rw, "a check must not be logged, and asks with the options of the golden photos", http.StatusBadRequest)
			return
		}
		found := append([]modelpackage.Detection(nil), golden...)
		found[0], found[1] = found[1], found[0] // the order means nothing
		if f == shifted || f == failsLate && detections.Add(1) > 1 {
			found[0].Box[2]++
		}
		json.NewEncoder(rw).Encode(map[string]any{"detections": found})
	})
	mux.HandleFunc("GET /metrics", func(rw http.ResponseWriter, _ *http.Request) {
		if f == failing {
			n := scrapes.Add(1)
			fmt.Fprintf(rw, "# TYPE litterloop_requests_total counter\nlitterloop_requests_total{code=\"200\"} %d\nlitterloop_requests_total{code=\"503\"} %d\n", 50*n, 50*n)
		}
	})
	return mux
}

// errCrash is what a function sees of the world after it has died.
var errCrash = errors.New("the function died")

// life is one life of the deploy function: every call to the world but HTTP,
// which has no effects, goes through do, which dies before or after the budget's last one.
type life struct {
	w      *world
	budget *atomic.Int64 // effects until death; nil: immortal
	after  bool          // the last effect still happens
}

func (l life) do(effect func() error) error {
	if l.budget == nil {
		return effect()
	}
	left := l.budget.Add(-1)
	if left < 0 {
		return errCrash
	}
	if left > 0 {
		return effect()
	}
	if l.after {
		effect()
	}
	return errCrash
}

// roller is the function's inside.
func (l life) roller(t *testing.T) *rollout.Roller {
	t.Helper()
	bucket := mortalBucket{l.w.bucket, l}
	r, err := rollout.New(rollout.Options{
		Models: bucket, Registry: registry.New(bucket, time.Now), Platform: mortalPlatform{l.w.platform, l},
		Bus: mortalBus{l.w.bus, l}, HTTP: l.w.platform.Client(), Traffic: l.w.traffic, Policy: l.w.policy, Now: time.Now, Sleep: sleep,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type mortalBucket struct {
	blob.Bucket
	l life
}

func (b mortalBucket) Open(ctx context.Context, name string, offset, length int64) (r io.ReadCloser, a blob.Attrs, err error) {
	err = b.l.do(func() error { r, a, err = b.Bucket.Open(ctx, name, offset, length); return err })
	return r, a, err
}

func (b mortalBucket) Write(ctx context.Context, name string, r io.Reader, o blob.WriteOptions) (a blob.Attrs, err error) {
	p, err := io.ReadAll(r)
	if err != nil {
		return a, err
	}
	err = b.l.do(func() error { a, err = b.Bucket.Write(ctx, name, bytes.NewReader(p), o); return err })
	return a, err
}

func (b mortalBucket) List(ctx context.Context, prefix string) iter.Seq2[blob.Attrs, error] {
	if err := b.l.do(func() error { return nil }); err != nil {
		return func(yield func(blob.Attrs, error) bool) { yield(blob.Attrs{}, err) }
	}
	return b.Bucket.List(ctx, prefix)
}

type mortalPlatform struct {
	p rollout.Platform
	l life
}

func (m mortalPlatform) Describe(ctx context.Context, service string) (s rollout.Service, err error) {
	err = m.l.do(func() error { s, err = m.p.Describe(ctx, service); return err })
	return s, err
}

func (m mortalPlatform) EnsureRevision(ctx context.Context, service string, r rollout.Revision) error {
	return m.l.do(func() error {
		if n, err := strconv.Atoi(strings.TrimPrefix(r.Tag, "v")); err == nil && m.l.w.faults[n] == stuck {
			return errors.New("the quota is used up")
		}
		return m.p.EnsureRevision(ctx, service, r)
	})
}

func (m mortalPlatform) SetTraffic(ctx context.Context, service string, shares []rollout.Share) error {
	return m.l.do(func() error { return m.p.SetTraffic(ctx, service, shares) })
}

func (m mortalPlatform) DeleteRevision(ctx context.Context, service, revision string) error {
	return m.l.do(func() error { return m.p.DeleteRevision(ctx, service, revision) })
}

type mortalBus struct {
	bus.Publisher
	l life
}

func (b mortalBus) Publish(ctx context.Context, topic string, e event.Event) error {
	return b.l.do(func() error { return b.Publisher.Publish(ctx, topic, e) })
}

// state is all that must be the same in the end, however it came about.
type state struct {
	Shares   []rollout.Status
	Staging  int
	Rollouts map[int]rollout.State
	Codes    map[int]string
	Alerts   map[string]string // event id -> code
}

func (w *world) state(t *testing.T) state {
	t.Helper()
	s := state{Rollouts: map[int]rollout.State{}, Codes: map[int]string{}, Alerts: map[string]string{}}
	d, err := w.platform.Describe(t.Context(), "litter")
	if err != nil && !errors.Is(err, errs.NotFound) {
		t.Fatal(err)
	}
	s.Shares = d.Revisions
	aliases, err := registry.New(w.bucket, time.Now).Aliases(t.Context(), "litter")
	if err != nil {
		t.Fatal(err)
	}
	s.Staging = aliases[registry.Staging]
	for v := range w.faults {
		var ro rollout.Rollout
		_, err := blob.ReadJSON(t.Context(), w.bucket, fmt.Sprintf("rollouts/litter/%d.json", v), &ro)
		if errors.Is(err, errs.NotFound) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		s.Rollouts[v] = ro.State
		if ro.Code != "" {
			s.Codes[v] = ro.Code
		}
	}
	for _, m := range w.bus.Messages() {
		var d event.AlertData
		if err := json.Unmarshal(m.Event.Data, &d); err != nil || m.Topic != bus.Alerts {
			t.Fatalf("published %v on %s: %v", m.Event, m.Topic, err)
		}
		s.Alerts[m.Event.ID] = d.Code
	}
	return s
}

// deliver hands the version's event to the function until it is acknowledged,
// as the bus does.
func (w *world) deliver(t *testing.T, version int) rollout.Rollout {
	t.Helper()
	for range 20 {
		ro, err := (life{w: w}).roller(t).Run(t.Context(), "litter", version)
		if err == nil {
			return ro
		}
		time.Sleep(10 * time.Second) // the bus's back-off, in the bubble's time
	}
	t.Fatalf("version %d was never rolled out", version)
	return rollout.Rollout{}
}
