package setup

import (
	"context"

	"github.com/litterloop/litterloop/shared/status"
)

// Sources are where this deployment's status is read from.
func (p *Parts) Sources() status.Sources {
	return status.Sources{
		Incoming: p.Bucket(p.Incoming), Datasets: p.Bucket(p.Datasets), Models: p.Bucket(p.Models),
		Predictions: p.Bucket(p.Predictions), Ledger: p.Bucket(p.Ledger),
		Model: p.Model, Platform: p.Platform, Queues: p.queues,
	}
}

func (p *Parts) queues(ctx context.Context) ([]status.Queue, error) {
	c, err := p.Monitoring(ctx)
	if err != nil {
		return nil, err
	}
	return c.Queues(ctx)
}
