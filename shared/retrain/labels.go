package retrain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/litterloop/litterloop/shared/dataset"
)

// labels are a version's photos by content, each with its boxes in a form that
// compares: class names, not indices, because a new class shifts those.
type labels map[string]photoLabels

type photoLabels struct {
	count int
	boxes string
}

func labelsOf(classes []string, photos []dataset.Photo) labels {
	l := make(labels, len(photos))
	for _, p := range photos {
		boxes := slices.SortedFunc(slices.Values(p.Boxes), func(a, b dataset.Box) int {
			return cmp.Or(cmp.Compare(a.X, b.X), cmp.Compare(a.Y, b.Y), cmp.Compare(a.W, b.W), cmp.Compare(a.H, b.H), cmp.Compare(a.Class, b.Class))
		})
		var s strings.Builder
		for _, b := range boxes {
			class := fmt.Sprint(b.Class)
			if b.Class >= 0 && b.Class < len(classes) {
				class = classes[b.Class]
			}
			fmt.Fprintf(&s, "%q %g %g %g %g\n", class, b.X, b.Y, b.W, b.H)
		}
		l[p.MD5] = photoLabels{max(len(p.Boxes), 1), s.String()}
	}
	return l
}

// count is the number of boxes; a photo that was looked at and holds nothing
// teaches too, and counts as one.
func (l labels) count() (n int) {
	for _, p := range l {
		n += p.count
	}
	return n
}

// beyond counts the labels of photos that base lacks or labels differently.
func (l labels) beyond(base labels) (n int) {
	for md5, p := range l {
		if old, ok := base[md5]; !ok || old.boxes != p.boxes {
			n += p.count
		}
	}
	return n
}
