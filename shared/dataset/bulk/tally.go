package bulk

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
)

// maxExamples of a finding, as in a dataset.Report.
const maxExamples = 10

// tally counts findings with their place in the labels, so that those of shards
// add up to what one pass would have found, examples included.
type tally map[errs.Code]*count

type count struct {
	Count    int
	Examples []example // in place order
}

type example struct {
	Place int64
	Text  string
}

func (t *tally) add(code errs.Code, place int64, format string, args ...any) {
	if *t == nil {
		*t = tally{}
	}
	c := (*t)[code]
	if c == nil {
		c = &count{}
		(*t)[code] = c
	}
	c.Count++
	if len(c.Examples) == maxExamples && c.Examples[maxExamples-1].Place <= place {
		return
	}
	c.insert(example{place, fmt.Sprintf(format, args...)})
}

func (c *count) insert(e example) {
	i, _ := slices.BinarySearchFunc(c.Examples, e, func(x, y example) int { return cmp.Or(cmp.Compare(x.Place, y.Place), -1) })
	c.Examples = slices.Insert(c.Examples, i, e)
	c.Examples = c.Examples[:min(len(c.Examples), maxExamples)]
}

// merge counts what another found too.
func (t *tally) merge(o tally) {
	if *t == nil {
		*t = tally{}
	}
	for code, found := range o {
		c := (*t)[code]
		if c == nil {
			c = &count{}
			(*t)[code] = c
		}
		c.Count += found.Count
		for _, e := range found.Examples {
			c.insert(e)
		}
	}
}

// gather counts findings that were all made at one place.
func (t *tally) gather(found []dataset.Finding, place int64) {
	for _, f := range found {
		for _, text := range f.Examples {
			t.add(f.Code, place, "%s", text)
		}
		if more := f.Count - len(f.Examples); more > 0 {
			(*t)[f.Code].Count += more
		}
	}
}

// findings are the tally as a conversion tells it.
func (t tally) findings() []dataset.Finding {
	var r dataset.Report
	for code, c := range t {
		f := dataset.Explain(code)
		f.Count = c.Count
		for _, e := range c.Examples {
			f.Examples = append(f.Examples, e.Text)
		}
		r.Merge([]dataset.Finding{f})
	}
	return r.Findings()
}
