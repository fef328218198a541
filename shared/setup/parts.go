package setup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2"
	run "cloud.google.com/go/run/apiv2"
	"cloud.google.com/go/storage"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobgcs"
	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/bus/buspubsub"
	"github.com/litterloop/litterloop/shared/config"
)

// Parts are the clients of one deployment. Cloud Run's are built when first
// asked for; a failure to build one is not remembered.
type Parts struct {
	Config

	storage   *storage.Client
	pubsub    *pubsub.Client
	publisher *buspubsub.Publisher

	policies *policies

	mu  sync.Mutex
	run *runClients
}

type runClients struct {
	services   *run.ServicesClient
	revisions  *run.RevisionsClient
	jobs       *run.JobsClient
	executions *run.ExecutionsClient
}

// Open builds the clients that every part of the loop uses.
func Open(ctx context.Context, cfg Config) (*Parts, error) {
	s, err := storage.NewClient(ctx)
	if err != nil {
		return nil, fmt.Errorf("cloud storage client: %w", err)
	}
	p, err := pubsub.NewClient(ctx, cfg.Project)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pub/sub client: %w", err), s.Close())
	}
	parts := &Parts{Config: cfg, storage: s, pubsub: p, publisher: buspubsub.New(p)}
	parts.policies = &policies{models: parts.Bucket(parts.Models), bus: parts.publisher, now: time.Now}
	return parts, nil
}

// Bucket returns any bucket by its name.
func (p *Parts) Bucket(name string) blob.Bucket { return blobgcs.New(p.storage, name) }

// PubSub is the client, for tools that read subscriptions.
func (p *Parts) PubSub() *pubsub.Client { return p.pubsub }

// Publisher publishes on the deployment's bus.
func (p *Parts) Publisher() bus.Publisher { return p.publisher }

// Policy is the deployment's policy file, at most policyAge old. While the file
// is faulty people are told, and the last good policy that this process read
// goes on; a process that read none returns the fault.
func (p *Parts) Policy(ctx context.Context) (config.Policy, error) { return p.policies.current(ctx) }

// Location is the Cloud Run location, projects/P/locations/L.
func (p *Parts) Location() string {
	return fmt.Sprintf("projects/%s/locations/%s", p.Project, p.Region)
}

func (p *Parts) cloudRun(ctx context.Context) (*runClients, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil {
		return p.run, nil
	}
	var opts []option.ClientOption
	if p.RunEmulator != "" {
		opts = []option.ClientOption{option.WithEndpoint(p.RunEmulator), option.WithoutAuthentication(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials()))}
	}
	var c runClients
	var errs [4]error
	c.services, errs[0] = run.NewServicesClient(ctx, opts...)
	c.revisions, errs[1] = run.NewRevisionsClient(ctx, opts...)
	c.jobs, errs[2] = run.NewJobsClient(ctx, opts...)
	c.executions, errs[3] = run.NewExecutionsClient(ctx, opts...)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, errors.Join(fmt.Errorf("cloud run clients: %w", err), c.close())
	}
	p.run = &c
	return p.run, nil
}

func (c *runClients) close() error {
	var errs []error
	if c.services != nil {
		errs = append(errs, c.services.Close())
	}
	if c.revisions != nil {
		errs = append(errs, c.revisions.Close())
	}
	if c.jobs != nil {
		errs = append(errs, c.jobs.Close())
	}
	if c.executions != nil {
		errs = append(errs, c.executions.Close())
	}
	return errors.Join(errs...)
}

// Close waits for what is being published and closes the clients.
func (p *Parts) Close() error {
	errs := []error{p.publisher.Close(), p.pubsub.Close(), p.storage.Close()}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil {
		errs = append(errs, p.run.close())
		p.run = nil
	}
	return errors.Join(errs...)
}
