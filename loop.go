// Package litterloop registers the functions of the loop, in its order. It
// stands at the root because Google Cloud's functions buildpack looks there.
package litterloop

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"sync"

	"github.com/GoogleCloudPlatform/functions-framework-go/functions"

	"github.com/litterloop/litterloop/shared/config"
	"github.com/litterloop/litterloop/shared/setup"
	"github.com/litterloop/litterloop/shared/telemetry"
	"github.com/litterloop/litterloop/shared/telemetry/export"
)

// Functions are the steps of the loop that events drive: event in -> event out.
var Functions = []Function{
	{"convert", newConvert},   // object finalized in incoming -> a data set version, its dataset.json last
	{"validate", newValidate}, // object finalized: dataset.json -> train, or an alert
	{"train", newTrain},       // train, retrain -> a training job, which publishes register
	{"register", newRegister}, // register -> deploy, or an alert
	{"deploy", newDeploy},     // deploy -> the alias staging, or an alert
	{"drift", newDrift},       // the schedule -> retrain, or an alert
}

// Function is one step: its name, and how its handler is made from a deployment
// and its policy.
type Function struct {
	Name  string
	build func(ctx context.Context, p *setup.Parts, policy config.Policy) (http.Handler, error)
}

func init() {
	// Google's functions framework has a main of its own: what it runs is set up
	// here, and other programs that hold the functions are left alone.
	target := os.Getenv("FUNCTION_TARGET")
	if target != "" {
		slog.SetDefault(telemetry.Logger(os.Stderr, os.Getenv))
	}
	d := deployment{target: target}
	for _, f := range Functions {
		functions.HTTP(f.Name, d.flushed(f.Handler(d.open, slog.Default())).ServeHTTP)
	}
}

// deployment opens the clients on the first request, from the environment; a
// failure is told to that request alone, and the next one tries again.
type deployment struct {
	target string // the one function that this process serves; "" for all
	mu     sync.Mutex
	parts  *setup.Parts
	traces *export.Provider
}

func (d *deployment) open(ctx context.Context) (*setup.Parts, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.parts != nil {
		return d.parts, nil
	}
	cfg, err := setup.FromEnv(os.Getenv)
	if err != nil {
		return nil, err
	}
	// The clients outlive the request that happens to build them.
	ctx = context.WithoutCancel(ctx)
	if d.traces == nil {
		service := "functions"
		if d.target != "" {
			service = d.target
		}
		if d.traces, err = setup.Telemetry(ctx, service, true, os.Getenv, slog.Default()); err != nil {
			return nil, err
		}
		go d.traces.ShutdownOnTerm()
	}
	d.parts, err = setup.Open(ctx, cfg)
	return d.parts, err
}

// flushed sends what a request told of itself before it is answered: between
// requests Cloud Run gives no processor time.
func (d *deployment) flushed(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		d.mu.Lock()
		traces := d.traces
		d.mu.Unlock()
		traces.Flush(r.Context())
	})
}

// Handler serves the function; its handler is made anew when the policy file
// changed. What cannot be made is answered with 503, so that the bus comes again.
func (f Function) Handler(open func(context.Context) (*setup.Parts, error), log *slog.Logger) http.Handler {
	var (
		mu   sync.Mutex
		hash string
		made http.Handler
	)
	current := func(ctx context.Context) (http.Handler, error) {
		parts, err := open(ctx)
		if err != nil {
			return nil, err
		}
		policy, err := parts.Policy(ctx)
		if err != nil {
			return nil, err
		}
		now, err := policy.Hash()
		if err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		if made == nil || now != hash {
			h, err := f.build(context.WithoutCancel(ctx), parts, policy)
			if err != nil {
				return nil, err
			}
			made, hash = h, now
		}
		return made, nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, err := current(r.Context())
		if err != nil {
			log.ErrorContext(r.Context(), "function cannot start", "function", f.Name, "error", err)
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		h.ServeHTTP(w, r)
	})
}
