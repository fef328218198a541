package registry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/tracking/fault"
)

// mortal is a bucket as a process sees it that may die before or after any of
// its writes.
type mortal struct {
	blob.Bucket
	random *rand.Rand
	dead   bool
}

var errDead = errors.New("the process has died")

func (m *mortal) Write(ctx context.Context, name string, r io.Reader, o blob.WriteOptions) (blob.Attrs, error) {
	if m.dead {
		return blob.Attrs{}, errDead
	}
	m.dead = m.random.IntN(40) == 0
	if m.dead && m.random.IntN(2) == 0 {
		return blob.Attrs{}, errDead
	}
	a, err := m.Bucket.Write(ctx, name, r, o)
	if m.dead {
		return blob.Attrs{}, errDead
	}
	return a, err
}

// Random operations from four processes that die: no number is given twice, no
// model is under two names or under none, aliases name versions that are there,
// and the history tells each of their moves.
func TestRegistry_serversThatDie(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			b := blobmem.New("models")
			if _, err := registry.New(b, time.Now).CreateModel(t.Context(), "m0", "", map[string]string{"who": "the first"}); err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			given := map[string]int{} // a version's own tag -> its number
			var wg sync.WaitGroup
			for w := range 4 {
				wg.Go(func() {
					random := rand.New(rand.NewPCG(seed, uint64(w)))
					m := &mortal{Bucket: b, random: random}
					r := registry.New(m, time.Now)
					for i := range 120 {
						if m.dead {
							m = &mortal{Bucket: b, random: random}
							r = registry.New(m, time.Now)
						}
						name := func() string { return fmt.Sprint("m", random.IntN(3)) }
						id := fmt.Sprintf("%d.%d", w, i)
						n := 1 + random.IntN(20)
						var err error
						switch random.IntN(12) {
						case 0, 1, 2:
							var v registry.Version
							v, err = r.Add(t.Context(), name(), func(context.Context) (registry.Version, error) {
								return registry.Version{Source: "gs://b/" + id, Tags: map[string]string{"id": id}}, nil
							})
							if err == nil {
								mu.Lock()
								given[id] = v.Version
								mu.Unlock()
							}
						case 3:
							_, _, err = r.RenameModel(t.Context(), name(), name())
						case 4, 5:
							err = r.SetAlias(t.Context(), name(), "staging", n, id, "random")
						case 6:
							err = r.DeleteVersion(t.Context(), name(), n, id)
						case 7:
							err = r.SetVersionTag(t.Context(), name(), n, "t", id)
						case 8:
							_, err = r.RestoreVersion(t.Context(), name(), n)
						case 9:
							if random.IntN(4) == 0 {
								err = r.DeleteModel(t.Context(), name(), id)
							}
						case 10, 11:
							_, err = r.RestoreModel(t.Context(), name(), id)
						}
						code, _ := errs.Reason(err)
						if err != nil && !errors.Is(err, errDead) && !errors.Is(err, errs.NotFound) && code != fault.CodeExists {
							t.Errorf("process %d, operation %d: %v", w, i, err)
						}
					}
				})
			}
			wg.Wait()
			r := registry.New(b, time.Now)
			for i := range 3 { // one of them brings the model back, if it was deleted at the end
				if _, err := r.RestoreModel(t.Context(), fmt.Sprint("m", i), "test"); err != nil && !errors.Is(err, errs.NotFound) {
					t.Error(err)
				}
			}
			models, _, err := r.SearchModels(t.Context(), "", nil, tracking.Page{Max: 100})
			if err != nil || len(models) != 1 || models[0].Tags["who"] != "the first" {
				t.Fatalf("the one model is now %+v, %v", models, err)
			}
			name := models[0].Name
			m, versions, err := r.Versions(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			numbers := map[int]bool{}
			for id, n := range given {
				if numbers[n] {
					t.Errorf("number %d was given twice", n)
				}
				numbers[n] = true
				i := slices.IndexFunc(versions, func(v registry.Version) bool { return v.Version == n })
				if i >= 0 && versions[i].Tags["id"] != id {
					t.Errorf("version %d is %s, not %s", n, versions[i].Tags["id"], id)
				}
			}
			for alias, n := range m.Aliases {
				if _, err := r.Get(t.Context(), name, n); err != nil {
					t.Errorf("alias %s names version %d: %v", alias, n, err)
				}
			}
			history, err := r.History(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			at := 0
			for i, move := range history {
				if move.Sequence != i+1 || move.From != at || move.Who == "" || move.Why == "" {
					t.Fatalf("move %d is %+v after version %d", i+1, move, at)
				}
				at = move.To
			}
			if m.Aliases["staging"] != at {
				t.Errorf("staging names %d, its last move went to %d", m.Aliases["staging"], at)
			}
		})
	}
}
