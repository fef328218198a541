package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/run/apiv2/runpb"
)

// Restarts of a container that ends by itself wait this long, doubling; a
// container that lived for steady starts again at the beginning.
const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 10 * time.Second
	steady       = 10 * time.Second
	// startAttempts is how often a revision that was never ready may end or
	// hang before it is given up.
	startAttempts = 3
)

// instance is a running revision: one child process, started again when it
// ends, and the way to it.
type instance struct {
	s     *Server
	doc   *runpb.Revision // not to be altered
	proxy *httputil.ReverseProxy
	stop  context.CancelFunc
	gone  chan struct{} // closed when the process has ended for good

	mu       sync.Mutex
	addr     string        // of the ready process
	ready    chan struct{} // closed while addr is good
	settled  chan struct{} // closed at the first readiness or at giving up
	verdict  error         // why it was given up
	inflight int
	idle     chan struct{} // closed while nothing is in flight
	lastUse  time.Time     // end of the last request
	wake     chan struct{} // holds a value when a request has come
}

// startInstance runs a revision until stop is called. proven says that it has
// been ready before, so it is never given up.
func (s *Server) startInstance(doc *runpb.Revision, proven bool) *instance {
	ctx, cancel := context.WithCancel(s.ctx)
	in := &instance{
		s: s, doc: doc, stop: cancel,
		gone: make(chan struct{}), ready: make(chan struct{}), settled: make(chan struct{}), idle: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	close(in.idle)
	if proven {
		close(in.settled)
	}
	transport := &http.Transport{DialContext: in.dial, MaxIdleConnsPerHost: 64, DisableCompression: true}
	in.proxy = &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "revision"
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		ErrorHandler: in.failed,
	}
	s.background(func() {
		defer close(in.gone)
		defer transport.CloseIdleConnections()
		in.supervise(ctx, transport, proven)
	})
	return in
}

// supervise starts the process again and again until ctx ends or, when it was
// never ready, until it is given up.
func (in *instance) supervise(ctx context.Context, t *http.Transport, proven bool) {
	log := in.s.opt.Log.With("revision", id(in.doc.Name))
	backoff := firstBackoff
	for failures := 0; ; {
		began := time.Now()
		err := in.once(ctx)
		t.CloseIdleConnections()
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errIdle) {
			select {
			case <-in.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		if proven = proven || in.wasReady(); !proven {
			if failures++; failures == startAttempts {
				in.settle(err)
				log.Error("revision failed to start", "error", err)
				return
			}
		}
		if time.Since(began) > steady {
			backoff = firstBackoff
		}
		log.Warn("revision ended; starting it again", "error", err, "in", backoff)
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
			return
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// once runs the process to its end, or to ctx's.
func (in *instance) once(ctx context.Context) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	service, revision := id(in.doc.Service), id(in.doc.Name)
	c := in.doc.Containers[0]
	p, err := in.s.procs.start(command{
		name: "revision." + strings.ReplaceAll(in.doc.Name, "/", "."),
		argv: in.s.argv(c),
		env: in.s.env(c, "PORT="+strconv.Itoa(port), "K_SERVICE="+service,
			"K_REVISION="+revision, "K_CONFIGURATION="+service),
		dir: c.WorkingDir,
		log: in.s.logPath(in.doc.Name),
	})
	if err != nil {
		return err
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if err := awaitStartup(ctx, addr, c, p.exited); err != nil {
		p.stop(in.s.opt.Grace)
		if errors.Is(err, errExited) {
			return fmt.Errorf("%w: %w; see %s", err, p.outcome(), in.s.logPath(in.doc.Name))
		}
		return err
	}
	in.up(addr)
	idle := in.idleTicker()
	defer idle.Stop()
	for {
		select {
		case <-p.exited:
			in.down()
			return cmp.Or(p.outcome(), errors.New("the container ended with exit status 0"))
		case <-ctx.Done():
			in.drain()
			in.down()
			p.stop(in.s.opt.Grace)
			return ctx.Err()
		case <-idle.C:
			if in.downIfIdle() {
				p.stop(in.s.opt.Grace)
				return errIdle
			}
		}
	}
}

var errIdle = errors.New("the revision had no requests")

// idleTicker ticks when it is time to see whether the revision is idle; never
// for one that is to keep running.
func (in *instance) idleTicker() *time.Ticker {
	after := in.s.opt.IdleAfter
	if after > 0 && in.doc.Scaling.GetMinInstanceCount() == 0 {
		return time.NewTicker(max(after/4, time.Millisecond))
	}
	t := time.NewTicker(time.Hour)
	t.Stop()
	return t
}

// downIfIdle takes an idle revision out of service. A request that comes from
// now on waits for the next process.
func (in *instance) downIfIdle() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.inflight > 0 || time.Since(in.lastUse) < in.s.opt.IdleAfter {
		return false
	}
	select {
	case <-in.wake: // of a request that has ended
	default:
	}
	in.addr, in.ready = "", make(chan struct{})
	return true
}

// drain waits for requests in flight, as long as one may take. The traffic
// table no longer leads here, so their number only falls.
func (in *instance) drain() {
	limit := time.NewTimer(in.timeout())
	defer limit.Stop()
	in.mu.Lock()
	idle := in.idle
	in.mu.Unlock()
	select {
	case <-idle:
	case <-limit.C:
	case <-in.s.ctx.Done():
	}
}

// timeout of one request; Cloud Run's default is 300 s.
func (in *instance) timeout() time.Duration {
	return cmp.Or(in.doc.Timeout.AsDuration(), 300*time.Second)
}

func (in *instance) up(addr string) {
	in.mu.Lock()
	in.addr, in.lastUse = addr, time.Now()
	close(in.ready)
	in.mu.Unlock()
	in.settle(nil)
}

func (in *instance) down() {
	in.mu.Lock()
	in.addr = ""
	in.ready = make(chan struct{})
	in.mu.Unlock()
}

func (in *instance) settle(verdict error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	select {
	case <-in.settled:
	default:
		in.verdict = verdict
		close(in.settled)
	}
}

func (in *instance) wasReady() bool {
	select {
	case <-in.settled:
		return in.verdict == nil
	default:
		return false
	}
}

// started waits until the revision is ready for the first time or is given up,
// and says why in the latter case.
func (in *instance) started(ctx context.Context) error {
	select {
	case <-in.settled:
		return in.verdict
	case <-ctx.Done():
		return ctx.Err()
	}
}

// dial connects to the process, waiting for one that is cold or starting
// again: a request in that moment is late, not lost.
func (in *instance) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, in.timeout())
	defer cancel()
	for {
		in.mu.Lock()
		addr, ready := in.addr, in.ready
		in.mu.Unlock()
		if addr == "" {
			select {
			case <-ready:
				continue
			case <-in.gone:
				return nil, errors.New("the revision has ended")
			case <-ctx.Done():
				return nil, fmt.Errorf("the revision did not become ready: %w", ctx.Err())
			}
		}
		var d net.Dialer
		conn, err := d.DialContext(ctx, network, addr)
		if err == nil {
			return conn, nil
		}
		// The process has just died; its end will be noticed in a moment.
		select {
		case <-time.After(probeEvery):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// enter and leave count requests in flight.
func (in *instance) enter() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.inflight++; in.inflight == 1 {
		in.idle = make(chan struct{})
	}
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

func (in *instance) leave() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.lastUse = time.Now()
	if in.inflight--; in.inflight == 0 {
		close(in.idle)
	}
}

// failed answers when the process gave no answer.
func (in *instance) failed(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil {
		in.s.opt.Log.Warn("request failed", "revision", id(in.doc.Name), "path", r.URL.Path, "error", err)
	}
	http.Error(w, "the revision gave no answer: "+err.Error(), http.StatusServiceUnavailable)
}

// freePort asks the kernel for a port. Another process may take it before the
// child does; the child then ends and the next attempt gets another port.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a port for a revision: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// logPath is the file that the output of a revision or execution goes to.
func (s *Server) logPath(name string) string {
	return filepath.Join(s.opt.Dir, "logs", filepath.FromSlash(name)+".log")
}
