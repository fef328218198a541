package drift

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"

	"golang.org/x/image/draw"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/imaging"
)

// thumbnailWidth is twice the width shown, for sharp screens.
const thumbnailWidth = 360

// thumbnail returns the loader of sampled photos for a page. A photo that is
// gone or damaged is left out: the report matters more than its pictures.
func (c *Checker) thumbnail(ctx context.Context) func(photo string) []byte {
	return func(photo string) []byte {
		p, _, err := blob.ReadAll(ctx, c.predictions, photo)
		if err != nil {
			return nil
		}
		small, err := shrink(p)
		if err != nil {
			return nil
		}
		return small
	}
}

// shrink is the displayed photo as a JPEG of thumbnailWidth.
func shrink(photo []byte) ([]byte, error) {
	im, err := imaging.Decode(photo)
	if err != nil {
		return nil, err
	}
	whole := image.NewRGBA(image.Rect(0, 0, im.W, im.H))
	for i, j := 0, 0; j < len(im.Pix); i, j = i+4, j+3 {
		whole.Pix[i], whole.Pix[i+1], whole.Pix[i+2], whole.Pix[i+3] = im.Pix[j], im.Pix[j+1], im.Pix[j+2], 255
	}
	w := min(thumbnailWidth, im.W)
	small := image.NewRGBA(image.Rect(0, 0, w, max(im.H*w/im.W, 1)))
	draw.ApproxBiLinear.Scale(small, small.Rect, whole, whole.Rect, draw.Src, nil)
	var b bytes.Buffer
	err = jpeg.Encode(&b, small, &jpeg.Options{Quality: 75})
	return b.Bytes(), err
}
