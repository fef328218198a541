package intake

import (
	"context"
	"sync"
)

// locks lets one event of a batch at a time through in this process: the second
// finds done what the first did. Between processes compare-and-swap decides.
type locks struct {
	mu   sync.Mutex
	held map[string]*lock
}

type lock struct {
	token chan struct{}
	users int
}

// lock waits for the batch; the caller must call unlock.
func (l *locks) lock(ctx context.Context, batch string) (unlock func(), err error) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[string]*lock{}
	}
	k := l.held[batch]
	if k == nil {
		k = &lock{token: make(chan struct{}, 1)}
		l.held[batch] = k
	}
	k.users++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(l.held, batch)
		}
	}
	select {
	case k.token <- struct{}{}:
		return func() { <-k.token; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
