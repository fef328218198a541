package setup

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"cloud.google.com/go/run/apiv2/runpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/litterloop/litterloop/shared/config"
	"github.com/litterloop/litterloop/shared/rollout"
	rolloutcloudrun "github.com/litterloop/litterloop/shared/rollout/cloudrun"
	"github.com/litterloop/litterloop/shared/telemetry"
)

// Platform is where the detector's revisions run.
func (p *Parts) Platform(ctx context.Context) (rollout.Platform, error) {
	c, err := p.cloudRun(ctx)
	if err != nil {
		return nil, err
	}
	return rolloutcloudrun.New(c.services, c.revisions, p.Location(), p.template()), nil
}

// template is what revisions are made from: of what is not declared Cloud Run
// keeps the service's own.
func (p *Parts) template() *runpb.RevisionTemplate {
	declared := p.DetectorTemplate
	t := &runpb.RevisionTemplate{
		Timeout:                       durationpb.New(60 * time.Second),
		MaxInstanceRequestConcurrency: cmp.Or(declared.Concurrency, 16),
		Containers: []*runpb.Container{{
			Image: p.DetectorImage,
			StartupProbe: &runpb.Probe{
				PeriodSeconds: 1, TimeoutSeconds: 1, FailureThreshold: 120,
				ProbeType: &runpb.Probe_HttpGet{HttpGet: &runpb.HTTPGetAction{Path: "/readyz"}},
			},
		}},
	}
	limits := map[string]string{"cpu": declared.CPU, "memory": declared.Memory}
	maps.DeleteFunc(limits, func(_, v string) bool { return v == "" })
	if len(limits) > 0 {
		t.Containers[0].Resources = &runpb.ResourceRequirements{Limits: limits}
	}
	for _, name := range slices.Sorted(maps.Keys(declared.Env)) {
		t.Containers[0].Env = append(t.Containers[0].Env, &runpb.EnvVar{Name: name, Values: &runpb.EnvVar_Value{Value: declared.Env[name]}})
	}
	return t
}

// DetectorEnv is the environment of every revision, beside MODEL_URI.
func (p *Parts) DetectorEnv(policy config.Policy) map[string]string {
	env := map[string]string{
		"GOOGLE_CLOUD_PROJECT": p.Project,
		"MODELS_BUCKET":        p.Models,
		"PREDICTION_LOG":       "gs://" + p.Predictions,
	}
	maps.Copy(env, policy.Detector)
	return env
}

// HTTP calls revisions by their URLs, within the trace of the request's context
// and, where policies are enforced, with this caller's identity.
func (p *Parts) HTTP() *http.Client {
	return &http.Client{Timeout: 60 * time.Second, Transport: traced{newSigned(http.DefaultTransport, p.MetadataServer)}}
}

// traced tells the other side which trace a request belongs to.
type traced struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t traced) RoundTrip(r *http.Request) (*http.Response, error) {
	if carried := telemetry.Carry(r.Context()); carried != nil {
		r = r.Clone(r.Context())
		for key, v := range carried {
			r.Header.Set(key, v)
		}
	}
	return t.RoundTripper.RoundTrip(r)
}

// DetectorURL is the address of the deployed detector; errs.NotFound before the
// first deployment.
func (p *Parts) DetectorURL(ctx context.Context) (string, error) {
	platform, err := p.Platform(ctx)
	if err != nil {
		return "", err
	}
	s, err := platform.Describe(ctx, p.Model)
	return s.URL, err
}
