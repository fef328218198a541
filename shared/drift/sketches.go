package drift

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/predictionlog"
)

// Version names a model version, as rows of the log do.
type Version struct{ Model, Version string }

// Sketches are sketches by model version. They are predictionlog's Sketch. The
// zero value is empty.
type Sketches map[Version]*Sketch

var _ predictionlog.Sketch = Sketches{}

// NewSketches returns an empty set, for predictionlog.Options.
func NewSketches() predictionlog.Sketch { return Sketches{} }

// Add counts a photo.
func (s Sketches) Add(r predictionlog.Row) {
	v := Version{r.Model, r.ModelVersion}
	if s[v] == nil {
		s[v] = newSketch()
	}
	s[v].Add(r)
}

// merge adds other sketches.
func (s Sketches) merge(o Sketches) {
	for v, sketch := range o {
		if s[v] == nil {
			s[v] = newSketch()
		}
		s[v].merge(sketch, 1)
	}
}

// format is the first byte of the encoding. It changes with the grids.
const format = 1

// maxSketches bounds what a damaged encoding may unfold to.
const maxSketches = 1 << 20

// MarshalBinary encodes the sketches: some 3 to 5 KB a version, however many
// photos. Equal sketches have equal encodings.
func (s Sketches) MarshalBinary() ([]byte, error) {
	var p []byte
	text := func(t string) { p = append(binary.AppendUvarint(p, uint64(len(t))), t...) }
	number := func(n int64) { p = binary.AppendUvarint(p, uint64(n)) }
	number(int64(len(s)))
	for _, v := range slices.SortedFunc(maps.Keys(s), func(a, b Version) int { return compare(a, b) }) {
		k := s[v]
		text(v.Model)
		text(v.Version)
		text(k.Dataset)
		number(k.Newest)
		number(k.Photos)
		number(int64(len(k.counts)))
		for i, counts := range k.counts {
			text(definitions[i].name)
			number(int64(len(counts) - count(counts, 0)))
			last := -1
			for j, n := range counts {
				if n != 0 {
					number(int64(j - last - 1))
					number(n)
					last = j
				}
			}
		}
		number(int64(len(k.classes)))
		for _, class := range slices.Sorted(maps.Keys(k.classes)) {
			text(class)
			number(k.classes[class])
		}
	}
	var out bytes.Buffer
	out.WriteByte(format)
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(p); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func compare(a, b Version) int {
	return bytes.Compare([]byte(a.Model+"\x00"+a.Version), []byte(b.Model+"\x00"+b.Version))
}

func count(counts []int64, of int64) (n int) {
	for _, c := range counts {
		if c == of {
			n++
		}
	}
	return n
}

// decodeSketches reads what MarshalBinary wrote. Anything else is a permanent
// error with the reason predictionlog.Damaged.
func decodeSketches(p []byte) (Sketches, error) {
	if len(p) == 0 || p[0] != format {
		return nil, errs.Permanentf(predictionlog.Damaged, "a sketch of another format")
	}
	d := decoder{r: bufio.NewReader(io.LimitReader(flate.NewReader(bytes.NewReader(p[1:])), maxSketches))}
	s := Sketches{}
	for range d.number(200) {
		v := Version{d.text(), d.text()}
		k := newSketch()
		k.Dataset = d.text()
		k.Newest, k.Photos = int64(d.number(1<<62)), int64(d.number(1<<62))
		for range d.number(100) {
			d.feature(k)
		}
		for range d.number(100_000) {
			class := d.text()
			k.classes[class] = int64(d.number(1 << 62))
			if d.err != nil {
				break
			}
		}
		if d.err != nil {
			break
		}
		s[v] = k
	}
	if d.err != nil {
		return nil, errs.Permanentf(predictionlog.Damaged, "a sketch: %w", d.err)
	}
	return s, nil
}

// decoder keeps the first error; after it everything is zero.
type decoder struct {
	r   io.ByteReader
	err error
}

func (d *decoder) number(limit uint64) uint64 {
	if d.err != nil {
		return 0
	}
	n, err := binary.ReadUvarint(d.r)
	if err != nil {
		d.err = err
	} else if n > limit {
		d.err = fmt.Errorf("the number %d is beyond %d", n, limit)
	}
	if d.err != nil {
		return 0
	}
	return n
}

func (d *decoder) text() string {
	p := make([]byte, 0, 16)
	for range d.number(4096) {
		c, err := d.r.ReadByte()
		if err != nil {
			d.err = err
			return ""
		}
		p = append(p, c)
	}
	return string(p)
}

// feature reads the counts of one feature; one that is not known is left out.
func (d *decoder) feature(k *Sketch) {
	name := d.text()
	i := slices.IndexFunc(definitions, func(o definition) bool { return o.name == name })
	at := -1
	for range d.number(100_000) {
		at += int(d.number(100_000)) + 1
		n := int64(d.number(1 << 62))
		if d.err != nil {
			return
		}
		if i < 0 {
			continue
		}
		if at >= len(k.counts[i]) {
			d.err = fmt.Errorf("%s: there is no point %d", name, at)
			return
		}
		k.counts[i][at] = n
	}
}
