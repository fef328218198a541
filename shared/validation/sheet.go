package validation

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"image"
	"image/jpeg"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/imaging"
)

// tile is a photo of the contact sheet: a small picture with its boxes over it.
type tile struct {
	Path          string
	Split         dataset.Split
	Why           string // finding that brought it here; empty for a sample
	Severity      Severity
	Width, Height int // of the photo
	Picture       template.URL
	Boxes         []tileBox
	Fault         string
}

type tileBox struct {
	dataset.Box
	Name   string
	Colour string
	Marked bool // the box that the finding is about
}

// Unit is the height of text over the tile in the photo's own pixels: less
// where many boxes crowd.
func (t tile) Unit() float64 {
	if len(t.Boxes) > 6 {
		return float64(max(t.Width, t.Height)) / 34
	}
	return float64(max(t.Width, t.Height)) / 24
}

// TextY is the base line of the box's name: above the box, or inside it where
// there is no room above.
func (b tileBox) TextY(unit float64) float64 {
	if b.Y > 1.2*unit {
		return b.Y - 0.3*unit
	}
	return b.Y + 1.1*unit
}

// Halo is the width of the outline that keeps text legible on any photo.
func (tileBox) Halo(unit float64) float64 { return unit / 4 }

// thumbnail pixels of a tile's longer side.
const thumbnail = 360

// contactSheet draws photos that findings speak of, the gravest first and every
// finding in turn, and fills up with a sample of the others.
func contactSheet(ctx context.Context, b blob.Bucket, v dataset.Version, photos []dataset.Photo, r Result, n int) ([]tile, error) {
	byPath := make(map[string]dataset.Photo, len(photos))
	for _, p := range photos {
		byPath[p.Path] = p
	}
	type chosen struct {
		photo   dataset.Photo
		finding *Finding
		box     *dataset.Box
	}
	var sheet []chosen
	taken := map[string]bool{}
	for round := range maxExamples {
		for i, f := range r.Findings {
			if round >= len(f.Examples) || len(sheet) >= n*2/3 {
				continue
			}
			e := f.Examples[round]
			if p, ok := byPath[e.Photo]; ok && !taken[p.Path] {
				taken[p.Path] = true
				sheet = append(sheet, chosen{p, &r.Findings[i], e.Box})
			}
		}
	}
	rest := slices.DeleteFunc(slices.Clone(photos), func(p dataset.Photo) bool { return taken[p.Path] })
	slices.SortFunc(rest, func(x, y dataset.Photo) int { return strings.Compare(x.MD5, y.MD5) }) // as good as random
	for _, p := range rest[:min(len(rest), n-len(sheet))] {
		sheet = append(sheet, chosen{photo: p})
	}
	tiles := make([]tile, len(sheet))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i, c := range sheet {
		g.Go(func() error {
			t := tile{Path: c.photo.Path, Split: c.photo.Split, Width: c.photo.Width, Height: c.photo.Height}
			if c.finding != nil {
				t.Why, t.Severity = string(c.finding.Code), c.finding.Severity
			}
			for _, box := range c.photo.Boxes {
				t.Boxes = append(t.Boxes, tileBox{box, v.Classes[box.Class], colour(box.Class), c.box != nil && *c.box == box})
			}
			data, err := dataset.OpenPhoto(ctx, b, c.photo)
			if err == nil {
				t.Picture, err = picture(data)
			}
			if _, permanent := errs.Reason(err); permanent || errors.Is(err, errs.NotFound) {
				t.Fault = err.Error()
				err = nil
			}
			tiles[i] = t
			return err
		})
	}
	return tiles, g.Wait()
}

// picture is a photo as a small JPEG in a data URL.
func picture(photo []byte) (template.URL, error) {
	im, err := imaging.Decode(photo)
	if err != nil {
		return "", err
	}
	small := shrink(im, thumbnail)
	var out bytes.Buffer
	if err := jpeg.Encode(&out, small, &jpeg.Options{Quality: 78}); err != nil {
		return "", fmt.Errorf("encode a thumbnail: %w", err)
	}
	return template.URL("data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(out.Bytes())), nil
}

// shrink averages the pixels of im into a picture with a longer side of at most
// side pixels.
func shrink(im *imaging.Image, side int) *image.RGBA {
	long := max(im.W, im.H)
	w, h := im.W, im.H
	if long > side {
		w, h = max(1, im.W*side/long), max(1, im.H*side/long)
	}
	small := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		y0, y1 := y*im.H/h, max((y+1)*im.H/h, y*im.H/h+1)
		for x := range w {
			x0, x1 := x*im.W/w, max((x+1)*im.W/w, x*im.W/w+1)
			var sum [3]int
			for sy := y0; sy < y1; sy++ {
				row := im.Pix[3*(sy*im.W+x0) : 3*(sy*im.W+x1)]
				for i := 0; i < len(row); i += 3 {
					sum[0] += int(row[i])
					sum[1] += int(row[i+1])
					sum[2] += int(row[i+2])
				}
			}
			n := (y1 - y0) * (x1 - x0)
			p := small.Pix[small.PixOffset(x, y):]
			p[0], p[1], p[2], p[3] = byte(sum[0]/n), byte(sum[1]/n), byte(sum[2]/n), 255
		}
	}
	return small
}

// colour is a class's colour in the report: hues a golden angle apart, so that
// neighbours differ.
func colour(class int) string { return fmt.Sprintf("hsl(%d 85%% 45%%)", (class*137+200)%360) }
