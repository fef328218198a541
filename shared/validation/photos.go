package validation

import (
	"fmt"

	"github.com/litterloop/litterloop/shared/dataset"
)

// checkPhotos looks at what the pixels told.
func checkPhotos(f *findings, photos []dataset.Photo, measured map[string]dataset.Measured, faults map[string]error) {
	for _, p := range photos {
		if err := faults[p.MD5]; err != nil {
			f.add(Corrupt, Example{Photo: p.Path, Note: err.Error()})
			continue
		}
		m := measured[p.MD5]
		if m.Width != p.Width || m.Height != p.Height {
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
	hashes := make([]uint64, len(photos))
	for i, p := range photos {
		hashes[i] = measured[p.MD5].Hash
	}
	found := map[int]bool{}
	dataset.Near(hashes, f.policy.NearDuplicateBits, func(i, j int) {
		if found[i] || photos[i].MD5 == photos[j].MD5 {
			return
		}
		found[i] = true
		code := NearDuplicate
		if photos[i].Split != photos[j].Split {
			code = NearDuplicateGap
		}
		f.add(code, Example{Photo: photos[i].Path, Note: "like " + photos[j].Path})
	})
}
