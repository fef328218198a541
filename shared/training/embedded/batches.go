package embedded

import (
	"math/rand/v2"

	"github.com/litterloop/litterloop/shared/training/embedded/augment"
	"github.com/litterloop/litterloop/shared/training/embedded/loss"
	"github.com/litterloop/litterloop/shared/training/embedded/session"
)

// batch is the input of one step.
type batch struct {
	step  int // counts from 1
	parts []part
}

// part is what one goroutine works on: photos and the labels of each.
type part struct {
	images  *session.Tensor
	targets [][]loss.Target
	// views are what is shown, where inputs are shown again, and known what is
	// kept of each; without that its image is drawn.
	views []view
	known []*memory16
}

func (b *batch) release() {
	for _, p := range b.parts {
		p.images.Release()
	}
}

// Streams of random numbers: every batch has its own, so that any batch can be
// made again from the seed and its number alone.
const (
	streamTraining uint64 = iota + 1
	streamStatistics
	streamOrder
)

// batches makes training inputs from decoded photos.
type batches struct {
	photos []*augment.Photo
	recipe Recipe
	cache  *cache // nil where every input is new

	epoch int // whose order of the photos is in order
	order []int
}

func newBatches(photos []*augment.Photo, r Recipe) *batches {
	return &batches{photos: photos, recipe: r, epoch: -1}
}

func (m *batches) empty() (*batch, error) {
	n, s := m.recipe.BatchSize/m.recipe.Parts, m.recipe.ImageSize
	b := &batch{}
	for range m.recipe.Parts {
		t, err := session.NewTensor(make([]float32, n*3*s*s), n, 3, s, s)
		if err != nil {
			b.release()
			return nil, err
		}
		b.parts = append(b.parts, part{t, make([][]loss.Target, n), make([]view, n), make([]*memory16, n)})
	}
	return b, nil
}

// fill makes the batch of a step in place.
func (m *batches) fill(b *batch, step int, stream uint64, mosaic float64) {
	size := m.recipe.ImageSize
	image := 3 * size * size
	b.step = step
	number := (step - 1) * m.recipe.BatchSize
	for _, p := range b.parts {
		for i := range p.targets {
			photo, variant := m.next(number)
			random := func() *rand.Rand { return rand.New(rand.NewPCG(m.recipe.Seed^stream<<56, uint64(variant))) }
			p.views[i], p.known[i] = view{variant, random().Float64() < mosaic}, nil
			if m.cache != nil && stream == streamTraining {
				p.known[i] = m.cache.get(p.views[i])
			}
			if k := p.known[i]; k != nil {
				p.targets[i] = append(p.targets[i][:0], k.targets...)
			} else {
				p.targets[i] = m.draw(random(), m.photos[photo], mosaic, p.images.Data[i*image:(i+1)*image], p.targets[i][:0])
			}
			number++
		}
	}
}

// draw makes one input.
func (m *batches) draw(r *rand.Rand, photo *augment.Photo, mosaic float64, dst []float32, targets []loss.Target) []loss.Target {
	other := func() *augment.Photo { return m.photos[r.IntN(len(m.photos))] }
	for _, box := range m.recipe.Augment.Input(r, photo, other, mosaic, m.recipe.ImageSize, dst) {
		targets = append(targets, loss.Target{Class: box.Class, Box: [4]float64{box.X1, box.Y1, box.X2, box.Y2}})
	}
	return targets
}

// next is the photo that the nth input shows, and the number of its random
// stream: every photo once an epoch, in an order of its own each time. Without a
// cache every input has a stream of its own; with one the photos' variants come
// round.
func (m *batches) next(n int) (photo, variant int) {
	epoch := n / len(m.photos)
	if epoch != m.epoch {
		r := rand.New(rand.NewPCG(m.recipe.Seed^streamOrder<<56, uint64(epoch)))
		m.epoch, m.order = epoch, r.Perm(len(m.photos))
	}
	photo = m.order[n%len(m.photos)]
	if m.cache == nil {
		return photo, n
	}
	return photo, epoch%m.cache.variants*len(m.photos) + photo
}

// mosaic is the share of mosaics at a part of the training: none towards the end, so that the
// last thing the network sees is whole photos.
func (m *batches) mosaic(progress float64) float64 {
	if progress >= 1-m.recipe.PlainShare {
		return 0
	}
	return m.recipe.Augment.Mosaic
}

// stream is the batches of consecutive steps, each made while the one before
// is in use.
type stream struct {
	ready chan *batch // closed when the maker has ended
	free  chan *batch
	quit  chan struct{}
	all   []*batch
}

// stream starts making the batches of the steps from first on, until it is
// closed; progress tells how far a step is in the training. The caller closes it.
func (m *batches) stream(first int, progress func(step int) float64) (*stream, error) {
	const buffers = 2
	s := &stream{ready: make(chan *batch), free: make(chan *batch, buffers), quit: make(chan struct{})}
	for range buffers {
		b, err := m.empty()
		if err != nil {
			s.release()
			return nil, err
		}
		s.all = append(s.all, b)
		s.free <- b
	}
	go func() {
		defer close(s.ready)
		for step := first; ; step++ {
			var b *batch
			select {
			case b = <-s.free:
			case <-s.quit:
				return
			}
			m.fill(b, step, streamTraining, m.mosaic(progress(step)))
			select {
			case s.ready <- b:
			case <-s.quit:
				return
			}
		}
	}()
	return s, nil
}

// next is the next step's batch; recycle it after use.
func (s *stream) next() *batch { return <-s.ready }

func (s *stream) recycle(b *batch) { s.free <- b }

// close stops the stream and frees its batches.
func (s *stream) close() {
	close(s.quit)
	for range s.ready { // until the maker has ended
	}
	s.release()
}

func (s *stream) release() {
	for _, b := range s.all {
		b.release()
	}
}
