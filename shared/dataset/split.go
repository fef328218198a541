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

// nearBits of 64: photos whose perceptual hashes differ in no more are taken
// for the same scene, and stay in one split.
const nearBits = 2

// Photos that one camera took within burstSeconds of each other are a burst, and
// show one scene though the camera moved. A longer series than maxBurst is none:
// a day of a standing camera would otherwise be one scene.
const (
	burstSeconds = 2
	maxBurst     = 30
)

// candidate is a photo that needs a split.
type candidate struct {
	md5   string
	seen  Measured
	boxes []Box
}

// scene is candidates that look alike: they go to one split together.
type scene struct {
	photos  []candidate
	stratum int
	rank    uint64
}

// splits assigns photos of one batch to splits. before are photos that the
// version before has: they stay where they are, and what looks like one of them
// goes with it. Of the rest as many are held out as bring the batch closest to
// the share; which ones depends on their content alone. They are taken stratum
// by stratum, a stratum being the rarest class that a scene shows, so that rare
// classes are held out too.
func splits(photos []candidate, before []Photo, measured map[string]Measured, share float64, seed int64) map[string]Split {
	out := make(map[string]Split, len(photos))
	scenes := group(photos, before, measured, out)
	held := 0
	boxesOf := map[int]int{}
	for _, p := range photos {
		if out[p.md5] == Val {
			held++
		}
		for _, b := range p.boxes {
			boxesOf[b.Class]++
		}
	}
	strata := map[int]int{} // photos in each
	total := 0
	for i, s := range scenes {
		var boxes []Box
		for _, p := range s.photos {
			boxes = append(boxes, p.boxes...)
		}
		scenes[i].stratum, scenes[i].rank = rarest(boxes, boxesOf), rank(s.photos[0].md5, seed)
		strata[scenes[i].stratum] += len(s.photos)
		total += len(s.photos)
	}
	slices.SortFunc(scenes, func(x, y scene) int {
		return cmp.Or(cmp.Compare(x.rank, y.rank), strings.Compare(x.photos[0].md5, y.photos[0].md5))
	})
	left := min(max(int(math.Round(share*float64(len(photos))))-held, 0), total)
	quota := quotas(strata, total, left)
	hold := func(s scene, room int) bool {
		if n := len(s.photos); out[s.photos[0].md5] == "" && n <= room && n <= left {
			for _, p := range s.photos {
				out[p.md5] = Val
			}
			left -= n
			return true
		}
		return false
	}
	for _, s := range scenes {
		if hold(s, quota[s.stratum]) {
			quota[s.stratum] -= len(s.photos)
		}
	}
	for _, s := range scenes { // where large scenes did not fit their stratum
		hold(s, left)
	}
	for _, p := range photos {
		out[p.md5] = cmp.Or(out[p.md5], Train)
	}
	return out
}

// group puts candidates that look alike together. Those that the version before
// has, or that look like one it has, get their split in out and are in no scene.
func group(photos []candidate, before []Photo, measured map[string]Measured, out map[string]Split) []scene {
	all := make([]Measured, 0, len(before)+len(photos))
	known := make(map[string]Split, len(before))
	for _, p := range before {
		known[p.MD5] = p.Split
		all = append(all, measured[p.MD5])
	}
	parent := make([]int, len(photos)) // union-find
	for i, p := range photos {
		all = append(all, p.seen)
		parent[i] = i
		if s, ok := known[p.md5]; ok {
			out[p.md5] = s
		}
	}
	root := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	hashes := make([]uint64, len(all))
	for i, m := range all {
		hashes[i] = m.Hash
	}
	alike := func(i, j int) { // i > j
		if i < len(before) {
			return
		}
		p := photos[i-len(before)]
		if j >= len(before) {
			a, b := root(i-len(before)), root(j-len(before))
			parent[max(a, b)] = min(a, b)
		} else if _, stays := known[p.md5]; !stays && (out[p.md5] == "" || before[j].Split == Val) {
			out[p.md5] = before[j].Split // like one of each, it is not trained on
		}
	}
	Near(hashes, nearBits, alike)
	bursts(all, alike)
	of := map[int]int{} // root to scene
	var scenes []scene
	settled := map[int]Split{}
	for i, p := range photos {
		if s := out[p.md5]; s != "" && settled[root(i)] != Val {
			settled[root(i)] = s
		}
	}
	for i, p := range photos {
		r := root(i)
		if s, ok := settled[r]; ok {
			out[p.md5] = cmp.Or(out[p.md5], s)
			continue
		}
		if _, ok := of[r]; !ok {
			of[r] = len(scenes)
			scenes = append(scenes, scene{})
		}
		scenes[of[r]].photos = append(scenes[of[r]].photos, p)
	}
	for _, s := range scenes {
		slices.SortFunc(s.photos, func(x, y candidate) int { return strings.Compare(x.md5, y.md5) })
	}
	return scenes
}

// bursts calls visit with pairs i > j of photos of one burst, enough of them to
// tie the burst together.
func bursts(all []Measured, visit func(i, j int)) {
	var timed []int
	for i, m := range all {
		if m.Taken != 0 {
			timed = append(timed, i)
		}
	}
	slices.SortFunc(timed, func(x, y int) int {
		return cmp.Or(cmp.Compare(all[x].Camera, all[y].Camera), cmp.Compare(all[x].Taken, all[y].Taken), strings.Compare(all[x].MD5, all[y].MD5), cmp.Compare(x, y))
	})
	follows := func(k int) bool {
		a, b := all[timed[k-1]], all[timed[k]]
		return a.Camera == b.Camera && b.Taken-a.Taken <= burstSeconds
	}
	for start := 0; start < len(timed); {
		end := start + 1
		for end < len(timed) && follows(end) {
			end++
		}
		if end-start <= maxBurst {
			for k := start + 1; k < end; k++ {
				visit(max(timed[k-1], timed[k]), min(timed[k-1], timed[k]))
			}
		}
		start = end
	}
}

// quotas shares target among strata of the given sizes in proportion, the
// remainder to the largest fractions.
func quotas(strata map[int]int, total, target int) map[int]int {
	type part struct {
		stratum, quota int
		fraction       float64
	}
	var parts []part
	given := 0
	for s, n := range strata {
		exact := float64(target) * float64(n) / float64(total)
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
