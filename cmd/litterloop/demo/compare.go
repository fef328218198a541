package demo

import (
	"context"
	"fmt"
	"slices"

	"github.com/litterloop/litterloop/cmd/litterloop/client"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/training/job"
	"github.com/litterloop/litterloop/shared/training/job/engine"
)

// compare measures the first and the last model on photos of the new kind that
// neither was trained on.
func (s *story) compare(ctx context.Context, snap client.Snapshot) (k NewKind, err error) {
	stage := s.board.Stage("compare on the new kind")
	defer func() {
		if err != nil {
			stage.Fail(err)
			return
		}
		stage.Done("mAP50 %.3f with the first model, %.3f with the last", k.Before, k.After)
	}()
	photos, err := s.unseen(ctx, snap)
	if err != nil {
		return k, err
	}
	k.Photos = len(photos)
	for _, to := range []struct {
		score  *float64
		prefix string
	}{{&k.Before, snap.Models[0].Package}, {&k.After, snap.Models[len(snap.Models)-1].Package}} {
		if *to.score, err = s.score(ctx, to.prefix, photos, stage.Set); err != nil {
			return k, err
		}
	}
	return k, nil
}

// unseen are the new traffic's photos, without those made of photos that the
// models were trained on.
func (s *story) unseen(ctx context.Context, snap client.Snapshot) ([]Photo, error) {
	if s.o.Data == "" {
		return s.material.New, nil // drawn for the traffic alone
	}
	known, err := dataset.Photos(ctx, s.loop.Bucket(s.loop.Datasets), snap.Current)
	if err != nil {
		return nil, err
	}
	held := map[string]bool{}
	for _, p := range known {
		held[p.MD5] = p.Split == dataset.Val
	}
	var photos []Photo
	for i, p := range s.material.First { // New[i] is First[i], made darker
		data, err := p.Load()
		if err != nil {
			return nil, err
		}
		if held[dataset.MD5Hex(data)] {
			photos = append(photos, s.material.New[i])
		}
	}
	return photos, nil
}

func (s *story) score(ctx context.Context, prefix string, photos []Photo, show show) (float64, error) {
	truths, err := s.answers(ctx, prefix, photos, s.material.Classes, show)
	if err != nil {
		return 0, err
	}
	return engine.Score(s.material.Classes, truths).MAP50, nil
}

type show = func(done, total int, format string, args ...any)

// answers are what a packaged model finds on photos, beside their labels; classes
// number both.
func (s *story) answers(ctx context.Context, prefix string, photos []Photo, classes []string, show show) ([]job.Truth, error) {
	p, err := modelpackage.Load(ctx, s.loop.Bucket(s.loop.Models), prefix)
	if err != nil {
		return nil, err
	}
	onnx, err := p.Read(ctx, modelpackage.ModelFile)
	if err != nil {
		return nil, err
	}
	d, err := engine.Open(onnx)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var truths []job.Truth
	for i, photo := range photos {
		data, err := photo.Load()
		if err != nil {
			return nil, fmt.Errorf("load %s: %w", photo.Name, err)
		}
		a, err := d.Detect(ctx, data, job.Query{Conf: 0.001, IoU: 0.7, MaxDet: 300})
		if err != nil {
			return nil, fmt.Errorf("detect on %s: %w", photo.Name, err)
		}
		t := job.Truth{Found: a.Detections}
		for j := range t.Found { // a model may number its classes otherwise
			t.Found[j].ClassID = slices.Index(classes, t.Found[j].Class)
		}
		for _, b := range photo.Boxes {
			t.Boxes = append(t.Boxes, dataset.Box{Class: b.Class, X: b.X, Y: b.Y, W: b.W, H: b.H})
		}
		truths = append(truths, t)
		show(i+1, len(photos), "%d of %d photos", i+1, len(photos))
	}
	return truths, nil
}
