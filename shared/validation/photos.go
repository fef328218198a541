package validation

import (
	"fmt"
	"math/bits"

	"github.com/litterloop/litterloop/shared/dataset"
)

// checkPhotos looks at what the pixels told.
func checkPhotos(f *findings, photos []dataset.Photo, measured map[string]Measured) {
	for _, p := range photos {
		m := measured[p.MD5]
		switch {
		case m.Fault != "":
			f.add(Corrupt, Example{Photo: p.Path, Note: m.Fault})
			continue
		case m.Width != p.Width || m.Height != p.Height:
			f.add(SizeWrong, Example{Photo: p.Path, Note: fmt.Sprintf("is %dx%d, the version says %dx%d", m.Width, m.Height, p.Width, p.Height)})
		}
		switch {
		case float64(m.Brightness) < f.policy.Dark:
			f.add(Dark, Example{Photo: p.Path, Note: fmt.Sprintf("mean luma %.0f", m.Brightness)})
		case float64(m.Brightness) > f.policy.Bright:
			f.add(Bright, Example{Photo: p.Path, Note: fmt.Sprintf("mean luma %.0f", m.Brightness)})
		}
		if float64(m.Sharpness) < f.policy.Blurred {
			f.add(Blurred, Example{Photo: p.Path, Note: fmt.Sprintf("sharpness %.1f", m.Sharpness)})
		}
	}
	for _, pair := range alike(photos, measured, f.policy.NearDuplicateBits) {
		code := NearDuplicate
		if pair[0].Split != pair[1].Split {
			code = NearDuplicateGap
		}
		f.add(code, Example{Photo: pair[1].Path, Note: "like " + pair[0].Path})
	}
}

// alike returns pairs of photos of different content whose hashes differ in at
// most distance bits, each photo with one earlier at most. Hashes that near
// agree in at least one of their four quarters, which spares comparing all with
// all.
func alike(photos []dataset.Photo, measured map[string]Measured, distance int) (pairs [][2]dataset.Photo) {
	type quarter struct {
		index int
		bits  uint16
	}
	seen := map[quarter][]int{}
	for i, p := range photos {
		m := measured[p.MD5]
		if m.Fault != "" || bits.OnesCount64(m.Hash) < 8 || bits.OnesCount64(m.Hash) > 56 { // a plain surface is like any other
			continue
		}
		found := false
		for q := range 4 {
			key := quarter{q, uint16(m.Hash >> (16 * q))}
			for _, j := range seen[key] {
				if o := photos[j]; !found && o.MD5 != p.MD5 && bits.OnesCount64(measured[o.MD5].Hash^m.Hash) <= distance {
					pairs = append(pairs, [2]dataset.Photo{o, p})
					found = true
				}
			}
			seen[key] = append(seen[key], i)
		}
	}
	return pairs
}
