package litterloop

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/litterloop/litterloop/functions/convert"
	"github.com/litterloop/litterloop/functions/deploy"
	"github.com/litterloop/litterloop/functions/drift"
	"github.com/litterloop/litterloop/functions/register"
	"github.com/litterloop/litterloop/functions/train"
	"github.com/litterloop/litterloop/functions/validate"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/config"
	"github.com/litterloop/litterloop/shared/dataset"
	shareddrift "github.com/litterloop/litterloop/shared/drift"
	"github.com/litterloop/litterloop/shared/event"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/retrain"
	"github.com/litterloop/litterloop/shared/rollout"
	"github.com/litterloop/litterloop/shared/setup"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/training"
)

func newConvert(_ context.Context, p *setup.Parts, policy config.Policy) (http.Handler, error) {
	log := slog.With("function", "convert")
	f := convert.New(p.Bucket(p.Incoming), p.Bucket(p.Datasets), p.Publisher(), policy.Dataset, time.Now, log)
	return event.Handler("convert", log, f.Handle), nil
}

func newValidate(_ context.Context, p *setup.Parts, policy config.Policy) (http.Handler, error) {
	log := slog.With("function", "validate")
	decide := evaluator(p, policy)
	decider := validate.DeciderFunc(func(ctx context.Context, v dataset.Version) error {
		_, err := decide.Validated(ctx, v)
		return err
	})
	f := validate.New(p.Bucket(p.Datasets), decider, p.Publisher(), policy.Validation, time.Now, log)
	return event.Handler("validate", log, f.Handle), nil
}

func newTrain(ctx context.Context, p *setup.Parts, policy config.Policy) (http.Handler, error) {
	recipe, err := json.Marshal(policy.Train.Recipe)
	if err != nil {
		return nil, fmt.Errorf("recipe: %w", err)
	}
	supervisor, err := supervisor(ctx, p, policy)
	if err != nil {
		return nil, err
	}
	return train.New(book(p), supervisor, p.Publisher(), recipe, time.Now, slog.With("function", "train")), nil
}

func newRegister(ctx context.Context, p *setup.Parts, policy config.Policy) (http.Handler, error) {
	log := slog.With("function", "register")
	supervisor, err := supervisor(ctx, p, policy)
	if err != nil {
		return nil, err
	}
	decide := evaluator(p, policy)
	models := p.Bucket(p.Models)
	f := register.New(register.Deps{
		Model: p.Model, Models: models,
		Registry: registry.New(models, time.Now), Runs: tracking.New(models, time.Now),
		Book: book(p), Supervisor: supervisor, Gate: policy.Gate,
		Current: datasets{p.Bucket(p.Datasets)}.Current,
		Reconsider: func(ctx context.Context) error {
			_, err := decide.Reconsider(ctx)
			return err
		},
		Bus: p.Publisher(), Now: time.Now, Log: log,
	})
	return event.Handler("register", log, f.Handle), nil
}

func newDeploy(ctx context.Context, p *setup.Parts, policy config.Policy) (http.Handler, error) {
	log := slog.With("function", "deploy")
	platform, err := p.Platform(ctx)
	if err != nil {
		return nil, err
	}
	traffic, err := p.Monitoring(ctx)
	if err != nil {
		return nil, err
	}
	models := p.Bucket(p.Models)
	r, err := rollout.New(rollout.Options{
		Models: models, Registry: registry.New(models, time.Now), Platform: platform, Bus: p.Publisher(),
		HTTP: p.HTTP(), Traffic: traffic, Policy: policy.Rollout, Env: p.DetectorEnv(policy), Now: time.Now, Sleep: sleep, Log: log,
	})
	if err != nil {
		return nil, err
	}
	return event.Handler("deploy", log, deploy.New(r, time.Now, log).Handle), nil
}

func newDrift(_ context.Context, p *setup.Parts, policy config.Policy) (http.Handler, error) {
	models := p.Bucket(p.Models)
	checker := shareddrift.NewChecker(policy.Drift, p.Model, registry.New(models, time.Now), models, p.Bucket(p.Predictions), time.Now)
	return drift.New(checker, evaluator(p, policy), p.Bucket(p.Predictions), p.Publisher(), time.Now, slog.With("function", "drift")), nil
}

func book(p *setup.Parts) *training.Book { return training.NewBook(p.Bucket(p.Models), time.Now) }

func supervisor(ctx context.Context, p *setup.Parts, policy config.Policy) (*training.Supervisor, error) {
	launcher, err := p.Launcher(ctx)
	if err != nil {
		return nil, err
	}
	return training.NewSupervisor(book(p), launcher, p.TrainerJob, policy.Train.Policy, time.Now), nil
}

func evaluator(p *setup.Parts, policy config.Policy) *retrain.Evaluator {
	return retrain.NewEvaluator(policy.Retrain, p.Bucket(p.Predictions), p.Bucket(p.Ledger), datasets{p.Bucket(p.Datasets)}, book(p), p.Publisher(), time.Now)
}

// datasets are the versions in a bucket, as the retrain policy asks for them.
type datasets struct{ bucket blob.Bucket }

func (d datasets) Current(ctx context.Context) (dataset.Version, error) {
	return dataset.Current(ctx, d.bucket)
}

func (d datasets) Load(ctx context.Context, id string) (dataset.Version, error) {
	return dataset.Load(ctx, d.bucket, id)
}

func (d datasets) Photos(ctx context.Context, id string) ([]dataset.Photo, error) {
	return dataset.Photos(ctx, d.bucket, id)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
