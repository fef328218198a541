package service

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/litterloop/litterloop/shared/detector"
	"github.com/litterloop/litterloop/shared/detector/source"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/registry"
)

// served is a model that answers. Every request answers with one model from its
// beginning to its end, and the model outlives it.
type served struct {
	source.Model
	*detector.Detector
	uri    string
	inWork sync.WaitGroup // requests that borrowed it
}

// stage is where the model in use stands; a swap puts another there.
type stage struct {
	mu      sync.Mutex
	model   *served
	first   chan struct{} // closed once there is a model
	retired sync.WaitGroup
}

// borrow returns the model in use, which stays open until it is given back.
// There must be one.
func (g *stage) borrow() (m *served, giveBack func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.model.inWork.Add(1)
	return g.model, g.model.inWork.Done
}

// put serves m from now on; the model before it is closed, and closed is told
// its outcome, when its last request has ended.
func (g *stage) put(m *served, closed func(*served, error)) {
	g.mu.Lock()
	old := g.model
	g.model = m
	g.mu.Unlock()
	if old == nil {
		close(g.first)
		return
	}
	g.retired.Go(func() {
		old.inWork.Wait() // no request can borrow it any more
		closed(old, old.Close())
	})
}

// prepare loads a model and returns it once it has answered its golden photos.
func (s *server) prepare(ctx context.Context, uri string) (*served, error) {
	places, err := s.places(ctx, uri)
	if err != nil {
		return nil, err
	}
	m, err := source.Load(ctx, uri, places)
	if err != nil {
		return nil, err
	}
	det, err := detector.Open(m.ONNX, detector.Options{Workers: s.c.Workers, Threads: s.c.Threads, MaxPixels: s.c.MaxPixels, Provider: s.c.Provider})
	if err != nil {
		return nil, fmt.Errorf("serve model %s: %w", uri, err)
	}
	m.ONNX = nil // ONNX Runtime holds its own copy
	golden := modelpackage.Golden{}
	if m.Golden != nil {
		golden = *m.Golden
	}
	boxes := 0
	for _, p := range golden.Photos {
		boxes += len(p.Detections)
	}
	if boxes == 0 { // a model that finds nothing would pass
		s.d.Log.Warn("the model comes without golden photos that show anything: whether it answers as its trainer saw cannot be checked", "model", m.Name)
		certain, err := det.Probe(ctx)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("refuse model %s: %w", uri, err), det.Close())
		}
		if !certain {
			s.d.Log.Warn("the model finds nothing on noise; with its suppression inside, that says little", "model", m.Name)
		}
	}
	if err := det.CheckGolden(ctx, golden, func(file string) ([]byte, error) { return m.Photo(ctx, file) }); err != nil {
		return nil, errors.Join(fmt.Errorf("refuse model %s: %w", uri, err), det.Close())
	}
	return &served{Model: *m, Detector: det, uri: uri}, nil
}

// places are where a model of this URI may lie.
func (s *server) places(ctx context.Context, uri string) (p source.Places, err error) {
	p.Bucket = s.d.Bucket
	if strings.HasPrefix(uri, "models:/") && s.d.Bucket != nil {
		if p.Models, err = s.d.Bucket(ctx, s.c.ModelsBucket); err != nil {
			return p, err
		}
		p.Registry = registry.New(p.Models, s.d.Now)
	}
	return p, nil
}

// swap serves another model without a request lost. When the new one fails, the
// old one stays.
func (s *server) swap(ctx context.Context, uri string) error {
	if !s.swapping.TryLock() {
		return errs.Permanentf(swapBusy, "another model is being loaded: try again when it is served")
	}
	defer s.swapping.Unlock()
	began := s.d.Now()
	m, err := s.prepare(ctx, uri)
	if err != nil {
		s.swaps.WithLabelValues("refused").Inc()
		s.d.Log.Error("the model stays: another one was refused", "uri", uri, "error", err)
		return err
	}
	select {
	case <-s.ending:
		return errors.Join(fmt.Errorf("%w: the service ends", errs.Unavailable), m.Close())
	default:
	}
	s.serve(m, began)
	s.swaps.WithLabelValues("served").Inc()
	return nil
}

// serve puts a prepared model in use.
func (s *server) serve(m *served, began time.Time) {
	s.metrics.serves(m)
	s.stage.put(m, func(old *served, err error) {
		s.d.Log.Info("the model before is closed", "model", old.Name, "version", old.Version, "error", err)
	})
	photos := 0
	if m.Golden != nil {
		photos = len(m.Golden.Photos)
	}
	s.d.Log.Info("ready", "model", m.Name, "version", m.Version, "sha256", m.SHA256, "golden_photos", photos, "took", s.d.Now().Sub(began))
}

// watch follows the registry's alias that the served model was named by, until
// ctx ends. A version that was refused is not tried again before the alias has
// moved.
func (s *server) watch(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var refused registry.Version
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		m, giveBack := s.stage.borrow()
		uri, version, sum := m.uri, m.Version, m.SHA256
		giveBack()
		if !strings.HasPrefix(uri, "models:/") {
			continue // told by hand to serve another
		}
		places, err := s.places(ctx, uri)
		if err != nil || places.Registry == nil {
			continue
		}
		v, err := places.Registry.Resolve(ctx, uri)
		if err != nil {
			s.d.Log.Warn("which model to serve cannot be read; the one in use stays", "uri", uri, "error", err)
			continue
		}
		if fmt.Sprint(v.Version) == version && (v.SHA256 == "" || v.SHA256 == sum) || v.Model == refused.Model && v.Version == refused.Version {
			continue
		}
		if err := s.swap(ctx, uri); err != nil {
			if _, permanent := errs.Reason(err); permanent {
				refused = v
			}
		}
	}
}

// swapInput is a request to serve another model.
type swapInput struct {
	Authorization string `header:"Authorization" doc:"Bearer, and the token of ADMIN_TOKEN"`
	Body          struct {
		URI string `json:"uri" minLength:"1" doc:"As MODEL_URI takes it" example:"models:/litter/4"`
	}
}

// swapModel serves another model when whoever asks may.
func (s *server) swapModel(ctx context.Context, in *swapInput) (*describeOutput, error) {
	if s.c.AdminToken == "" {
		return nil, problem(errs.Permanentf(adminOff, "this service takes no orders over HTTP: set ADMIN_TOKEN, or deploy another revision"))
	}
	token, _ := strings.CutPrefix(in.Authorization, "Bearer ")
	if subtle.ConstantTimeCompare([]byte(token), []byte(s.c.AdminToken)) != 1 {
		return nil, problem(errs.Permanentf(adminRefused, "Authorization holds no valid token"))
	}
	ctx, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	_, giveBack, err := s.await(ctx) // the first model comes first
	if err != nil {
		return nil, problem(err)
	}
	giveBack()
	if err := s.swap(ctx, in.Body.URI); err != nil {
		p := problem(err)
		if _, permanent := errs.Reason(err); permanent && p.Status >= 500 {
			p.Status, p.Title = http.StatusUnprocessableEntity, http.StatusText(http.StatusUnprocessableEntity) // this model is the caller's
		}
		return nil, p
	}
	return s.describe(ctx, nil)
}
