package embedded

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/training/embedded/loss"
	"github.com/litterloop/litterloop/shared/training/embedded/session"
)

func TestNewCache_holdsWhatThereIsRoomFor(t *testing.T) {
	// A view of 2^18 values is half a MiB; half of them again for the mosaics' successors.
	recipe := Recipe{Views: 8, CacheMB: 60}
	recipe.Augment.Mosaic = 0.5
	for name, c := range map[string]struct {
		change func(*Recipe)
		values int
		want   int // 0: no cache
	}{
		"all":                       {func(*Recipe) {}, 1 << 18, 8},
		"fewer":                     {func(r *Recipe) { r.CacheMB = 45 }, 1 << 18, 6},
		"too few to be worth it":    {func(r *Recipe) { r.CacheMB = 20 }, 1 << 18, 0},
		"no more than were wanted":  {func(r *Recipe) { r.Views = 2 }, 1 << 18, 2},
		"every input new":           {func(r *Recipe) { r.Views = 0 }, 1 << 18, 0},
		"everything learns":         {func(*Recipe) {}, 0, 0},
		"no mosaics, so more views": {func(r *Recipe) { r.CacheMB = 40; r.Augment.Mosaic = 0 }, 1 << 18, 8},
	} {
		r := recipe
		c.change(&r)
		got := 0
		if cache := newCache(r, c.values, 10); cache != nil {
			got = cache.variants
		}
		if got != c.want {
			t.Errorf("%s: %d variants, want %d", name, got, c.want)
		}
	}
}

func TestCache_showsWhatItWasGiven(t *testing.T) {
	needRuntime(t)
	r := rand.New(rand.NewPCG(1, 2))
	tensor := func() *session.Tensor {
		x, err := session.NewTensor(make([]float32, 1000), 1, 10, 10, 10)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(x.Release)
		return x
	}
	maps, given := []*session.Tensor{tensor(), tensor()}, [][]float32{nil, nil}
	for i, m := range maps {
		for j := range m.Data {
			m.Data[j] = float32(r.NormFloat64() * math.Pow(10, float64(r.IntN(7)-3)))
		}
		m.Data[0] = 0
		given[i] = slices.Clone(m.Data)
	}
	c := &cache{variants: 1, room: 6000, kept: map[view]*memory16{}}
	targets := []loss.Target{{Class: 1, Box: [4]float64{1, 2, 3, 4}}}
	c.add(view{number: 7}, maps, targets)
	c.add(view{number: 8}, maps, targets) // no room
	if c.get(view{number: 8}) != nil || c.get(view{7, true}) != nil {
		t.Error("something is kept that was not given, or had no room")
	}
	k := c.get(view{number: 7})
	if k == nil {
		t.Fatal("nothing is kept")
	}
	if d := cmp.Diff(targets, k.targets); d != "" {
		t.Error(d)
	}
	again := []*session.Tensor{tensor(), tensor()}
	k.show(again)
	for i := range maps {
		if !slices.Equal(maps[i].Data, again[i].Data) {
			t.Error("shown again, a map differs from its first use")
		}
		for j, x := range given[i] {
			if d := math.Abs(float64(again[i].Data[j] - x)); d > math.Abs(float64(x))/256 {
				t.Fatalf("%g is kept as %g", x, again[i].Data[j])
			}
		}
	}
}

// What was computed once and what is computed again after a kill are the same.
func TestFinetune_viewsAreReproducibleAndResume(t *testing.T) {
	needRuntime(t)
	data := Data{Classes: squareClasses, Train: squares(t, 1, 6), Pretrained: startingModel(t)}
	for _, cut := range []string{"neck", "backbone"} {
		t.Run(cut, func(t *testing.T) {
			r := adaptRecipe(14)
			r.Cut, r.Views, r.CacheMB, r.CheckpointEvery = cut, 2, 64, 6
			whole := train(t, data, r, Hooks{})
			var store memory
			ctx, kill := context.WithCancel(t.Context())
			hooks := store.hooks()
			save := hooks.SaveCheckpoint
			hooks.SaveCheckpoint = func(ctx context.Context, c []byte) error { kill(); return save(ctx, c) }
			if _, err := Train(ctx, data, r, hooks); err == nil {
				t.Fatal("the killed training ended well")
			}
			if resumed := train(t, data, r, store.hooks()); !bytes.Equal(whole.Checkpoint, resumed.Checkpoint) {
				t.Error("the resumed training gave other weights")
			}
		})
	}
}

func TestBatches_showKeptViewsAgain(t *testing.T) {
	needRuntime(t)
	r := adaptRecipe(1)
	photos, err := decodeTrain(t.Context(), squares(t, 1, 4), r, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	m := newBatches(photos, r)
	m.cache = &cache{variants: 2, room: 1 << 20, kept: map[view]*memory16{}}
	b, err := m.empty()
	if err != nil {
		t.Fatal(err)
	}
	defer b.release()
	shown := func(step int) (known int) {
		m.fill(b, step, streamTraining, r.Augment.Mosaic)
		for _, p := range b.parts {
			for i, k := range p.known {
				if k != nil {
					known++
					continue
				}
				m.cache.add(p.views[i], nil, p.targets[i])
			}
		}
		return known
	}
	var known []int
	for step := range 4 { // of all four photos
		known = append(known, shown(step+1))
	}
	if d := cmp.Diff([]int{0, 0, 4, 4}, known); d != "" {
		t.Errorf("inputs that were known (-want +got):\n%s", d)
	}
	m.fill(b, 1, streamTraining, 0)
	for _, p := range b.parts {
		for i, k := range p.known {
			if (k == nil) != (m.cache.get(p.views[i]) == nil) || p.views[i].mosaic {
				t.Errorf("view %+v without mosaics", p.views[i])
			}
		}
	}
}
