package embedded

import (
	"context"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/imaging"
	"github.com/litterloop/litterloop/shared/training/embedded/augment"
)

// decodeTrain loads and decodes every training photo once, at the size that
// training needs.
func decodeTrain(ctx context.Context, samples []Sample, r Recipe, memory int64) ([]*augment.Photo, error) {
	photos := make([]*augment.Photo, len(samples))
	// No finer than the strongest zoom shows, and at most half as fine again as the input.
	maxSide := int(float64(r.ImageSize) * min(max(r.Augment.MaxZoom, 1), 1.5))
	left := &room{bytes: memory, photos: len(samples)}
	err := decodeAll(ctx, samples, func(i int, im *imaging.Image) error {
		boxes := make([]augment.Box, len(samples[i].Boxes))
		for j, b := range samples[i].Boxes {
			boxes[j] = augment.Box(b)
		}
		photos[i] = augment.NewPhoto(im.Pix, im.W, im.H, boxes, maxSide)
		if r.Augment.Tiles > 0 {
			photos[i].CutTiles(im.Pix, im.W, im.H, boxes, r.ImageSize)
		}
		return left.take(photos[i].Bytes())
	})
	return photos, err
}

// decodeAll gives use every sample's photo, several at a time.
func decodeAll(ctx context.Context, samples []Sample, use func(i int, im *imaging.Image) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, s := range samples {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			photo, err := s.Load(ctx)
			if err != nil {
				return fmt.Errorf("load photo %s: %w", s.Name, err)
			}
			im, err := imaging.Decode(photo)
			if err != nil {
				return fmt.Errorf("decode photo %s: %w", s.Name, err)
			}
			return use(i, im)
		})
	}
	return g.Wait()
}
