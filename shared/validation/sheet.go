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
	Class         string // of a box that is cut out
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

// Ring is how far outside a marked box a second frame is drawn, so that a tiny
// box is found.
func (b tileBox) Ring(unit float64) float64 { return max(unit-min(b.W, b.H)/2, unit/3) }

// RingSize is the size of that frame along a side of the box.
func (b tileBox) RingSize(side, unit float64) float64 { return side + 2*b.Ring(unit) }

// Halo is the width of the outline that keeps text legible on any photo.
func (tileBox) Halo(unit float64) float64 { return unit / 4 }

// thumbnail pixels of a tile's longer side.
const thumbnail = 360

// sheet is a part of the contact sheets.
type sheet struct {
	Title, Says string
	Small       bool // tiles are cut out of photos
	Tiles       []tile
}

// contactSheets draw n photos that findings speak of, the gravest first and every
// finding in turn, and a sample of the others; and, rarest class first, boxes of
// every class. Photos come from the bucket; one that does not is told of in its
// tile.
func contactSheets(ctx context.Context, b blob.Bucket, v dataset.Version, photos []dataset.Photo, r Result, policy Policy) ([]sheet, error) {
	found, taken := byFinding(photos, r, policy.ContactSheet*2/3)
	sampled := sample(photos, taken, policy.ContactSheet-len(found))
	boxes := byClass(v, photos, policy)
	var tasks []task
	sheets := []sheet{
		{Title: "Photos by finding", Says: "The gravest first. Where a finding is about a box, a dashed red frame is around it.", Tiles: make([]tile, len(found))},
		{Title: "Boxes by class", Says: "The rarest class first; of each class the smallest box, the most elongated, and others. Look whether each is what it is called.", Small: true, Tiles: make([]tile, len(boxes))},
		{Title: "A sample of the photos", Says: "Photos that no finding above speaks of. Look whether all objects have a box, and the boxes fit.", Tiles: make([]tile, len(sampled))},
	}
	for i, of := range [][]pick{found, boxes, sampled} {
		for j, p := range of {
			tasks = append(tasks, task{p, &sheets[i].Tiles[j]})
		}
	}
	return sheets, draw(ctx, b, v, tasks)
}

// pick is a photo of a sheet: whole, or the surroundings of one box.
type pick struct {
	photo   dataset.Photo
	finding *Finding
	box     *dataset.Box
	cut     bool
}

type task struct {
	pick
	out *tile
}

// byFinding picks photos that findings speak of, each once.
func byFinding(photos []dataset.Photo, r Result, n int) (picks []pick, taken map[string]bool) {
	byPath := make(map[string]dataset.Photo, len(photos))
	for _, p := range photos {
		byPath[p.Path] = p
	}
	taken = map[string]bool{}
	for round := range maxExamples {
		for i, f := range r.Findings {
			if round >= len(f.Examples) || len(picks) >= n {
				continue
			}
			e := f.Examples[round]
			if p, ok := byPath[e.Photo]; ok && !taken[p.MD5] {
				taken[p.MD5] = true
				picks = append(picks, pick{photo: p, finding: &r.Findings[i], box: e.Box})
			}
		}
	}
	slices.SortStableFunc(picks, func(x, y pick) int { // in the findings' order
		return slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Code == x.finding.Code }) -
			slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Code == y.finding.Code })
	})
	return picks, taken
}

// sample picks n of the photos that are not taken, as good as at random.
func sample(photos []dataset.Photo, taken map[string]bool, n int) (picks []pick) {
	rest := slices.DeleteFunc(slices.Clone(photos), func(p dataset.Photo) bool { return taken[p.MD5] })
	slices.SortFunc(rest, func(x, y dataset.Photo) int { return strings.Compare(x.MD5, y.MD5) })
	rest = slices.CompactFunc(rest, func(x, y dataset.Photo) bool { return x.MD5 == y.MD5 })
	for _, p := range rest[:min(len(rest), max(n, 0))] {
		picks = append(picks, pick{photo: p})
	}
	return picks
}

// byClass picks boxes of each class, those that are likeliest wrong first.
func byClass(v dataset.Version, photos []dataset.Photo, policy Policy) (picks []pick) {
	of := make([][]pick, len(v.Classes))
	seen := map[string]bool{}
	for _, p := range photos {
		if seen[p.MD5] { // in another batch too
			continue
		}
		seen[p.MD5] = true
		for _, b := range p.Boxes {
			of[b.Class] = append(of[b.Class], pick{photo: p, box: &b, cut: true})
		}
	}
	of = slices.DeleteFunc(of, func(picks []pick) bool { return len(picks) == 0 })
	slices.SortStableFunc(of, func(x, y []pick) int { return len(x) - len(y) })
	const most = 4 // of a class
	each := min(max(policy.ClassSheet/max(len(of), 1), 1), most)
	for _, boxes := range of {
		slices.SortStableFunc(boxes, func(x, y pick) int { return strings.Compare(x.photo.MD5, y.photo.MD5) })
		if len(boxes) > each {
			first(boxes, func(p pick) float64 {
				return min(p.box.W, p.box.H) / float64(max(p.photo.Width, p.photo.Height, 1))
			})
			first(boxes[1:], func(p pick) float64 {
				return -max(p.box.W/p.box.H, p.box.H/p.box.W)
			})
		}
		if len(picks) >= policy.ClassSheet {
			break
		}
		picks = append(picks, boxes[:min(each, len(boxes))]...)
	}
	return picks
}

// first swaps the pick with the least of something to the front.
func first(picks []pick, of func(pick) float64) {
	least := 0
	for i := range picks {
		if of(picks[i]) < of(picks[least]) {
			least = i
		}
	}
	picks[0], picks[least] = picks[least], picks[0]
}

// draw fills the tiles, reading and decoding each photo once.
func draw(ctx context.Context, b blob.Bucket, v dataset.Version, tasks []task) error {
	byPhoto := map[string][]task{}
	for _, t := range tasks {
		byPhoto[t.photo.Path] = append(byPhoto[t.photo.Path], t)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for _, tasks := range byPhoto {
		g.Go(func() error {
			var im *imaging.Image
			data, err := dataset.OpenPhoto(ctx, b, tasks[0].photo)
			if err == nil {
				im, err = imaging.Decode(data)
			}
			if _, permanent := errs.Reason(err); err != nil && !permanent && !errors.Is(err, errs.NotFound) {
				return err
			}
			for _, t := range tasks {
				*t.out = t.tile(v)
				if err != nil {
					t.out.Fault = err.Error()
				} else if t.out.Picture, err = t.picture(im); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// tile is what is drawn over the picture.
func (p pick) tile(v dataset.Version) tile {
	t := tile{Path: p.photo.Path, Split: p.photo.Split, Width: p.photo.Width, Height: p.photo.Height}
	if p.finding != nil {
		t.Why, t.Severity = string(p.finding.Code), p.finding.Severity
	}
	if p.cut {
		x, y, w, h := p.surroundings()
		t.Width, t.Height, t.Class = w, h, v.Classes[p.box.Class]
		around := *p.box
		around.X, around.Y = around.X-float64(x), around.Y-float64(y)
		t.Boxes = []tileBox{{Box: around, Colour: colour(p.box.Class)}}
		return t
	}
	for _, box := range p.photo.Boxes {
		t.Boxes = append(t.Boxes, tileBox{box, v.Classes[box.Class], colour(box.Class), p.box != nil && *p.box == box})
	}
	return t
}

// surroundings is what is cut out around the box: it with half its size on each
// side, and never less than can be made out.
func (p pick) surroundings() (x, y, w, h int) {
	const least = 48 // pixels of the photo
	side := max(2*p.box.W, 2*p.box.H, least)
	w, h = min(int(side), p.photo.Width), min(int(side), p.photo.Height)
	x = min(max(int(p.box.X+p.box.W/2)-w/2, 0), p.photo.Width-w)
	y = min(max(int(p.box.Y+p.box.H/2)-h/2, 0), p.photo.Height-h)
	return x, y, w, h
}

// cutout pixels of the longer side of a tile that is cut out.
const cutout = 170

// picture is the photo, or what is cut out of it, small.
func (p pick) picture(im *imaging.Image) (template.URL, error) {
	if !p.cut {
		return encode(shrink(im, thumbnail))
	}
	x, y, w, h := p.surroundings()
	if x+w > im.W || y+h > im.H { // the version's size is wrong, and a finding says so
		return encode(shrink(im, cutout))
	}
	part := &imaging.Image{W: w, H: h, Pix: make([]byte, 3*w*h)}
	for row := range h {
		copy(part.Pix[3*w*row:3*w*(row+1)], im.Pix[3*(im.W*(y+row)+x):])
	}
	return encode(shrink(part, cutout))
}

// encode is a picture as a small JPEG in a data URL.
func encode(small image.Image) (template.URL, error) {
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
