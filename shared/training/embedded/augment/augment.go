package augment

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
)

// grey is what surrounds a photo, in training as in inference.
const grey = float32(114) / 255

// Policy says how far a training input may differ from its photo.
type Policy struct {
	Mosaic         float64 `yaml:"mosaic" json:"mosaic"`                   // share of inputs pieced together from four photos
	FlipHorizontal float64 `yaml:"flip_horizontal" json:"flip_horizontal"` // share mirrored left to right
	FlipVertical   float64 `yaml:"flip_vertical" json:"flip_vertical"`     // share mirrored top to bottom
	Turn           float64 `yaml:"turn" json:"turn"`                       // share turned by a quarter
	MinZoom        float64 `yaml:"min_zoom" json:"min_zoom"`               // 1: the photo fills the input
	MaxZoom        float64 `yaml:"max_zoom" json:"max_zoom"`
	Shift          float64 `yaml:"shift" json:"shift"`           // most that the photo moves, as a share of its size
	Brightness     float64 `yaml:"brightness" json:"brightness"` // most that the light changes: 0.25 is 0.75 to 1.25 times
	Tint           float64 `yaml:"tint" json:"tint"`             // the same, for each colour alone
	// Of what is shown of photos with small objects, the share that is a tile around one.
	Tiles float64 `yaml:"tiles" json:"tiles,omitempty"`
}

// DefaultPolicy suits objects that lie about in any direction, seen from a
// person's height, such as litter.
func DefaultPolicy() Policy {
	return Policy{Mosaic: 0.4, FlipHorizontal: 0.5, FlipVertical: 0.5, Turn: 0.5, MinZoom: 0.7, MaxZoom: 1.4, Shift: 0.15, Brightness: 0.25, Tint: 0.07}
}

// Validate reports every fault at once.
func (p Policy) Validate() error {
	var faults []error
	for _, v := range []struct {
		name  string
		value float64
	}{{"mosaic", p.Mosaic}, {"flip_horizontal", p.FlipHorizontal}, {"flip_vertical", p.FlipVertical}, {"turn", p.Turn}, {"shift", p.Shift}, {"brightness", p.Brightness}, {"tint", p.Tint}, {"tiles", p.Tiles}} {
		if !(v.value >= 0 && v.value <= 1) {
			faults = append(faults, fmt.Errorf("augment.%s is %v; it must be from 0 to 1", v.name, v.value))
		}
	}
	if !(p.MinZoom >= 0.05 && p.MaxZoom >= p.MinZoom && p.MaxZoom <= 20) {
		faults = append(faults, fmt.Errorf("augment.min_zoom and max_zoom are %v and %v; they must rise from 0.05 to 20", p.MinZoom, p.MaxZoom))
	}
	return errors.Join(faults...)
}

// mosaicZoom makes four photos fit into one input without losing their edges.
const mosaicZoom = 0.75

// Input writes one training input, three planes (R, G, B) of size x size values
// from 0 to 1, and returns its boxes. It shows photo, and in a mosaic three
// that others chooses. mosaic is the share to use in place of the policy's.
func (p Policy) Input(r *rand.Rand, photo *Photo, others func() *Photo, mosaic float64, size int, dst []float32) []Box {
	if r.Float64() >= mosaic {
		return p.show(r, photo, size, dst, area{0, 0, size, size}, 1)
	}
	x, y := size/2+r.IntN(size/4)-size/8, size/2+r.IntN(size/4)-size/8
	var boxes []Box
	for i, a := range []area{{0, 0, x, y}, {x, 0, size, y}, {0, y, x, size}, {x, y, size, size}} {
		if i > 0 {
			photo = others()
		}
		boxes = append(boxes, p.show(r, photo, size, dst, a, mosaicZoom)...)
	}
	return boxes
}

// area is a part of the input.
type area struct{ x0, y0, x1, y1 int }

// show draws a photo or a tile of it, changed at random, into a part of the input.
func (p Policy) show(r *rand.Rand, photo *Photo, size int, dst []float32, a area, zoom float64) []Box {
	// Without tiles no number is drawn, so that inputs are those of a policy without them.
	if p.Tiles > 0 && len(photo.tiles) > 0 && r.Float64() < p.Tiles {
		photo = photo.tiles[r.IntN(len(photo.tiles))]
	}
	zoom *= math.Exp(math.Log(p.MinZoom) + math.Log(p.MaxZoom/p.MinZoom)*r.Float64())
	flipX, flipY, turn := sign(r, p.FlipHorizontal), sign(r, p.FlipVertical), r.Float64() < p.Turn
	shiftX, shiftY := p.Shift*(2*r.Float64()-1), p.Shift*(2*r.Float64()-1)
	colours := p.colours(r)

	// From the finest copy that needs no averaging, so that nothing aliases.
	boxes, scale := photo.Boxes, 1.0
	step := float64(max(photo.W, photo.H)) / (float64(size) * zoom) // photo pixels an input pixel
	for step > 1.6 && photo.half != nil {
		scale, step, photo = scale/2, step/2, photo.half
	}
	m := mapping{
		turn: turn, stepX: step * flipX, stepY: step * flipY,
		centreX: float64(photo.W) * (0.5 + shiftX), centreY: float64(photo.H) * (0.5 + shiftY),
		midX: float64(a.x0+a.x1) / 2, midY: float64(a.y0+a.y1) / 2,
	}
	m.draw(photo, size, dst, a, &colours)
	return m.boxes(boxes, scale, a)
}

func sign(r *rand.Rand, share float64) float64 {
	if r.Float64() < share {
		return -1
	}
	return 1
}

// colours is what each byte becomes in each plane.
type colours [3][256]float32

func (p Policy) colours(r *rand.Rand) (c colours) {
	light := 1 + p.Brightness*(2*r.Float64()-1)
	offset := 0.24 * p.Brightness * (2*r.Float64() - 1)
	for plane := range c {
		gain := light * (1 + p.Tint*(2*r.Float64()-1)) / 255
		for v := range c[plane] {
			c[plane][v] = float32(min(max(float64(v)*gain+offset, 0), 1))
		}
	}
	return c
}
