package rollout

import (
	"math/rand/v2"
	"testing"

	"github.com/litterloop/litterloop/shared/modelpackage"
)

func box(x, confidence float64) modelpackage.Detection {
	return modelpackage.Detection{Box: [4]float64{x, 0, x + 10, 10}, Confidence: confidence}
}

func TestEquivalent(t *testing.T) {
	type list = []modelpackage.Detection
	other := box(0, 0.9)
	other.ClassID = 2
	for name, test := range map[string]struct {
		want, got list
		same      bool
	}{
		"nothing found":                             {nil, nil, true},
		"in another order":                          {list{box(0, 0.9), box(50, 0.8)}, list{box(50, 0.8), box(0, 0.9)}, true},
		"within the tolerances":                     {list{box(0, 0.9)}, list{box(0.49, 0.9009)}, true},
		"half a pixel and more":                     {list{box(0, 0.9)}, list{box(0.51, 0.9)}, false},
		"another confidence":                        {list{box(0, 0.9)}, list{box(0, 0.9011)}, false},
		"another class":                             {list{box(0, 0.9)}, list{other}, false},
		"one too few":                               {list{box(0, 0.9), box(50, 0.8)}, list{box(0, 0.9)}, false},
		"one too many":                              {list{box(0, 0.9)}, list{box(0, 0.9), box(50, 0.8)}, false},
		"twice the same box":                        {list{box(0, 0.9)}, list{box(0, 0.9), box(0, 0.9)}, false},
		"one missing at the threshold":              {list{box(0, 0.9), box(50, 0.2505)}, list{box(0, 0.9)}, true},
		"one more at the threshold":                 {list{box(0, 0.9)}, list{box(0, 0.9), box(50, 0.2505)}, true},
		"the first choice would leave one without":  {list{box(0.4, 0.9), box(0, 0.9)}, list{box(0.45, 0.9), box(0.8, 0.9)}, true},
		"the first choice would leave one, swapped": {list{box(0, 0.9), box(0.4, 0.9)}, list{box(0.8, 0.9), box(0.45, 0.9)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if err := equivalent(test.want, test.got, 0.25); (err == nil) != test.same {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestEquivalent_anyShuffleWithinTheTolerances(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var want, got []modelpackage.Detection
		for range rnd.IntN(30) {
			// Close enough to each other to be mistaken.
			d := box(rnd.Float64()*5, 0.5+rnd.Float64()/200)
			want = append(want, d)
			for k := range d.Box {
				d.Box[k] += (rnd.Float64() - 0.5) * 0.99
			}
			d.Confidence += (rnd.Float64() - 0.5) * 0.0019
			got = append(got, d)
		}
		rnd.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
		if err := equivalent(want, got, 0.25); err != nil {
			t.Fatal(err)
		}
	}
}
