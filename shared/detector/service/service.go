// Package service is the detector over HTTP: photos in, boxes out, every
// prediction logged.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/detector/remote"
	"github.com/litterloop/litterloop/shared/drift"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/predictionlog"
	"github.com/prometheus/client_golang/prometheus"
)

// Deps are what a service does not build itself.
type Deps struct {
	// Bucket opens gs://NAME. It may be nil where neither the model nor the
	// prediction log lies in a bucket.
	Bucket func(ctx context.Context, name string) (blob.Bucket, error)
	Log    *slog.Logger
	Now    func() time.Time
	// Listen opens the port; net.Listen when nil.
	Listen func(network, addr string) (net.Listener, error)
}

// drain is how long requests in work may take after the end was asked for, and
// flush what is left for the log: with the grace, together below the 10 s that Cloud Run grants
// between SIGTERM and SIGKILL.
const (
	drain = 6 * time.Second
	flush = 3 * time.Second
)

// Run serves until ctx ends, then finishes the requests in work and writes the
// prediction log. It returns nil after an orderly end.
func Run(ctx context.Context, c Config, d Deps) (err error) {
	if d.Listen == nil {
		d.Listen = net.Listen
	}
	listener, err := d.Listen("tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("open the port: %w", err)
	}
	defer listener.Close()
	s, err := newServer(ctx, c, d)
	if err != nil {
		return err
	}
	handler := s.lastWord(s.handler())
	loaded := make(chan struct{})
	defer func() {
		<-loaded
		err = errors.Join(err, s.close())
	}()
	var open connections
	server := &http.Server{
		Handler:           handler,
		ConnState:         open.track,
		ConnContext:       remember,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       c.Timeout,
		WriteTimeout:      c.Timeout + 30*time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(d.Log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 2)
	go func() { ended <- server.Serve(listener) }()
	loading, giveUp := context.WithCancel(ctx)
	defer giveUp()
	go func() {
		defer close(loaded)
		if err := s.load(loading); err != nil {
			ended <- err
		} else if c.Refresh > 0 {
			s.watch(loading, c.Refresh)
		}
	}()
	select {
	case err = <-ended:
	case <-ctx.Done():
		d.Log.Info("shutting down: finishing requests in work")
	}
	close(s.ending)
	listener.Close() // Serve returns; its connections go on
	open.leave()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if shut := server.Shutdown(stop); shut != nil {
		err = errors.Join(err, fmt.Errorf("requests were cut off: %w", shut), server.Close())
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil // the end was asked for while the model was loading
	}
	return err
}

// server is one running service.
type server struct {
	c       Config
	d       Deps
	metrics *metrics
	store   predictionlog.Store   // nil when predictions are not logged
	log     *predictionlog.Logger // nil likewise
	slots   chan struct{}
	desks   *desks
	ending  chan struct{} // closed when no model will come any more
	stage   stage
	remote  *remote.Fetcher // nil where https:// is not read

	swapping sync.Mutex // one at a time
	swaps    *prometheus.CounterVec
}

func newServer(ctx context.Context, c Config, d Deps) (*server, error) {
	s := &server{c: c, d: d, slots: make(chan struct{}, c.MaxInFlight), desks: newDesks(c.Workers), stage: stage{first: make(chan struct{})}, ending: make(chan struct{})}
	if len(c.PhotoHosts) > 0 {
		s.remote = remote.New(c.PhotoHosts)
	}
	var err error
	if s.store, err = s.openStore(ctx); err != nil {
		return nil, err
	}
	if s.store != nil {
		s.log, err = predictionlog.NewLogger(s.store, predictionlog.Options{
			Instance: c.instance(uuid.NewString()[:8]), Spool: c.Spool, Policy: c.Log, Now: d.Now, Log: d.Log,
			Sketch: drift.NewSketches,
		})
		if err != nil {
			return nil, err
		}
	}
	s.metrics = newMetrics(s.log)
	s.swaps = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "litterloop_model_swaps_total", Help: "Models that were to replace the one in use, by outcome: served or refused."}, []string{"outcome"})
	s.metrics.registry.MustRegister(s.swaps)
	return s, nil
}

// openStore opens where predictions are logged; nil when they are not.
func (s *server) openStore(ctx context.Context) (predictionlog.Store, error) {
	bucket, ok := strings.CutPrefix(s.c.LogTo, "gs://")
	switch {
	case s.c.LogTo == "off":
		return nil, nil
	case !ok:
		return predictionlog.Directory(s.c.LogTo), nil
	case s.d.Bucket == nil:
		return nil, errs.Permanentf("no-buckets", "PREDICTION_LOG=%s: this program has no access to buckets", s.c.LogTo)
	}
	return s.d.Bucket(ctx, strings.TrimSuffix(bucket, "/"))
}

// load serves the model of MODEL_URI, the first.
func (s *server) load(ctx context.Context) error {
	began := s.d.Now()
	m, err := s.prepare(ctx, s.c.ModelURI)
	if err != nil {
		return err
	}
	s.serve(m, began)
	return nil
}

// close writes the log and frees the model. The requests have ended.
func (s *server) close() error {
	var faults []error
	if s.log != nil {
		ctx, cancel := context.WithTimeout(context.Background(), flush)
		defer cancel()
		faults = append(faults, s.log.Close(ctx))
	}
	select {
	case <-s.stage.first:
		faults = append(faults, s.stage.model.Close())
	default:
	}
	s.stage.retired.Wait()
	return errors.Join(faults...)
}

// await borrows the model once there is one.
func (s *server) await(ctx context.Context) (m *served, giveBack func(), err error) {
	select {
	case <-s.stage.first:
	default:
		select {
		case <-s.stage.first:
		case <-s.ending:
			return nil, nil, fmt.Errorf("%w: the service ends before its model was ready", errs.Unavailable)
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("the model is not ready yet: %w", ctx.Err())
		}
	}
	m, giveBack = s.stage.borrow()
	return m, giveBack, nil
}
