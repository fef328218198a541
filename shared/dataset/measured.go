package dataset

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

// Measured is what a photo's pixels told, once for each content: a line of a
// version's MeasuredFile. It is no part of the version's content, because two
// decoders may disagree in the last digit.
type Measured struct {
	MD5        string  `json:"md5"`
	Width      int     `json:"width"` // displayed
	Height     int     `json:"height"`
	Brightness float32 `json:"brightness"` // as imaging.Stats
	Contrast   float32 `json:"contrast"`
	Sharpness  float32 `json:"sharpness"`
	Hash       uint64  `json:"hash,string"`      // perceptual: near for photos that look alike
	Taken      int64   `json:"taken,omitempty"`  // seconds by the camera's own clock; 0 unknown
	Camera     uint32  `json:"camera,omitempty"` // names the kind of camera
}

// LoadMeasured returns what is known of a version's photos, by MD5; nothing for
// a version that has no such file.
func LoadMeasured(ctx context.Context, b blob.Bucket, id string) (map[string]Measured, error) {
	known := map[string]Measured{}
	lines, err := readLines[Measured](ctx, b, VersionObject(id, MeasuredFile))
	if errors.Is(err, errs.NotFound) {
		return known, nil
	}
	for _, m := range lines {
		known[m.MD5] = m
	}
	return known, err
}

// measuredLines is the MeasuredFile of photos, as far as they are known.
func measuredLines(photos []Photo, known map[string]Measured) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	done := make(map[string]bool, len(photos))
	for _, p := range photos {
		m, ok := known[p.MD5]
		if !ok || done[p.MD5] {
			continue
		}
		done[p.MD5] = true
		if err := e.Encode(m); err != nil {
			return nil, fmt.Errorf("encode measurements of %q: %w", p.Path, err)
		}
	}
	return out.Bytes(), nil
}

// maxNear is how many photos of one look each photo is compared with: a
// thousand frames of one scene are found alike without comparing all with all.
const maxNear = 64

// Near calls visit with pairs i > j of perceptual hashes that differ in at most
// distance bits (3 at most), some pairs more than once. Hashes that near agree
// in one of their four quarters at least, which spares comparing all with all.
// A plain surface looks like any other and is near nothing.
func Near(hashes []uint64, distance int, visit func(i, j int)) {
	type quarter struct {
		index int
		bits  uint16
	}
	seen := map[quarter][]int{}
	for i, h := range hashes {
		if n := bits.OnesCount64(h); n < 8 || n > 56 {
			continue
		}
		for q := range 4 {
			key := quarter{q, uint16(h >> (16 * q))}
			same := seen[key]
			for _, j := range same[max(0, len(same)-maxNear):] {
				if bits.OnesCount64(hashes[j]^h) <= distance {
					visit(i, j)
				}
			}
			seen[key] = append(same, i)
		}
	}
}
