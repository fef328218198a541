package drift

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/predictionlog"
)

// TestCut_keepsDaysWhole: past windows begin and end when the checked one does.
func TestCut_keepsDaysWhole(t *testing.T) {
	const day = 24 * time.Hour
	six := monday.Add(6 * time.Hour) // the check runs at six
	for name, c := range map[string]struct {
		photos []int // of each day, from the first
		size   int
		want   []span
	}{
		"no history":                  {nil, 4, nil},
		"days alike":                  {[]int{5, 5, 5}, 5, []span{{0, 5}, {5, 10}, {10, 15}}},
		"busier days than checked":    {[]int{9, 7, 8}, 5, []span{{0, 9}, {9, 16}, {16, 24}}},
		"quiet days go together":      {[]int{5, 5, 3, 3, 5}, 5, []span{{0, 5}, {5, 10}, {10, 16}, {16, 21}}},
		"days without photos":         {[]int{5, 0, 0, 5}, 5, []span{{0, 5}, {5, 10}}},
		"the first day has too few":   {[]int{2, 5}, 5, []span{{2, 7}}},
		"fewer than a window in all":  {[]int{1, 2}, 5, nil},
		"as many as a window in all":  {[]int{3, 2}, 5, []span{{0, 5}}},
		"the last days have too few":  {[]int{5, 5, 1, 1}, 5, []span{{0, 5}, {5, 12}}},
		"a window of a single photo":  {[]int{1, 1}, 1, []span{{0, 1}, {1, 2}}},
		"more photos than any window": {[]int{4, 4, 4}, 13, nil},
	} {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(3, 3))
			var history []predictionlog.Row
			for d, n := range c.photos {
				history = append(history, Harmless.rows(rng, n, six.Add(time.Duration(d)*day), day)...)
			}
			end := six.Add(time.Duration(len(c.photos)) * day)
			if diff := cmp.Diff(c.want, cut(history, end, day, c.size), cmp.AllowUnexported(span{})); diff != "" {
				t.Errorf("windows (-want +got):\n%s", diff)
			}
		})
	}
}
