package run

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"cloud.google.com/go/run/apiv2/runpb"
)

// probeEvery is how often a starting container is asked whether it is ready.
// Cloud Run's own period is at least a second; on one machine waiting that long
// would be most of a start.
const probeEvery = 20 * time.Millisecond

// startupBudget is how long a container may take to become ready: Cloud Run's
// initial delay + period x threshold, 240 s where the template says nothing.
func startupBudget(p *runpb.Probe) time.Duration {
	if p == nil {
		return 240 * time.Second
	}
	period := cmp.Or(p.PeriodSeconds, 10)
	threshold := cmp.Or(p.FailureThreshold, 3)
	return time.Duration(p.InitialDelaySeconds+period*threshold) * time.Second
}

// awaitStartup returns nil once the container on addr passes its startup probe,
// by HTTP where the probe names a path and by a TCP connection otherwise.
func awaitStartup(ctx context.Context, addr string, c *runpb.Container, exited <-chan struct{}) error {
	budget := startupBudget(c.StartupProbe)
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	t := time.NewTicker(probeEvery)
	defer t.Stop()
	for {
		err := probe(ctx, addr, c.StartupProbe)
		if err == nil {
			return nil
		}
		select {
		case <-t.C:
		case <-exited:
			return errExited
		case <-ctx.Done():
			return fmt.Errorf("the container did not become ready within %s: %w", budget, err)
		}
	}
}

var errExited = fmt.Errorf("the container ended before it was ready")

func probe(ctx context.Context, addr string, p *runpb.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, max(time.Second, time.Duration(p.GetTimeoutSeconds())*time.Second))
	defer cancel()
	get := p.GetHttpGet()
	if get == nil {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return c.Close()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+cmp.Or(get.Path, "/"), nil)
	if err != nil {
		return err
	}
	for _, h := range get.HttpHeaders {
		req.Header.Set(h.Name, h.Value)
	}
	req.Close = true
	resp, err := probeClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		return fmt.Errorf("GET %s answered %s: %q", get.Path, resp.Status, body)
	}
	return nil
}

// probeClient keeps no connections: each probe is a new start's.
var probeClient = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}
