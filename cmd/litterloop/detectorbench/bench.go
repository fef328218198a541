// Package detectorbench measures the detector beside what people would write
// in Python, alternately in one run, and beside the work that no server can
// avoid.
package detectorbench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

// Options of Run.
type Options struct {
	Self    string   // the litterloop program
	Cache   string   // directory of the Python environment, its models and what is known of settings
	Anchors []string // "ultralytics", "onnxruntime"
	Sizes   []string // "640x480", "12MP"
	Rounds  int
	Retune  bool   // look for the anchors' best settings again
	Dynamic string // model; empty: Ultralytics exports one
	Static  string // the same model with a fixed input
	Photo   string // of about 12 megapixels; empty: a drawn one
	Say     func(string)
}

// Sizes and Anchors that there are.
var (
	Sizes   = []string{"640x480", "12MP"}
	Anchors = []string{"ultralytics", "onnxruntime"}
)

// crowd is how many callers are many.
const crowd = 16

// requests of a round with one caller and with a crowd.
var requests = map[string][2]int{"640x480": {50, 128}, "12MP": {20, 64}}

// Fewer of them wake a server up, or tell its settings apart.
var (
	warmUp = [2]int{2, crowd}
	tryOut = [2]int{10, 2 * crowd}
)

// Result is what was measured at one size.
type Result struct {
	Size    string
	Servers []*Measured
	// Processor time: of ONNX Runtime's run on one thread and of libjpeg-turbo's
	// decoding, both on every processor at once, as they are under load.
	Run, Decode time.Duration
}

// Measured is one server at one size.
type Measured struct {
	contender
	Start  first
	One    sample // with a single caller
	Many   sample // with a crowd
	PeakMB float64
}

type bench struct {
	Options
	client *http.Client
}

// Run measures. The Python environment is made when it is missing.
func Run(ctx context.Context, o Options) ([]Result, error) {
	b := &bench{o, &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: crowd}, Timeout: time.Minute}}
	env := &environment{o.Cache}
	if len(o.Anchors) > 0 || o.Dynamic == "" {
		var err error
		if env, err = newEnvironment(ctx, o.Cache, o.Say); err != nil {
			return nil, err
		}
	}
	if o.Dynamic == "" {
		var err error
		if b.Dynamic, b.Static, err = env.export(ctx, o.Say); err != nil {
			return nil, err
		}
	}
	small, large, err := photos(o.Photo)
	if err != nil {
		return nil, err
	}
	var out []Result
	for _, size := range o.Sizes {
		photo := small
		if size == "12MP" {
			photo = large
		}
		r, err := b.size(ctx, env, size, photo)
		if err != nil {
			return out, fmt.Errorf("%s: %w", size, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// size measures ours and the best of each anchor.
func (b *bench) size(ctx context.Context, env *environment, size string, photo []byte) (r Result, err error) {
	r.Size = size
	running := []contender{ours(b.Self, b.Dynamic)}
	for _, who := range b.Anchors {
		best, err := b.best(ctx, anchors(env, who, b.Dynamic, b.Static), who, size, photo)
		if err != nil {
			return r, err
		}
		running = append(running, best...)
	}
	var servers []*server
	defer func() {
		for _, s := range servers {
			s.stop()
		}
	}()
	for _, c := range running {
		s, err := launch(ctx, c, b.client, photo)
		if err != nil {
			return r, err
		}
		servers = append(servers, s)
		r.Servers = append(r.Servers, &Measured{contender: c, Start: s.start})
	}
	model, err := os.ReadFile(b.Dynamic)
	if err != nil {
		return r, err
	}
	f, err := newFloor(model, photo)
	if err != nil {
		return r, err
	}
	defer f.close()
	runs, decodes := make([]func() error, runtime.NumCPU()), make([]func() error, runtime.NumCPU())
	for i := range runs {
		runs[i], decodes[i] = f.run, f.decoder()
	}
	var ran, decoded []time.Duration
	for n := range b.Rounds + 1 { // one to warm up
		b.Say(fmt.Sprintf("%s: round %d of %d", size, n, b.Rounds))
		for i, s := range servers {
			var err error
			if n == 0 {
				err = b.round(ctx, s, new(Measured), warmUp, photo)
			} else {
				err = b.round(ctx, s, r.Servers[i], requests[size], photo)
			}
			if err != nil {
				return r, fmt.Errorf("%v: %w", s.contender, err)
			}
		}
		ranIn, err1 := repeat(20, runs...)
		decodedIn, err2 := repeat(10, decodes...)
		if err := errors.Join(err1, err2); err != nil {
			return r, err
		}
		if n > 0 {
			ran, decoded = append(ran, ranIn), append(decoded, decodedIn)
		}
	}
	r.Run, r.Decode = median(ran), median(decoded)
	for i, s := range servers {
		u, err := measure(s.cmd.Process.Pid)
		if err != nil {
			return r, err
		}
		r.Servers[i].PeakMB = u.PeakMB
	}
	return r, nil
}

// round asks a server n[0] times by one caller, then n[1] times by a crowd.
func (b *bench) round(ctx context.Context, s *server, m *Measured, n [2]int, photo []byte) error {
	one, err := round(ctx, s, b.client, photo, 1, n[0])
	if err != nil {
		return err
	}
	many, err := round(ctx, s, b.client, photo, crowd, n[1])
	if err != nil {
		return err
	}
	m.One.add(one)
	m.Many.add(many)
	return nil
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// settings are the best ones by size, callers and anchor, as found once.
type settings map[string]string

// best are the settings of an anchor that are best for one caller and for a
// crowd: one or two. They are looked for once and remembered in the cache.
func (b *bench) best(ctx context.Context, all []contender, who, size string, photo []byte) ([]contender, error) {
	path := filepath.Join(b.Cache, "settings.json")
	known := settings{}
	if text, err := os.ReadFile(path); err == nil {
		if err := json.Unmarshal(text, &known); err != nil {
			return nil, fmt.Errorf("read %s (remove it to look for the settings again): %w", path, err)
		}
	}
	one, many := who+" "+size+" one", who+" "+size+" many"
	if known[one] == "" || known[many] == "" || b.Retune {
		var fastest time.Duration
		var most float64
		for _, c := range all {
			m, err := b.try(ctx, c, photo)
			if err != nil {
				return nil, err
			}
			p50, throughput := m.One.percentile(0.5), m.Many.perSecond()
			b.Say(fmt.Sprintf("%s: %v: %.1f ms, %.1f a second", size, c, ms(p50), throughput))
			if fastest == 0 || p50 < fastest {
				fastest, known[one] = p50, c.Setting
			}
			if throughput > most {
				most, known[many] = throughput, c.Setting
			}
		}
		text, err := json.MarshalIndent(known, "", "  ")
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return nil, err
		}
	}
	var out []contender
	for _, c := range all {
		if c.Setting == known[one] || c.Setting == known[many] {
			out = append(out, c)
		}
	}
	return out, nil
}

// try measures a setting once.
func (b *bench) try(ctx context.Context, c contender, photo []byte) (*Measured, error) {
	s, err := launch(ctx, c, b.client, photo)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	m := &Measured{contender: c}
	if err := b.round(ctx, s, new(Measured), warmUp, photo); err != nil {
		return nil, err
	}
	return m, b.round(ctx, s, m, tryOut, photo)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
