package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/litterloop/litterloop/cmd/litterloop/client"
	"github.com/litterloop/litterloop/shared/drawing"
	"github.com/litterloop/litterloop/shared/imaging"
)

// Sizes are how many photos the drawn story has.
type Sizes struct {
	First   int // labelled, of the usual kind; a fifth is held out
	Second  int // labelled, of the new kind: too few to train for by themselves
	Traffic int // of each kind
}

// DefaultSizes is the story that people see.
var DefaultSizes = Sizes{First: 200, Second: 30, Traffic: 60}

// Photo is a photo of the story with what is truly on it.
type Photo struct {
	Name  string
	Load  func() ([]byte, error)
	W, H  int
	Boxes []Box
}

// Box is a labelled object in pixels of the displayed photo: left, top, width, height.
type Box struct {
	Class      int
	X, Y, W, H float64
}

// Material is everything that the story drops and sends.
type Material struct {
	Classes       []string
	First, Second []Photo // labelled batches: the usual kind, then the new kind
	Usual, New    []Photo // traffic
}

// drawn makes the material of the drawn story.
func drawn(seed uint64, n Sizes) (Material, error) {
	m := Material{Classes: drawing.Classes}
	for _, part := range []struct {
		to   *[]Photo
		seed uint64
		n    int
		kind drawing.Kind
	}{
		{&m.First, seed, n.First, drawing.Day},
		{&m.Second, seed + 1, n.Second, drawing.Dusk},
		{&m.Usual, seed + 2, n.Traffic, drawing.Day},
		{&m.New, seed + 3, n.Traffic, drawing.Dusk},
	} {
		photos, err := drawing.Set(part.seed, part.n, part.kind)
		if err != nil {
			return m, err
		}
		for _, p := range photos {
			q := Photo{Name: p.Name, Load: func() ([]byte, error) { return p.JPEG, nil }, W: p.W, H: p.H}
			for _, b := range p.Boxes {
				q.Boxes = append(q.Boxes, Box{b.Class, b.X1, b.Y1, b.X2 - b.X1, b.Y2 - b.Y1})
			}
			*part.to = append(*part.to, q)
		}
	}
	return m, nil
}

// coco is as much of a COCO file as the story needs.
type coco struct {
	Images []struct {
		ID            int64  `json:"id"`
		FileName      string `json:"file_name"`
		Width, Height int
	} `json:"images"`
	Annotations []struct {
		ImageID    int64      `json:"image_id"`
		CategoryID int64      `json:"category_id"`
		BBox       [4]float64 `json:"bbox"`
	} `json:"annotations"`
	Categories []struct {
		ID   int64  `json:"id"`
		Name string `json:"name"`
	} `json:"categories"`
}

// fromDirectory makes the material of a labelled directory: four fifths of its
// photos are the first batch and the traffic; the last fifth, made darker and
// blurred, is the second batch; the first batch's photos, made darker too, are
// the new traffic.
func fromDirectory(dir string, seed uint64) (Material, error) {
	var m Material
	p, err := os.ReadFile(filepath.Join(dir, "annotations.json"))
	if err != nil {
		return m, fmt.Errorf("--data needs a COCO file annotations.json beside the photos: %w", err)
	}
	var c coco
	if err := json.Unmarshal(p, &c); err != nil {
		return m, fmt.Errorf("%s/annotations.json is not COCO: %w", dir, err)
	}
	class := map[int64]int{}
	for i, cat := range c.Categories {
		class[cat.ID] = i
		m.Classes = append(m.Classes, cat.Name)
	}
	boxes := map[int64][]Box{}
	for _, a := range c.Annotations {
		boxes[a.ImageID] = append(boxes[a.ImageID], Box{class[a.CategoryID], a.BBox[0], a.BBox[1], a.BBox[2], a.BBox[3]})
	}
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(c.Images), func(i, j int) { c.Images[i], c.Images[j] = c.Images[j], c.Images[i] })
	kept := len(c.Images) - len(c.Images)/5
	for i, im := range c.Images {
		path := filepath.Join(dir, filepath.FromSlash(im.FileName))
		usual := Photo{Name: im.FileName, Load: func() ([]byte, error) { return os.ReadFile(path) }, W: im.Width, H: im.Height, Boxes: boxes[im.ID]}
		dark := usual
		dark.Name = "dusk/" + im.FileName + ".jpg"
		dark.Load = func() ([]byte, error) { return darkened(path) }
		if i >= kept {
			m.Second = append(m.Second, dark)
			continue
		}
		m.First, m.Usual, m.New = append(m.First, usual), append(m.Usual, usual), append(m.New, dark)
	}
	if len(m.First) < 10 || len(m.Second) < 2 {
		return m, fmt.Errorf("%s names %d photos: the story needs a dozen at the least", dir, len(c.Images))
	}
	return m, nil
}

// darkened renders the photo at path as the new kind, upright.
func darkened(path string) ([]byte, error) {
	p, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	im, err := imaging.Decode(p)
	if err != nil {
		return nil, err
	}
	rgba := image.NewRGBA(image.Rect(0, 0, im.W, im.H))
	for i := range im.W * im.H {
		copy(rgba.Pix[4*i:4*i+3], im.Pix[3*i:3*i+3])
		rgba.Pix[4*i+3] = 255
	}
	var buf bytes.Buffer
	err = jpeg.Encode(&buf, drawing.Darken(rgba), &jpeg.Options{Quality: 88})
	return buf.Bytes(), err
}

// batch lays photos and their labels out as the files of a COCO batch, in an
// order shuffled by seed: labels arrive before, among and after the photos.
func batch(photos []Photo, classes []string, seed uint64) ([]client.File, error) {
	type category struct {
		ID   int    `json:"id"`
		Name string `json:"name"`
	}
	type picture struct {
		ID       int    `json:"id"`
		FileName string `json:"file_name"`
		Width    int    `json:"width"`
		Height   int    `json:"height"`
	}
	type annotation struct {
		ID         int        `json:"id"`
		ImageID    int        `json:"image_id"`
		CategoryID int        `json:"category_id"`
		BBox       [4]float64 `json:"bbox"`
		Area       float64    `json:"area"`
		Crowd      int        `json:"iscrowd"`
	}
	labels := struct {
		Images      []picture    `json:"images"`
		Annotations []annotation `json:"annotations"`
		Categories  []category   `json:"categories"`
	}{}
	for i, n := range classes {
		labels.Categories = append(labels.Categories, category{i + 1, n})
	}
	var files []client.File
	for i, p := range photos {
		labels.Images = append(labels.Images, picture{i + 1, p.Name, p.W, p.H})
		for _, b := range p.Boxes {
			labels.Annotations = append(labels.Annotations, annotation{len(labels.Annotations) + 1, i + 1, b.Class + 1, [4]float64{b.X, b.Y, b.W, b.H}, b.W * b.H, 0})
		}
		files = append(files, client.File{Name: p.Name, Open: func() (io.ReadCloser, error) {
			data, err := p.Load()
			return io.NopCloser(bytes.NewReader(data)), err
		}})
	}
	text, err := json.Marshal(labels)
	if err != nil {
		return nil, fmt.Errorf("encode the batch's labels: %w", err)
	}
	files = append(files, client.File{Name: "annotations.json", Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }})
	rand.New(rand.NewPCG(seed, 1)).Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
	return files, nil
}

// material chooses the story: drawn, or from a directory.
func material(o Options) (Material, error) {
	if o.Data == "" {
		return drawn(o.Seed, o.Sizes)
	}
	return fromDirectory(o.Data, o.Seed)
}
