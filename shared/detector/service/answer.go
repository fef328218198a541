package service

import (
	"math"
	"slices"
	"time"

	"github.com/litterloop/litterloop/shared/detector"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/predictionlog"
)

// Answer is what was found on one photo.
type Answer struct {
	ID         string                   `json:"id" doc:"Names this prediction in the log and for feedback" example:"0198c0de-0000-7000-8000-000000000000"`
	Photo      string                   `json:"photo,omitempty" doc:"File name or URI, as sent"`
	Model      ModelRef                 `json:"model"`
	Image      Size                     `json:"image"`
	Detections []modelpackage.Detection `json:"detections" doc:"Best first; boxes are [x1, y1, x2, y2] in pixels of the displayed photo"`
	Timings    Milliseconds             `json:"timings_ms"`
}

// ModelRef says which model answered.
type ModelRef struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty" doc:"Registered version"`
	SHA256  string `json:"sha256"`
	Dataset string `json:"dataset,omitempty" doc:"Data set version it was trained on"`
}

// Size of the displayed photo, in pixels.
type Size struct {
	Width  int `json:"width"`
	Height int `json:"height"`
}

// Milliseconds of each step.
type Milliseconds struct {
	Wait        float64 `json:"wait" doc:"For a free worker"`
	Decode      float64 `json:"decode"`
	Preprocess  float64 `json:"preprocess"`
	Inference   float64 `json:"inference"`
	Postprocess float64 `json:"postprocess"`
}

func milliseconds(t detector.Timings) Milliseconds {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return Milliseconds{ms(t.Wait), ms(t.Decode), ms(t.Preprocess), ms(t.Inference), ms(t.Postprocess)}
}

func (m *served) ref() ModelRef {
	return ModelRef{Name: m.Name, Version: m.Version, SHA256: m.SHA256, Dataset: m.Dataset}
}

func (m *served) answer(id, photo string, r detector.Result) Answer {
	return Answer{
		ID: id, Photo: photo, Model: m.ref(), Image: Size{r.Width, r.Height},
		Detections: legible(r.Detections), Timings: milliseconds(r.Timings),
	}
}

// legible rounds to what means something: a ten-thousandth of a pixel, a
// millionth of confidence. It halves the answer.
func legible(found []modelpackage.Detection) []modelpackage.Detection {
	out := slices.Clone(found)
	for i := range out {
		for k := range out[i].Box {
			out[i].Box[k] = math.Round(out[i].Box[k]*1e4) / 1e4
		}
		out[i].Confidence = math.Round(out[i].Confidence*1e6) / 1e6
	}
	return out
}

// row is the answer as the log keeps it.
func (m *served) row(a Answer, r detector.Result, bytes int, revision, trace string, at time.Time) predictionlog.Row {
	row := predictionlog.Row{
		ID: a.ID, TimeMicros: at.UnixMicro(), Model: m.Name, ModelVersion: m.Version, Dataset: m.Dataset,
		Revision: revision, TraceID: trace, Width: int32(r.Width), Height: int32(r.Height), Bytes: int64(bytes),
		Brightness: r.Stats.Brightness, Contrast: r.Stats.Contrast, Sharpness: r.Stats.Sharpness,
		Boxes: make([]predictionlog.Box, len(r.Detections)),
	}
	for i, d := range r.Detections {
		row.Boxes[i] = predictionlog.Box{
			ClassID: int32(d.ClassID), Class: d.Class, Confidence: float32(d.Confidence),
			X1: float32(d.Box[0]), Y1: float32(d.Box[1]), X2: float32(d.Box[2]), Y2: float32(d.Box[3]),
		}
	}
	return row
}
