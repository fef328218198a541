package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/litterloop/litterloop/shared/errs"
)

type predictCmd struct {
	Photo string  `arg:"" help:"JPEG, PNG or WebP file." type:"existingfile"`
	Conf  float64 `help:"Lowest confidence of a box." default:"0.25"`
}

// Run asks the deployed detector about a photo.
func (c *predictCmd) Run(ctx context.Context, g *globals) error {
	photo, err := os.ReadFile(c.Photo)
	if err != nil {
		return err
	}
	cl, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	url, err := cl.DetectorURL(ctx)
	if errors.Is(err, errs.NotFound) {
		return errors.New("no model is deployed yet: drop labelled photos; `litterloop status` shows how far they are")
	}
	if err != nil {
		return err
	}
	answer, err := cl.Detect(ctx, url, photo, c.Conf)
	if err != nil {
		return err
	}
	return g.answer(json.RawMessage(answer.Raw), func(w io.Writer) {
		fmt.Fprintf(w, "%s version %s: %d objects on %s (%dx%d)\n", answer.Model.Name, answer.Model.Version, len(answer.Detections), c.Photo, answer.Image.Width, answer.Image.Height)
		t := tabwriter.NewWriter(w, 2, 4, 2, ' ', tabwriter.AlignRight)
		defer t.Flush()
		for _, d := range answer.Detections {
			fmt.Fprintf(t, "%s\t%.2f\t%.0f\t%.0f\t%.0f\t%.0f\t\n", d.Class, d.Confidence, d.Box[0], d.Box[1], d.Box[2], d.Box[3])
		}
	})
}
