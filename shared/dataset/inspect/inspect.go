// Package inspect finds out what a version must know of a photo: that it can be
// decoded, its displayed size, and what its pixels look like.
package inspect

import (
	"sync"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/imaging"
)

// Photo decodes a photo whole, because nothing less tells that it is. The
// fault, when there is one, carries a code of package imaging.
func Photo(data []byte) dataset.Seen { return Hashed(dataset.MD5Hex(data), data) }

// Hashed is Photo for data whose MD5 is known.
func Hashed(md5 string, data []byte) dataset.Seen {
	s := dataset.Seen{Size: int64(len(data))}
	s.MD5 = md5
	info, err := imaging.Header(data)
	if err != nil {
		s.Fault = err
		return s
	}
	im := buffers.Get().(*imaging.Image)
	defer keep(im)
	if err := imaging.DecodeInto(im, data, imaging.Options{}); err != nil {
		s.Fault = err
		return s
	}
	stats := imaging.Measure(im)
	s.Orientation = info.Orientation
	s.Width, s.Height = im.W, im.H
	s.Brightness, s.Contrast, s.Sharpness = stats.Brightness, stats.Contrast, stats.Sharpness
	s.Hash = perceptualHash(im)
	s.Taken, s.Camera = taken(data)
	return s
}

// buffers hold pixels for the next photo: fresh memory for each costs about a
// tenth of what decoding does.
var buffers = sync.Pool{New: func() any { return new(imaging.Image) }}

// kept bytes of pixels at most wait for the next photo: 20 megapixels.
const kept = 60_000_000

func keep(im *imaging.Image) {
	if cap(im.Pix) <= kept {
		buffers.Put(im)
	}
}

// perceptualHash is the difference hash: luma averaged over nine by eight cells,
// a bit for each cell that is brighter than its right neighbour.
func perceptualHash(im *imaging.Image) (hash uint64) {
	const columns, rows = 9, 8
	var sum, n [rows][columns]uint64
	// A few thousand samples a cell hold the averages well enough.
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
