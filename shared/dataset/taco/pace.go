package taco

import (
	"context"
	"sync"
	"time"
)

// pace spaces requests out and keeps away from hosts that asked for a pause.
type pace struct {
	now   func() time.Time
	sleep func(context.Context, time.Duration) error
	gap   time.Duration // between requests; 0: none

	mu     sync.Mutex
	next   time.Time            // of the next request
	paused map[string]time.Time // by host, until when
}

func newPace(o Options) *pace {
	p := &pace{now: o.Now, sleep: o.Sleep, paused: map[string]time.Time{}}
	if o.Rate > 0 {
		p.gap = time.Duration(float64(time.Second) / o.Rate)
	}
	return p
}

// wait returns when a request to host may be sent.
func (p *pace) wait(ctx context.Context, host string) error {
	for {
		p.mu.Lock()
		now := p.now()
		at := p.next
		if until := p.paused[host]; until.After(at) {
			at = until
		}
		if !at.After(now) { // the slot is taken here: the next is a gap later
			p.next = now.Add(p.gap)
			p.mu.Unlock()
			return ctx.Err()
		}
		p.mu.Unlock()
		if err := p.sleep(ctx, at.Sub(now)); err != nil {
			return err
		}
	}
}

// pause keeps requests away from a host for d.
func (p *pace) pause(host string, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := p.now().Add(d); until.After(p.paused[host]) {
		p.paused[host] = until
	}
}
