package store

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// model is the listing as the documentation words it, page after page in one.
func model(names []string, q Query) (objects, prefixes []string) {
	slices.Sort(names)
	for _, name := range names {
		if !strings.HasPrefix(name, q.Prefix) || name < q.Start || q.End != "" && name >= q.End {
			continue
		}
		rest := name[len(q.Prefix):]
		if i := strings.Index(rest, q.Delimiter); q.Delimiter != "" && i >= 0 {
			common := q.Prefix + rest[:i+len(q.Delimiter)]
			if !slices.Contains(prefixes, common) {
				prefixes = append(prefixes, common)
			}
			if !q.TrailingDelimiter || name != common {
				continue
			}
		}
		objects = append(objects, name)
	}
	return objects, prefixes
}

func TestList_againstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	word := func(most int) string {
		var w strings.Builder
		for range random.IntN(most + 1) {
			w.WriteString([]string{"a", "b", "/", "ü", "\U0010ffff"}[random.IntN(5)])
		}
		return w.String()
	}
	for range 20 {
		s := withBucket(t, t.TempDir())
		var names []string
		for range random.IntN(40) {
			if name := "x" + word(6); !slices.Contains(names, name) {
				names = append(names, name)
				put(t, s, name, "")
			}
		}
		for range 100 {
			q := Query{Prefix: word(3), Delimiter: word(2), Start: word(4), End: word(4), TrailingDelimiter: random.IntN(2) == 0, Limit: 1 + random.IntN(5)}
			if random.IntN(2) == 0 {
				q.Prefix = "x" + q.Prefix
			}
			wantObjects, wantPrefixes := model(names, q)
			var objects, prefixes []string
			asked := q
			for pages := 0; ; pages++ {
				p, err := s.List("b", q)
				if err != nil || pages > 2*len(names) {
					t.Fatalf("%+v: page %d, %v", asked, pages, err)
				}
				for _, o := range p.Objects {
					objects = append(objects, o.Name)
				}
				prefixes = append(prefixes, p.Prefixes...)
				if p.Next == "" {
					break
				}
				q.After = p.Next
			}
			if diff := cmp.Diff([][]string{wantObjects, wantPrefixes}, [][]string{objects, prefixes}); diff != "" {
				t.Fatalf("%+v of %q (-model +store):\n%s", asked, names, diff)
			}
		}
		s.Close()
	}
}
