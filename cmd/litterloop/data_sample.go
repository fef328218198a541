package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/drawing"
)

type dataSampleCmd struct {
	Dir    string `arg:"" help:"New directory for the photos and annotations.json." type:"path"`
	Photos int    `help:"How many." default:"40"`
	Seed   uint64 `help:"Another seed draws other photos." default:"1"`
}

// Run draws labelled photos to try things on: they are the same for one seed.
func (c *dataSampleCmd) Run(g *globals) error {
	if c.Photos < 1 {
		return fmt.Errorf("--photos is %d: draw at least one", c.Photos)
	}
	set, err := drawing.Set(c.Seed, c.Photos, drawing.Day)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(c.Dir, "photos"), 0o777); err != nil {
		return err
	}
	type record = map[string]any
	images, annotations, categories := []record{}, []record{}, []record{}
	for i, name := range drawing.Classes {
		categories = append(categories, record{"id": i + 1, "name": name})
	}
	for i, p := range set {
		name := fmt.Sprintf("photos/%04d.jpg", i)
		if err := os.WriteFile(filepath.Join(c.Dir, filepath.FromSlash(name)), p.JPEG, 0o666); err != nil {
			return err
		}
		images = append(images, record{"id": i, "file_name": name, "width": p.W, "height": p.H})
		for _, b := range p.Boxes {
			annotations = append(annotations, record{"id": len(annotations), "image_id": i, "category_id": b.Class + 1, "bbox": []float64{b.X1, b.Y1, b.X2 - b.X1, b.Y2 - b.Y1}})
		}
	}
	labels, err := json.Marshal(record{"images": images, "annotations": annotations, "categories": categories})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.Dir, dataset.LabelsFile), labels, 0o666); err != nil {
		return err
	}
	return g.answer(record{"photos": len(images), "boxes": len(annotations), "classes": len(categories)}, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %d photos with %d boxes of %d classes. `litterloop drop %s` drops them.\n", c.Dir, len(images), len(annotations), len(categories), c.Dir)
	})
}
