package dataset

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// candidates of distinct looks, one box each of class i%classes.
func candidates(n, classes, seed int) []candidate {
	rng := rand.New(rand.NewPCG(uint64(seed), 9))
	out := make([]candidate, n)
	for i := range out {
		out[i] = candidate{md5: MD5Hex(fmt.Append(nil, seed, i)), seen: Measured{Hash: rng.Uint64()}, boxes: []Box{{Class: i % classes}}}
	}
	return out
}

func held(of map[string]Split) (n int) {
	for _, s := range of {
		if s == Val {
			n++
		}
	}
	return n
}

func TestSplits_exactShare(t *testing.T) {
	for _, tt := range []struct {
		n, classes int
		share      float64
		want       int
	}{{200, 1, 0.2, 40}, {200, 7, 0.2, 40}, {101, 60, 0.2, 20}, {5, 5, 0.2, 1}, {2, 1, 0.2, 0}, {10, 3, 0, 0}, {10, 3, 0.5, 5}} {
		of := splits(candidates(tt.n, tt.classes, 1), nil, nil, tt.share, 0)
		if len(of) != tt.n || held(of) != tt.want {
			t.Errorf("of %d photos %d are held out, want %d", tt.n, held(of), tt.want)
		}
	}
}

func TestSplits_orderDoesNotMatter(t *testing.T) {
	photos := candidates(150, 6, 1)
	photos[7].seen.Hash = photos[90].seen.Hash // a scene
	want := splits(photos, nil, nil, 0.2, 3)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		rng.Shuffle(len(photos), func(i, j int) { photos[i], photos[j] = photos[j], photos[i] })
		if d := cmp.Diff(want, splits(photos, nil, nil, 0.2, 3)); d != "" {
			t.Fatal(d)
		}
	}
}

func TestSplits_stayAsDataGrows(t *testing.T) {
	first := candidates(100, 4, 1)
	of := splits(first, nil, nil, 0.2, 0)
	measured := map[string]Measured{}
	var before []Photo
	for _, p := range first {
		before = append(before, Photo{MD5: p.md5, Split: of[p.md5]})
		measured[p.md5] = Measured{MD5: p.md5, Hash: p.seen.Hash}
	}
	grown := splits(append(first, candidates(100, 4, 2)...), before, measured, 0.2, 77)
	for md5, s := range of {
		if grown[md5] != s {
			t.Fatalf("a photo moved from %s to %s", s, grown[md5])
		}
	}
	if held(grown) != 40 {
		t.Errorf("%d of 200 are held out", held(grown))
	}
}

func TestSplits_everyClassIsHeldOutInProportion(t *testing.T) {
	photos := candidates(400, 4, 1)
	of := splits(photos, nil, nil, 0.2, 0)
	byClass := map[int]int{}
	for _, p := range photos {
		if of[p.md5] == Val {
			byClass[p.boxes[0].Class]++
		}
	}
	if d := cmp.Diff(map[int]int{0: 20, 1: 20, 2: 20, 3: 20}, byClass); d != "" {
		t.Error(d)
	}
}

func TestSplits_scenesStayTogether(t *testing.T) {
	photos := candidates(100, 3, 1)
	for i := range photos { // bursts of four, the last two bits apart from the first
		photos[i].seen.Hash = photos[i-i%4].seen.Hash ^ []uint64{0, 1, 1 << 40, 1 | 1<<40}[i%4]
	}
	known := Photo{MD5: "known", Split: Val}
	measured := map[string]Measured{"known": {Hash: photos[50].seen.Hash}}
	of := splits(photos, []Photo{known}, measured, 0.2, 0)
	for i, p := range photos {
		if of[p.md5] != of[photos[i-i%4].md5] {
			t.Errorf("photo %d left its scene", i)
		}
	}
	if of[photos[50].md5] != Val {
		t.Error("a photo like one that is held out is trained on")
	}
	if n := held(of); n != 20 {
		t.Errorf("%d held out", n)
	}
}

func TestSplits_burstsStayTogether(t *testing.T) {
	photos := candidates(120, 3, 1)
	for i := range photos { // bursts of three, two seconds apart, of two cameras at a time
		photos[i].seen.Taken = int64(1_700_000_000 + i/6*60 + i%3*2)
		photos[i].seen.Camera = uint32(i / 3 % 2)
	}
	of := splits(photos, nil, nil, 0.25, 0)
	for i, p := range photos {
		if of[p.md5] != of[photos[i-i%3].md5] {
			t.Errorf("photo %d left its burst", i)
		}
	}
	if n := held(of); n != 30 {
		t.Errorf("%d held out", n)
	}
}

// A camera that takes a photo each second all day long shows no single scene.
func TestSplits_longSeriesIsNoBurst(t *testing.T) {
	photos := candidates(100, 3, 1)
	for i := range photos {
		photos[i].seen.Taken, photos[i].seen.Camera = int64(1_700_000_000+i), 7
	}
	if n := held(splits(photos, nil, nil, 0.2, 0)); n != 20 {
		t.Errorf("%d held out", n)
	}
}

// Whatever photos come, in whatever batches: every photo has a split; none moves;
// the order in a batch does not matter; new photos that look alike, or were taken
// together, go together, and to where an old one is that they look like.
func TestSplits_properties(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 5))
		var before []Photo
		measured := map[string]Measured{}
		sceneOf := map[string]int{}
		where := map[int]Split{} // of each scene so far
		for batch := range 3 {
			photos := candidates(20+rng.IntN(60), 1+rng.IntN(6), int(seed)*10+batch)
			scenes := 1 + rng.IntN(len(photos))
			for i := range photos {
				scene := rng.IntN(scenes) + 1000*rng.IntN(2)*batch // some of batches before
				look := rand.New(rand.NewPCG(seed, uint64(scene)))
				photos[i].seen = Measured{MD5: photos[i].md5, Hash: look.Uint64() ^ 1<<rng.IntN(2)}
				if rng.IntN(2) == 0 {
					photos[i].seen.Taken, photos[i].seen.Camera = 1_700_000_000+int64(scene)*100, 3
				}
				sceneOf[photos[i].md5] = scene
			}
			share := float64(rng.IntN(5)) / 10
			of := splits(photos, before, measured, share, int64(seed))
			again := append([]candidate(nil), photos...)
			rng.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
			if d := cmp.Diff(of, splits(again, before, measured, share, int64(seed))); d != "" {
				t.Fatalf("seed %d: the order matters: %s", seed, d)
			}
			for _, p := range photos {
				s := of[p.md5]
				if s != Train && s != Val {
					t.Fatalf("seed %d: a photo has split %q", seed, s)
				}
				scene := sceneOf[p.md5]
				if was, ok := where[scene]; ok && was != s {
					t.Fatalf("seed %d, batch %d: scene %d is in both splits", seed, batch, scene)
				}
				where[scene] = s
				before = append(before, Photo{MD5: p.md5, Split: s})
				measured[p.md5] = p.seen
			}
			grown := splits(photos, before, measured, 0.5, int64(seed)+1)
			if d := cmp.Diff(of, grown); d != "" {
				t.Fatalf("seed %d: photos moved: %s", seed, d)
			}
		}
	}
}
