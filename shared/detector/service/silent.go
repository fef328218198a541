package service

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// silence is how long a connection that never sent anything may stay open at the
// end: long enough for a request that is on its way. http.Server alone waits
// five seconds, which leaves too few for the requests in work.
const silence = time.Second

// silent are the connections that have sent nothing yet, as clients and load
// balancers keep them in store.
type silent struct {
	mu    sync.Mutex
	conns map[net.Conn]bool
}

// track is an http.Server's ConnState.
func (s *silent) track(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state == http.StateNew {
		if s.conns == nil {
			s.conns = map[net.Conn]bool{}
		}
		s.conns[c] = true
	} else {
		delete(s.conns, c)
	}
}

// close ends those that are still silent.
func (s *silent) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}
