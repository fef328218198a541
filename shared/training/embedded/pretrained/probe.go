package pretrained

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/training/embedded/network"
	"github.com/litterloop/litterloop/shared/training/embedded/onnx"
	"github.com/litterloop/litterloop/shared/training/embedded/session"
)

// probeSide is the input that a model of any shape is tried on.
const probeSide = 160

func (m *Model) probeSide() int {
	if m.Size != 0 {
		return m.Size
	}
	return probeSide
}

// free tells whether a model that says one size takes others: whether its layers
// put out maps of the right size for them. Attention written for one size fails.
func (m *Model) free() bool {
	strides := m.MaxStride()
	for _, side := range [][2]int{{3 * strides, 5 * strides}, {6 * strides, 2 * strides}} {
		part := m.graph.Part([]onnx.Value{{Name: m.input, Shape: []any{1, 3, side[0], side[1]}}}, m.predictionTensors())
		s, err := session.Open(part.Marshal(), []string{m.input}, m.predictionTensors(), 1)
		if err != nil {
			return false
		}
		defer s.Close()
		image, err := session.NewTensor(make([]float32, 3*side[0]*side[1]), 1, 3, side[0], side[1])
		if err != nil {
			return false
		}
		defer image.Release()
		out, err := s.Run(image)
		if err != nil {
			return false
		}
		defer session.Release(out)
		each := len(out) / len(m.Levels)
		for i, o := range out {
			shape, stride := o.Shape(), m.Levels[i/each].Stride
			if len(shape) != 4 || int(shape[2])*stride != side[0] || int(shape[3])*stride != side[1] {
				return false
			}
		}
	}
	return true
}

// probe is a picture of coarse patches, so that scores and boxes differ from
// place to place, in the range that the model wants.
func (m *Model) probe(side int) []float32 {
	r := rand.New(rand.NewPCG(1, 0))
	pix := make([]float32, 3*side*side)
	for i := range pix {
		switch y, x := i/side, i%side; {
		case y%16 > 0:
			pix[i] = pix[i-side]
		case x%16 > 0:
			pix[i] = pix[i-1]
		default:
			pix[i] = r.Float32()
		}
	}
	if m.BGR255 {
		for i := range pix {
			pix[i] *= 255
		}
	}
	return pix
}

// ask runs a part of the model on the probe.
func (m *Model) ask(outputs []string) ([]*session.Tensor, error) {
	return m.askAt(m.probeSide(), outputs)
}

// shapes are those of tensors for one photo of side pixels.
func (m *Model) shapes(side int, tensors []string) (map[string][]int, error) {
	if len(tensors) == 0 {
		return nil, nil
	}
	out, err := m.askAt(side, tensors)
	if err != nil {
		return nil, err
	}
	defer session.Release(out)
	shapes := map[string][]int{}
	for i, o := range out {
		for _, d := range o.Shape() {
			shapes[tensors[i]] = append(shapes[tensors[i]], int(d))
		}
	}
	return shapes, nil
}

func (m *Model) askAt(side int, outputs []string) ([]*session.Tensor, error) {
	part := m.graph.Part([]onnx.Value{{Name: m.input, Shape: []any{1, 3, side, side}}}, outputs)
	s, err := session.Open(part.Marshal(), []string{m.input}, outputs, 1)
	if err != nil {
		return nil, errs.Permanentf(Unsupported, "the starting model cannot be run: %w", err)
	}
	defer s.Close()
	image, err := session.NewTensor(m.probe(side), 1, 3, side, side)
	if err != nil {
		return nil, err
	}
	defer image.Release()
	out, err := s.Run(image)
	if err != nil {
		return nil, errs.Permanentf(Unsupported, "the starting model cannot be run at %dx%d: %w", side, side, err)
	}
	return out, nil
}

// measure finds the stride of each prediction by running the model.
func (m *Model) measure(found []prediction) ([]int, error) {
	var names []string
	for _, p := range found {
		names = append(names, p.output)
	}
	out, err := m.ask(names)
	if err != nil {
		return nil, err
	}
	defer session.Release(out)
	strides := make([]int, len(out))
	for i, o := range out {
		s := o.Shape()
		if len(s) != 4 || s[2] < 1 || s[2] != s[3] || m.probeSide()%int(s[2]) != 0 {
			return nil, errs.Permanentf(Unsupported, "the starting model's layer %q puts out shape %v for an input of %d pixels; a detector's puts out square maps", names[i], s, m.probeSide())
		}
		strides[i] = m.probeSide() / int(s[2])
		if strides[i] < 4 || strides[i] > 64 {
			return nil, errs.Permanentf(Unsupported, "the starting model predicts at stride %d; a detector predicts at 4 to 64 (a classifier at its input's size)", strides[i])
		}
	}
	return strides, nil
}

// chooseCode finds how boxes are written: by decoding the raw maps and looking
// for the boxes that the model itself puts out. Where it puts out raw maps, as
// YOLOX does, there is nothing to compare.
func (m *Model) chooseCode() error {
	codes := []network.Code{network.Distances, network.LogDistances}
	if m.Levels[0].Objectness != "" {
		codes = []network.Code{network.CentreSize, network.Distances}
	}
	raw, err := m.rawMaps()
	if err != nil {
		return err
	}
	names := []string{m.graph.Outputs[0].Name}
	out, err := m.ask(names)
	if err != nil {
		return err
	}
	defer session.Release(out)
	worst := math.Inf(1)
	for _, code := range codes {
		m.Code = code
		grid := m.Grid(m.probeSide(), m.probeSide())
		d, ok := difference(grid, raw, m.classes, out[0])
		if !ok { // of a shape that says nothing
			m.Code = codes[0]
			return nil
		}
		if d < 0.01 || d < 0.5 && m.Levels[0].Objectness != "" {
			return nil
		}
		worst = min(worst, d)
	}
	return errs.Permanentf(Unsupported, "the starting model writes its boxes in a way that is not understood (off by %.3g pixels at best); start from an export of YOLOX, or of YOLOv8 or later", worst)
}

// rawMaps are the model's predictions on the probe as [4+classes, anchors], with
// the scores' logits of its own classes.
func (m *Model) rawMaps() ([]float32, error) {
	var names []string
	for _, l := range m.Levels {
		names = append(names, l.Box, l.Class)
		if l.Objectness != "" {
			names = append(names, l.Objectness)
		}
	}
	out, err := m.ask(names)
	if err != nil {
		return nil, err
	}
	defer session.Release(out)
	each := len(out) / len(m.Levels)
	anchors := 0
	for i := 0; i < len(out); i += each {
		anchors += len(out[i].Data) / (4 * m.Bins)
	}
	raw := make([]float32, (4+m.classes)*anchors)
	at := 0
	for i := 0; i < len(out); i += each {
		n := len(out[i].Data) / (4 * m.Bins)
		for side := range 4 {
			for a := range n {
				raw[side*anchors+at+a] = m.expectation(out[i].Data, side, a, n)
			}
		}
		for c := range m.classes {
			copy(raw[(4+c)*anchors+at:], out[i+1].Data[c*n:(c+1)*n])
		}
		at += n
	}
	return raw, nil
}

// expectation is a side's raw value: itself, or the mean of its distribution.
func (m *Model) expectation(maps []float32, side, anchor, n int) float32 {
	if m.Bins == 1 {
		return maps[side*n+anchor]
	}
	top := math.Inf(-1)
	for k := range m.Bins {
		top = max(top, float64(maps[(side*m.Bins+k)*n+anchor]))
	}
	sum, mean := 0.0, 0.0
	for k := range m.Bins {
		p := math.Exp(float64(maps[(side*m.Bins+k)*n+anchor]) - top)
		sum, mean = sum+p, mean+p*float64(k)
	}
	return float32(mean / sum)
}

// difference is how far the decoded boxes are from those of the model's own
// output, in pixels; ok is false for an output that holds no boxes of pixels.
func difference(grid *network.Grid, raw []float32, classes int, out *session.Tensor) (pixels float64, ok bool) {
	shape := out.Shape()
	if len(shape) != 3 {
		return 0, false
	}
	n := grid.Len()
	switch {
	case int(shape[1]) == 4+classes && int(shape[2]) == n: // centre, size and scores by anchor
		for a := range n {
			b := grid.Box(raw, a)
			got := [4]float64{}
			for k := range got {
				got[k] = float64(out.Data[k*n+a])
			}
			pixels = max(pixels, apart(b, corners(got)))
		}
		return pixels, true
	case int(shape[1]) == n && int(shape[2]) == 5+classes: // YOLOX: raw, or decoded
		decoded, same := 0.0, 0.0
		for a := range n {
			row := out.Data[a*(5+classes):]
			got := [4]float64{float64(row[0]), float64(row[1]), float64(row[2]), float64(row[3])}
			decoded = max(decoded, apart(grid.Box(raw, a), corners(got)))
			for k := range got {
				same = max(same, math.Abs(got[k]-float64(raw[k*n+a])))
			}
		}
		return decoded, same > 1e-3
	case int(shape[2]) == 6 && shape[1] > 0: // after suppression: corners, score, class
		return nearestRows(grid, raw, out.Data), true
	}
	return 0, false
}

// nearestRows is how far the best rows of a suppressed output are from the
// nearest decoded box.
func nearestRows(grid *network.Grid, raw, rows []float32) float64 {
	const compared = 20
	type row struct {
		box   [4]float64
		score float32
	}
	var best []row
	for i := 0; i+6 <= len(rows); i += 6 {
		r := row{score: rows[i+4]}
		for k := range r.box {
			r.box[k] = float64(rows[i+k])
		}
		if r.box[2] > r.box[0] {
			best = append(best, r)
		}
	}
	slices.SortFunc(best, func(a, b row) int { return cmp.Compare(b.score, a.score) })
	worst := 0.0
	for _, r := range best[:min(len(best), compared)] {
		nearest := math.Inf(1)
		for a := range grid.Len() {
			nearest = min(nearest, apart(grid.Box(raw, a), r.box))
		}
		worst = max(worst, nearest)
	}
	return worst
}

func corners(b [4]float64) [4]float64 {
	return [4]float64{b[0] - b[2]/2, b[1] - b[3]/2, b[0] + b[2]/2, b[1] + b[3]/2}
}

func apart(a, b [4]float64) float64 {
	d := 0.0
	for k := range a {
		d = max(d, math.Abs(a[k]-b[k]))
	}
	return d
}
