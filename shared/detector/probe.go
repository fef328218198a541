package detector

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"

	"github.com/litterloop/litterloop/shared/errs"
)

// ModelSilent is the reason of a model that gives every class of every anchor
// the score 0, whatever it is shown: a broken export, which loads and has the
// right shapes. A sigmoid's score is small on noise, and never 0.
const ModelSilent errs.Code = "model-silent"

// Probe shows the model noise, and refuses it when all its scores are 0 or not
// numbers (ModelSilent). It stands in for golden photos where a model has none,
// and finds no other fault. certain is false for a model with suppression
// inside, which may rightly find nothing on noise.
func (d *Detector) Probe(ctx context.Context) (certain bool, err error) {
	w, h := int64(d.spec.Width), int64(d.spec.Height)
	if d.spec.Dynamic { // small is as good, and quick
		side := int64(max(d.spec.Stride, 128/d.spec.Stride*d.spec.Stride))
		w, h = min(w, side), min(h, side)
	}
	in := Tensor{Shape: []int64{1, 3, h, w}}
	noise := rand.New(rand.NewPCG(1, 2))
	for range 3 * h * w {
		if v := noise.Float32(); d.spec.Half {
			in.Data = binary.LittleEndian.AppendUint16(in.Data, Half(v))
		} else {
			in.Data = binary.LittleEndian.AppendUint32(in.Data, math.Float32bits(v))
		}
	}
	out, err := d.Infer(ctx, in)
	if err != nil {
		return true, err
	}
	score := func(i int64) float32 {
		if d.spec.Half {
			return FromHalf(binary.LittleEndian.Uint16(out.Data[2*i:]))
		}
		return math.Float32frombits(binary.LittleEndian.Uint32(out.Data[4*i:]))
	}
	alive := func(f float32) bool { return f == f && f != 0 }
	classes, shape := int64(len(d.spec.Classes)), out.Shape
	switch {
	case len(shape) == 3 && shape[2] == 6: // x1, y1, x2, y2, score, class
		for i := range shape[1] {
			if alive(score(6*i + 4)) {
				return true, nil
			}
		}
		return false, nil
	case len(shape) == 3 && shape[1] == 4+classes: // four planes of boxes, then one of scores a class
		for i := 4 * shape[2]; i < (4+classes)*shape[2]; i++ {
			if alive(score(i)) {
				return true, nil
			}
		}
		return true, errs.Permanentf(ModelSilent, "the model gives every class the score 0 at all %d anchors of a noisy picture: the export is broken; export it again, and compare it with the trained model", shape[2])
	}
	_, err = d.decode(nil, nil, shape, Query{})
	return true, err
}
