package service

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// grace is how long connections without a request stay open at the end. A request
// may be on its way on each of them, and http.Server.Shutdown would close it
// under that; this long, it is answered, and told that it was the last.
const grace = 500 * time.Millisecond

// connections are those that are open.
type connections struct {
	mu    sync.Mutex
	state map[net.Conn]http.ConnState
	none  chan struct{} // closed when the last has gone, if somebody waits
}

// track is an http.Server's ConnState.
func (c *connections) track(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateClosed, http.StateHijacked:
		delete(c.state, conn)
		if len(c.state) == 0 && c.none != nil {
			close(c.none)
			c.none = nil
		}
	default:
		if c.state == nil {
			c.state = map[net.Conn]http.ConnState{}
		}
		c.state[conn] = state
	}
}

// leave waits until all are closed, for grace at most, and then closes those that
// never sent anything: load balancers keep such in store, and Shutdown would wait
// five seconds for their first word.
func (c *connections) leave() {
	c.mu.Lock()
	none := make(chan struct{})
	if len(c.state) == 0 {
		close(none)
	} else {
		c.none = none
	}
	c.mu.Unlock()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-none:
		return
	case <-timer.C:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn, state := range c.state {
		if state == http.StateNew {
			conn.Close()
		}
	}
}

// lastWord tells a client at the end that its connection takes no more requests.
func (s *server) lastWord(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-s.ending:
			w.Header().Set("Connection", "close")
		default:
		}
		next.ServeHTTP(w, r)
	})
}
