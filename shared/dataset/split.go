package dataset

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"strings"
)

// candidate is a photo that needs a split.
type candidate struct {
	md5   string
	boxes []Box
}

// splits assigns photos of one batch to splits. known are the splits of photos,
// by MD5, that a version already has: they stay where they are. Of the rest as
// many are held out as bring the batch closest to the share; which ones depends
// on their content alone. Photos are taken stratum by stratum, a stratum being
// the rarest class that a photo shows, so that rare classes are held out too.
func splits(photos []candidate, known map[string]Split, share float64, seed int64) map[string]Split {
	out := make(map[string]Split, len(photos))
	held := 0
	boxesOf := map[int]int{}
	var fresh []candidate
	for _, p := range photos {
		for _, b := range p.boxes {
			boxesOf[b.Class]++
		}
		if s, ok := known[p.md5]; ok {
			out[p.md5] = s
			if s == Val {
				held++
			}
			continue
		}
		fresh = append(fresh, p)
	}
	strata := map[int][]candidate{}
	for _, p := range fresh {
		s := rarest(p.boxes, boxesOf)
		strata[s] = append(strata[s], p)
	}
	target := min(max(int(math.Round(share*float64(len(photos))))-held, 0), len(fresh))
	for s, quota := range quotas(strata, len(fresh), target) {
		members := strata[s]
		slices.SortFunc(members, func(x, y candidate) int {
			return cmp.Or(cmp.Compare(rank(x.md5, seed), rank(y.md5, seed)), strings.Compare(x.md5, y.md5))
		})
		for i, p := range members {
			out[p.md5] = Train
			if i < quota {
				out[p.md5] = Val
			}
		}
	}
	return out
}

// quotas shares target among the strata in proportion to their sizes, the
// remainder to the largest fractions.
func quotas(strata map[int][]candidate, total, target int) map[int]int {
	type part struct {
		stratum, quota int
		fraction       float64
	}
	var parts []part
	given := 0
	for s, members := range strata {
		exact := float64(target) * float64(len(members)) / float64(total)
		q := int(exact)
		given += q
		parts = append(parts, part{s, q, exact - float64(q)})
	}
	slices.SortFunc(parts, func(x, y part) int {
		return cmp.Or(cmp.Compare(y.fraction, x.fraction), cmp.Compare(x.stratum, y.stratum))
	})
	out := make(map[int]int, len(parts))
	for i, p := range parts {
		if i < target-given {
			p.quota++
		}
		out[p.stratum] = p.quota
	}
	return out
}

// rarest is the class of boxes with the fewest boxes in the batch, -1 for none.
func rarest(boxes []Box, boxesOf map[int]int) int {
	best := -1
	for _, b := range boxes {
		if best < 0 || boxesOf[b.Class] < boxesOf[best] || boxesOf[b.Class] == boxesOf[best] && b.Class < best {
			best = b.Class
		}
	}
	return best
}

// rank places a photo by its content: uniform, and the same for ever.
func rank(md5 string, seed int64) uint64 {
	p, _ := hex.DecodeString(md5)
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(p, uint64(seed)))
	return binary.BigEndian.Uint64(sum[:8])
}
