package validation

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/imaging"
)

// Measured is what a photo's pixels told, one line of measured.jsonl. It is
// taken once for each content: a version takes over what its parent has.
type Measured struct {
	MD5        string  `json:"md5"`
	Width      int     `json:"width"` // displayed
	Height     int     `json:"height"`
	Brightness float32 `json:"brightness"`
	Contrast   float32 `json:"contrast"`
	Sharpness  float32 `json:"sharpness"`
	Hash       uint64  `json:"hash,string"` // perceptual: near for photos that look alike
	Fault      string  `json:"fault,omitempty"`
}

// measure returns what is known of each content of the version, and how many
// photos had to be decoded for it.
func measure(ctx context.Context, b blob.Bucket, v dataset.Version, photos []dataset.Photo) (map[string]Measured, int, error) {
	known := map[string]Measured{}
	for _, id := range []string{v.Parent, v.ID} {
		if err := loadMeasured(ctx, b, id, known); err != nil {
			return nil, 0, err
		}
	}
	var fresh []dataset.Photo
	queued := map[string]bool{}
	for _, p := range photos {
		if m, ok := known[p.MD5]; (!ok || m.Fault != "") && !queued[p.MD5] { // a fault may have been mended
			queued[p.MD5] = true
			fresh = append(fresh, p)
		}
	}
	found := make([]Measured, len(fresh))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0) + 1)
	for i, p := range fresh {
		g.Go(func() (err error) {
			found[i], err = measurePhoto(gctx, b, p)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, 0, err
	}
	for _, m := range found {
		known[m.MD5] = m
	}
	return known, len(fresh), storeMeasured(ctx, b, v.ID, photos, known)
}

func measurePhoto(ctx context.Context, b blob.Bucket, p dataset.Photo) (Measured, error) {
	m := Measured{MD5: p.MD5}
	data, err := dataset.OpenPhoto(ctx, b, p)
	if err == nil {
		var im *imaging.Image
		if im, err = imaging.Decode(data); err == nil {
			s := imaging.Measure(im)
			m.Width, m.Height, m.Brightness, m.Contrast, m.Sharpness, m.Hash = im.W, im.H, s.Brightness, s.Contrast, s.Sharpness, perceptualHash(im)
			return m, nil
		}
	}
	if _, permanent := errs.Reason(err); permanent || errors.Is(err, errs.NotFound) {
		m.Fault = err.Error()
		return m, nil
	}
	return m, err
}

func loadMeasured(ctx context.Context, b blob.Bucket, id string, into map[string]Measured) error {
	if id == "" {
		return nil
	}
	r, _, err := b.Open(ctx, dataset.VersionObject(id, dataset.MeasuredFile), 0, -1)
	if errors.Is(err, errs.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer r.Close()
	for d := json.NewDecoder(bufio.NewReader(r)); ; {
		var m Measured
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("decode measurements of version %s: %w", id, err)
		}
		into[m.MD5] = m
	}
}

func storeMeasured(ctx context.Context, b blob.Bucket, id string, photos []dataset.Photo, known map[string]Measured) error {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	done := map[string]bool{}
	for _, p := range photos {
		if done[p.MD5] {
			continue
		}
		done[p.MD5] = true
		if err := e.Encode(known[p.MD5]); err != nil {
			return err
		}
	}
	_, err := b.Write(ctx, dataset.VersionObject(id, dataset.MeasuredFile), &out, blob.WriteOptions{IfGeneration: blob.Any, ContentType: "application/jsonl"})
	return err
}

// perceptualHash is the difference hash: luma averaged over nine by eight cells,
// a bit for each cell that is brighter than its right neighbour.
func perceptualHash(im *imaging.Image) (hash uint64) {
	const columns, rows = 9, 8
	var sum, n [rows][columns]uint64
	// A few thousand samples hold the averages well enough.
	step := max(1, min(im.W, im.H)/256)
	for y := 0; y < im.H; y += step {
		r := y * rows / im.H
		for x := 0; x < im.W; x += step {
			c := x * columns / im.W
			p := im.Pix[3*(y*im.W+x):]
			sum[r][c] += 299*uint64(p[0]) + 587*uint64(p[1]) + 114*uint64(p[2])
			n[r][c]++
		}
	}
	for r := range rows {
		for c := range columns - 1 {
			hash <<= 1
			if sum[r][c]*max(n[r][c+1], 1) > sum[r][c+1]*max(n[r][c], 1) {
				hash |= 1
			}
		}
	}
	return hash
}
