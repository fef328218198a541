package setup

import (
	"context"
	"fmt"
	"time"

	monitoring "google.golang.org/api/monitoring/v3"
	"google.golang.org/api/option"

	"github.com/litterloop/litterloop/shared/cloudmonitoring"
)

// Monitoring asks what Google Cloud counts by itself.
func (p *Parts) Monitoring(ctx context.Context) (*cloudmonitoring.Client, error) {
	delay := cloudmonitoring.Delay
	opts := []option.ClientOption{option.WithScopes(monitoring.MonitoringReadScope)}
	if p.MonitoringEmulator != "" { // which counts at once
		delay = 0
		opts = []option.ClientOption{option.WithEndpoint(p.MonitoringEmulator), option.WithoutAuthentication()}
	}
	s, err := monitoring.NewService(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("cloud monitoring client: %w", err)
	}
	return cloudmonitoring.New(s, p.Project, delay, time.Now), nil
}
