package imaging

import "math"

// Geometry is how a displayed photo lies in a model's input: scaled to fit, in
// the middle, grey around it. It is Ultralytics' LetterBox to the last
// rounding, since a different rounding moves every box.
type Geometry struct {
	PhotoW, PhotoH   int // displayed photo
	InputW, InputH   int // model input
	ScaledW, ScaledH int // the photo inside the input
	Left, Top        int // where it begins
}

// Fit places a photo in an input of exactly w x h pixels.
func Fit(photoW, photoH, w, h int) Geometry {
	g := scale(photoW, photoH, w, h)
	g.place(w-g.ScaledW, h-g.ScaledH)
	return g
}

// FitRect places a photo in the smallest input that fits within w x h and whose
// margins are below stride: what a model of dynamic shape runs fastest on.
func FitRect(photoW, photoH, w, h, stride int) Geometry {
	g := scale(photoW, photoH, w, h)
	g.place((w-g.ScaledW)%stride, (h-g.ScaledH)%stride)
	return g
}

func scale(photoW, photoH, w, h int) Geometry {
	r := math.Min(float64(h)/float64(photoH), float64(w)/float64(photoW))
	return Geometry{
		PhotoW: photoW, PhotoH: photoH,
		ScaledW: max(int(math.RoundToEven(float64(photoW)*r)), 1),
		ScaledH: max(int(math.RoundToEven(float64(photoH)*r)), 1),
	}
}

// place puts half of each margin before the photo; of an odd margin the larger
// half goes after it.
func (g *Geometry) place(marginW, marginH int) {
	g.Left, g.Top = marginW/2, marginH/2
	g.InputW, g.InputH = g.ScaledW+marginW, g.ScaledH+marginH
}

// Unmap turns a box in pixels of the model's input into pixels of the displayed
// photo, clipped to it. Each axis has its own gain, the photo's true scale after
// rounding, and the arithmetic is float32 as in Ultralytics.
func (g Geometry) Unmap(x1, y1, x2, y2 float32) (float32, float32, float32, float32) {
	gx := float32(float64(g.ScaledW) / float64(g.PhotoW))
	gy := float32(float64(g.ScaledH) / float64(g.PhotoH))
	return unmap(x1, g.Left, gx, g.PhotoW), unmap(y1, g.Top, gy, g.PhotoH),
		unmap(x2, g.Left, gx, g.PhotoW), unmap(y2, g.Top, gy, g.PhotoH)
}

func unmap(v float32, margin int, gain float32, limit int) float32 {
	return min(max((v-float32(margin))/gain, 0), float32(limit))
}
