package taco

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/coco"
)

// writeLabels writes the batch's labels: annotations as they are, or, when
// photos are missing, what a conversion needs of the others, because a batch
// waits for every photo that its labels name.
func writeLabels(root *os.Root, open func() (io.ReadCloser, error), missing []Missing) (err error) {
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	const partial = stateDir + "/" + dataset.LabelsFile
	out, err := root.Create(partial)
	if err != nil {
		return err
	}
	if len(missing) == 0 {
		_, err = io.Copy(out, r)
	} else {
		err = without(out, r, missing)
	}
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	return root.Rename(partial, dataset.LabelsFile)
}

// without writes labels of the photos that are not missing.
func without(out io.Writer, r io.Reader, missing []Missing) error {
	f, err := coco.Read(r, coco.Limits{})
	if err != nil {
		return err
	}
	gone := map[string]bool{}
	for _, m := range missing {
		gone[m.Name] = true
	}
	away := map[coco.ID]bool{}
	w := &list{w: bufio.NewWriter(out)}
	w.begin(`{"images":[`)
	for _, im := range f.Images {
		if name, ok := dataset.CleanName(im.FileName); gone[name] || !ok && gone[im.FileName] {
			away[im.ID] = true
			continue
		}
		w.item(`{%s"file_name":%s,"width":%d,"height":%d}`, id("id", im.ID), text(im.FileName), im.Width, im.Height)
	}
	w.begin(`],"annotations":[`)
	for _, a := range f.Annotations {
		if away[a.Image] {
			continue
		}
		box := ""
		if a.HasBox {
			box = fmt.Sprintf(`"bbox":[%s,%s,%s,%s],`, number(a.Box[0]), number(a.Box[1]), number(a.Box[2]), number(a.Box[3]))
		}
		crowd := 0
		if a.Crowd {
			crowd = 1
		}
		w.item(`{%s%s%s%s"iscrowd":%d}`, id("id", a.ID), id("image_id", a.Image), id("category_id", a.Category), box, crowd)
	}
	w.begin(`],"categories":[`)
	for _, c := range f.Categories {
		w.item(`{%s"name":%s}`, id("id", c.ID), text(c.Name))
	}
	w.begin("]}\n")
	return w.w.Flush()
}

// list writes items with commas between them; its writer keeps the first error.
type list struct {
	w     *bufio.Writer
	later bool
}

func (l *list) begin(s string) {
	l.later = false
	l.w.WriteString(s)
}

func (l *list) item(format string, args ...any) {
	if l.later {
		l.w.WriteString(",\n")
	}
	l.later = true
	fmt.Fprintf(l.w, format, args...)
}

// id is a member with its comma, nothing for an id that there is not.
func id(key string, v coco.ID) string {
	if v == coco.NoID {
		return ""
	}
	return fmt.Sprintf("%q:%d,", key, int64(v))
}

func text(s string) string {
	p, _ := json.Marshal(s) // strings always marshal
	return string(p)
}

// number writes NaN and Infinity as TACO's own annotations do, so that they are
// found and counted where they are converted.
func number(v float64) string {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
