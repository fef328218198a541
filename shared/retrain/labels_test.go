package retrain

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/litterloop/litterloop/shared/dataset"
)

func contains(s, sub string) bool { return strings.Contains(s, sub) }

func photo(md5 string, boxes ...dataset.Box) dataset.Photo {
	return dataset.Photo{MD5: md5, Split: dataset.Train, Boxes: boxes}
}

func TestLabels_beyond(t *testing.T) {
	classes := []string{"bottle", "can"}
	box, other := dataset.Box{Class: 0, X: 1, Y: 2, W: 3, H: 4}, dataset.Box{Class: 1, X: 5, Y: 6, W: 7, H: 8}
	base := []dataset.Photo{photo("a", box, other), photo("b", box), photo("c")}
	for _, c := range []struct {
		name    string
		classes []string
		photos  []dataset.Photo
		want    int
	}{
		{"the same", classes, base, 0},
		{"boxes in another order", classes, []dataset.Photo{photo("a", other, box)}, 0},
		{"a photo less", classes, base[:1], 0},
		{"a photo more", classes, append(base, photo("d", box, box, other)), 3},
		{"an empty photo more", classes, append(base, photo("d")), 1},
		{"a box moved", classes, []dataset.Photo{photo("b", other)}, 1},
		{"a box more", classes, []dataset.Photo{photo("b", box, other)}, 2},
		{"all boxes taken away", classes, []dataset.Photo{photo("a")}, 1},
		{"the class list shifted", []string{"bag", "bottle", "can"}, []dataset.Photo{photo("b", dataset.Box{Class: 1, X: 1, Y: 2, W: 3, H: 4})}, 0},
		{"a class renamed", []string{"glass bottle", "can"}, []dataset.Photo{photo("b", box)}, 1},
		{"a class out of range", classes, []dataset.Photo{photo("e", dataset.Box{Class: 9})}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := labelsOf(c.classes, c.photos).beyond(labelsOf(classes, base)); got != c.want {
				t.Errorf("%d new labels, want %d", got, c.want)
			}
		})
	}
}

func TestLabels_orderOfPhotosIsIrrelevant(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var photos []dataset.Photo
	for i := range 50 {
		p := photo(strings.Repeat("x", i))
		for range rng.IntN(4) {
			p.Boxes = append(p.Boxes, dataset.Box{X: rng.Float64(), Y: rng.Float64(), W: 1, H: 1})
		}
		photos = append(photos, p)
	}
	a := labelsOf(nil, photos)
	rng.Shuffle(len(photos), func(i, j int) { photos[i], photos[j] = photos[j], photos[i] })
	b := labelsOf(nil, photos)
	if a.beyond(b) != 0 || b.beyond(a) != 0 || a.count() != b.count() {
		t.Error("the same photos in another order count as new")
	}
}
