package drift

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/litterloop/litterloop/shared/predictionlog"
)

// traffic draws photos and what a detector might answer on them. The zero
// scene is harmless; its fields say how far a photo departs from it.
type traffic struct {
	dark, blur, lost float64 // factors in [0, 1]: less light, less detail, less confidence
	classes          []float64
	weekend          float64 // how far weekends differ, in the units of the other fields
}

var names = []string{"bottle", "can", "cup", "bag"}

func (s traffic) row(rng *rand.Rand, id string, at time.Time) predictionlog.Row {
	dark, blur, lost := s.dark, s.blur, s.lost
	if d := at.Weekday(); s.weekend > 0 && (d == time.Saturday || d == time.Sunday) {
		dark, lost = dark+s.weekend*0.1, lost+s.weekend*0.05
	}
	shares := s.classes
	if shares == nil {
		shares = []float64{0.4, 0.3, 0.2, 0.1}
	}
	light := rng.NormFloat64()
	r := predictionlog.Row{
		ID: id, TimeMicros: at.UnixMicro(), Model: "litter", ModelVersion: "1", Dataset: "d1",
		Width: 640, Height: 480, Bytes: 60_000,
		Brightness: float32((120 + 25*light) * (1 - dark)),
		Contrast:   float32((50 + 8*rng.NormFloat64() + 4*light) * (1 - dark/2)),
		Sharpness:  float32(300 * math.Exp(0.7*rng.NormFloat64()) * math.Pow(1-blur, 3)),
	}
	if rng.Float64() < 0.3 {
		r.Width, r.Height = r.Height, r.Width
	}
	for range poisson(rng, 2.5*(1-lost)) {
		class := pick(rng, shares)
		w, h := float32(40*math.Exp(0.5*rng.NormFloat64())), float32(50*math.Exp(0.5*rng.NormFloat64()))
		x, y := rng.Float32()*(float32(r.Width)-w), rng.Float32()*(float32(r.Height)-h)
		c := 0.25 + 0.7*math.Sqrt(rng.Float64())*(1-lost)
		r.Boxes = append(r.Boxes, predictionlog.Box{ClassID: int32(class), Class: names[class], Confidence: float32(c), X1: x, Y1: y, X2: x + w, Y2: y + h})
	}
	return r
}

// rows draws n photos, spread evenly from from over span.
func (s traffic) rows(rng *rand.Rand, n int, from time.Time, span time.Duration) []predictionlog.Row {
	out := make([]predictionlog.Row, n)
	for i := range out {
		at := from.Add(time.Duration(float64(span) * (float64(i) + rng.Float64()) / float64(n)))
		out[i] = s.row(rng, fmt.Sprintf("%016x", rng.Uint64()), at)
	}
	return out
}

func poisson(rng *rand.Rand, mean float64) (n int) {
	for p := rng.Float64(); p > math.Exp(-mean); p *= rng.Float64() {
		n++
	}
	return n
}

func pick(rng *rand.Rand, shares []float64) int {
	x := rng.Float64()
	for i, s := range shares {
		if x -= s; x < 0 {
			return i
		}
	}
	return len(shares) - 1
}
