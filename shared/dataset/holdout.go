package dataset

import (
	"cmp"
	"math"
	"slices"

	"github.com/litterloop/litterloop/shared/errs"
)

// SizeUndeclared: neither a photo nor a declared size to clip boxes by.
const SizeUndeclared errs.Code = "size-unknown"

// Declared takes the labels' word for a photo; its name stands for its content.
func Declared(p LabelledPhoto) Seen {
	var s Seen
	s.MD5, s.Width, s.Height = MD5Hex([]byte(p.Name)), p.Width, p.Height
	if p.Width == 0 || p.Height == 0 {
		s.Fault = errs.Permanentf(SizeUndeclared, "the labels declare no width and height")
	}
	return s
}

// Renamed tells whether a photo's file in a version, of Distinct, is another than
// whoever named the photo expects.
func Renamed(name, file string) bool { return file != withoutImages(name) }

// Rank places a photo, by its content's MD5, among those that are held out first:
// uniform, and the same for ever.
func Rank(md5 string, seed int64) uint64 { return rank(md5, seed) }

// HoldOut says which photos of a first batch are held out where no two look
// alike, as nothing tells of photos that nobody looked at. ranks are the photos'
// Rank; strata the class of each of which the batch has the fewest boxes, -1 for
// photos without boxes. It decides as a version does, in memory for millions.
func HoldOut(ranks []uint64, strata []int32, share float64) []bool {
	order := make([]int32, len(ranks))
	sizes := map[int]int{}
	for i, s := range strata {
		order[i] = int32(i)
		sizes[int(s)]++
	}
	slices.SortFunc(order, func(x, y int32) int { return cmp.Or(cmp.Compare(ranks[x], ranks[y]), cmp.Compare(x, y)) })
	left := int(math.Round(share * float64(len(ranks))))
	quota := quotas(sizes, len(ranks), left)
	held := make([]bool, len(ranks))
	for _, i := range order {
		if s := int(strata[i]); left > 0 && quota[s] > 0 {
			held[i] = true
			quota[s]--
			left--
		}
	}
	for _, i := range order {
		if left > 0 && !held[i] {
			held[i] = true
			left--
		}
	}
	return held
}
