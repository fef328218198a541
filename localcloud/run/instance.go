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
	"time"

	"cloud.google.com/go/run/apiv2/runpb"
)

// Restarts of a container that ends by itself wait this long, doubling; a
// container that lived for steady starts again at the beginning.
const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 10 * time.Second
	steady       = 10 * time.Second
	// startAttempts is how often in a row a container may fail to get ready
	// before that is told: a new revision is given up, and requests to one that
	// was ready before are answered with the reason while it is tried again.
	startAttempts = 3
)

// instance is a running revision: one child process, started again when it
// ends, and the way to it.
type instance struct {
	s     *Server
	doc   *runpb.Revision // not to be altered
	proxy *httputil.ReverseProxy
	reach *reach
	stop  context.CancelFunc
	gone  chan struct{} // closed when the process has ended for good

	// settled is closed at the first readiness, or at giving up, for which
	// verdict is the reason.
	settled chan struct{}
	verdict error
}

// startInstance runs a revision until stop is called. proven says that it has
// been ready before, so it is never given up.
func (s *Server) startInstance(doc *runpb.Revision, proven bool) *instance {
	ctx, cancel := context.WithCancel(s.ctx)
	in := &instance{s: s, doc: doc, reach: newReach(), stop: cancel, gone: make(chan struct{}), settled: make(chan struct{})}
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
		ready, err := in.once(ctx, !proven)
		t.CloseIdleConnections()
		proven = proven || ready
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errIdle) {
			select {
			case <-in.reach.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		if failures++; ready {
			failures = 0
		}
		if failures >= startAttempts {
			if !proven {
				log.Error("revision failed to start", "error", err)
				in.verdict = err
				close(in.settled)
				return
			}
			in.reach.set("", err)
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

var errIdle = errors.New("the revision had no requests")

// once runs the process to its end, or to ctx's, and says whether it was ready.
// first says that readiness settles the revision's fate.
func (in *instance) once(ctx context.Context, first bool) (ready bool, err error) {
	port, err := freePort()
	if err != nil {
		return false, err
	}
	service, revision := id(in.doc.Service), id(in.doc.Name)
	c := in.doc.Containers[0]
	env, err := in.s.env(c, in.doc.ServiceAccount, "PORT="+strconv.Itoa(port), "K_SERVICE="+service,
		"K_REVISION="+revision, "K_CONFIGURATION="+service)
	if err != nil {
		return false, err
	}
	p, err := in.s.procs.start(command{
		name: in.doc.Name,
		argv: in.s.argv(c),
		env:  env,
		dir:  c.WorkingDir,
		log:  in.s.logPath(in.doc.Name),
	})
	if err != nil {
		return false, err
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if err := awaitStartup(ctx, addr, c, p.exited); err != nil {
		p.stop(in.s.opt.Grace)
		if errors.Is(err, errExited) {
			err = fmt.Errorf("%w: %w", err, cmp.Or(p.outcome(), errors.New("exit status 0")))
		}
		return false, fmt.Errorf("%w; see %s", err, in.s.logPath(in.doc.Name))
	}
	in.reach.set(addr, nil)
	if first {
		close(in.settled)
	}
	return true, in.serve(ctx, p)
}

// serve returns when the ready process has ended.
func (in *instance) serve(ctx context.Context, p *process) error {
	idle := in.idleTicker()
	defer idle.Stop()
	for {
		select {
		case <-p.exited:
			in.reach.set("", nil)
			return cmp.Or(p.outcome(), errors.New("the container ended with exit status 0"))
		case <-ctx.Done():
			in.drain()
			in.reach.set("", nil)
			p.stop(in.s.opt.Grace)
			return ctx.Err()
		case <-idle.C:
			if in.reach.closeIfIdle(in.s.opt.IdleAfter) {
				p.stop(in.s.opt.Grace)
				return errIdle
			}
		}
	}
}

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

// drain waits for requests in flight, as long as one may take. The traffic
// table no longer leads here, so their number only falls.
func (in *instance) drain() {
	limit := time.NewTimer(in.timeout())
	defer limit.Stop()
	select {
	case <-in.reach.drained():
	case <-limit.C:
	case <-in.s.ctx.Done():
	}
}

// timeout of one request; Cloud Run's default is 300 s.
func (in *instance) timeout() time.Duration {
	return cmp.Or(in.doc.Timeout.AsDuration(), 300*time.Second)
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
		addr, err := in.reach.await(ctx, in.gone)
		if err != nil {
			return nil, err
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

// failed answers when the process gave no answer.
func (in *instance) failed(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil {
		in.s.opt.Log.Warn("request failed", "revision", id(in.doc.Name), "path", r.URL.Path, "error", err)
	}
	code := http.StatusServiceUnavailable
	if errors.Is(err, context.DeadlineExceeded) {
		code = http.StatusGatewayTimeout
	}
	http.Error(w, "the revision gave no answer: "+err.Error(), code)
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
