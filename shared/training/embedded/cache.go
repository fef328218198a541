package embedded

import (
	"math"
	"slices"
	"sync"

	"github.com/litterloop/litterloop/shared/training/embedded/loss"
	"github.com/litterloop/litterloop/shared/training/embedded/session"
)

// cache keeps what the trunk, which does not learn, made of training inputs, so
// that an input that is shown again costs only what learns. Values are kept as
// bfloat16, a float32 cut to its upper half: a quarter of the memory of an
// input's photo and its maps together, and no slower than copying.
type cache struct {
	variants int // of each photo; at least 1
	room     int // bytes that may still be kept

	mu   sync.Mutex
	kept map[view]*memory16
}

// view is an input that can be shown again.
type view struct {
	number int  // tells photos and their variants apart
	mosaic bool // pieced together from several photos
}

// memory16 is what is kept of a view.
type memory16 struct {
	maps    []uint16 // the trunk's, one after another
	targets []loss.Target
}

// leastVariants of each photo are worth keeping: of fewer the network would
// learn the inputs by heart.
const leastVariants = 4

// newCache is for a trunk's maps of so many values a photo. It is nil where the
// recipe wants every input new, where all of the network learns, and where
// there is no room for enough.
func newCache(r Recipe, values, photos int) *cache {
	room := r.CacheMB << 20
	// In the last part of a training mosaics are replaced, which makes other views.
	each := float64(2*values*photos) * (1 + r.Augment.Mosaic)
	if values == 0 || r.Views == 0 || each == 0 {
		return nil
	}
	variants := min(r.Views, int(float64(room)/each))
	if variants < min(r.Views, leastVariants) {
		return nil
	}
	return &cache{variants: variants, room: room, kept: map[view]*memory16{}}
}

// get is what is kept of a view; nil when that is nothing.
func (c *cache) get(v view) *memory16 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept[v]
}

// add keeps a view's maps where there is room, and rounds them in place, so that
// the first look at a view is as good as the next.
func (c *cache) add(v view, maps []*session.Tensor, targets []loss.Target) {
	size := 0
	for _, m := range maps {
		size += len(m.Data)
	}
	k := &memory16{make([]uint16, 0, size), slices.Clone(targets)}
	for _, m := range maps {
		for i, x := range m.Data {
			h := bfloat16(x)
			k.maps = append(k.maps, h)
			m.Data[i] = fromBfloat16(h)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept[v] == nil && 2*size <= c.room {
		c.kept[v] = k
		c.room -= 2 * size
	}
}

// show writes what is kept.
func (k *memory16) show(maps []*session.Tensor) {
	rest := k.maps
	for _, m := range maps {
		for i, h := range rest[:len(m.Data)] {
			m.Data[i] = fromBfloat16(h)
		}
		rest = rest[len(m.Data):]
	}
}

// bfloat16 rounds to the nearest, halves to even; no map holds a NaN.
func bfloat16(x float32) uint16 {
	b := math.Float32bits(x)
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

func fromBfloat16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }
