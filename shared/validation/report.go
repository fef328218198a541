package validation

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"slices"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
)

//go:embed report.html
var page string

var reportPage = template.Must(template.New("report").Funcs(template.FuncMap{
	"percent": func(part, whole int) string { return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(max(whole, 1))) },
	"bytes":   byteCount,
	"less":    func(x, y float64) float64 { return x - y },
	"count": func(n int, one, many string) string {
		if n == 1 {
			return "1 " + one
		}
		return fmt.Sprint(n, " ", many)
	},
}).Parse(page))

// report renders report.html: one file, nothing fetched.
func report(ctx context.Context, b blob.Bucket, v dataset.Version, photos []dataset.Photo, batches []dataset.BatchStatus, measured map[string]dataset.Measured, r Result, policy Policy) ([]byte, error) {
	batches = slices.DeleteFunc(slices.Clone(batches), func(b dataset.BatchStatus) bool { return !slices.Contains(v.Batches, b.Batch) })
	sheets, err := contactSheets(ctx, b, v, photos, r, policy)
	if err != nil {
		return nil, err
	}
	var sizes, perPhoto, brightness, sharpness []float64
	for _, p := range photos {
		perPhoto = append(perPhoto, float64(len(p.Boxes)))
		for _, box := range p.Boxes {
			sizes = append(sizes, math.Sqrt(box.W*box.H)*float64(policy.ImageSize)/float64(max(p.Width, p.Height, 1)))
		}
		if m, ok := measured[p.MD5]; ok {
			brightness = append(brightness, float64(m.Brightness))
			sharpness = append(sharpness, float64(m.Sharpness))
		}
	}
	var out bytes.Buffer
	err = reportPage.Execute(&out, map[string]any{
		"Version": v, "Result": r, "Blocking": r.Blocking(), "Classes": classRows(v, photos), "Batches": batches, "Sheets": sheets,
		"Charts": []chart{
			logHistogram("Box size", fmt.Sprintf("square root of area, pixels at %d", policy.ImageSize), sizes),
			histogram("Boxes a photo", "", perPhoto, 16),
			histogram("Brightness", "mean luma", brightness, 16),
			logHistogram("Sharpness", "variance of the Laplacian", sharpness),
		},
	})
	return out.Bytes(), err
}

// classRow is a class in the histogram.
type classRow struct {
	Name       string
	ID         int
	Train, Val int
	Photos     int
	Colour     string
	TrainShare float64 // percent of the commonest class's boxes
	ValShare   float64
}

func classRows(v dataset.Version, photos []dataset.Photo) []classRow {
	rows := make([]classRow, len(v.Classes))
	for i, name := range v.Classes {
		rows[i] = classRow{Name: name, ID: i, Colour: colour(i)}
	}
	for _, p := range photos {
		shown := map[int]bool{}
		for _, b := range p.Boxes {
			if p.Split == dataset.Val {
				rows[b.Class].Val++
			} else {
				rows[b.Class].Train++
			}
			if !shown[b.Class] {
				shown[b.Class] = true
				rows[b.Class].Photos++
			}
		}
	}
	most := 1
	for _, n := range v.PerClass {
		most = max(most, n)
	}
	for i := range rows {
		rows[i].TrainShare = 100 * float64(rows[i].Train) / float64(most)
		rows[i].ValShare = 100 * float64(rows[i].Val) / float64(most)
	}
	slices.SortStableFunc(rows, func(x, y classRow) int { return cmp.Compare(y.Train+y.Val, x.Train+x.Val) })
	return rows
}

// chart is a histogram ready to draw, in a field of chartWidth by chartHeight.
type chart struct {
	Title, Unit string
	Bars        []bar
	Low, High   string // ends of the axis
	Median      string
	Empty       bool
}

type bar struct {
	X, Y, W, H float64
	Label      string
}

const chartWidth, chartHeight = 320.0, 110.0

func histogram(title, unit string, values []float64, bins int) chart {
	if len(values) == 0 {
		return chart{Title: title, Unit: unit, Empty: true}
	}
	low, high := slices.Min(values), slices.Max(values)
	if high <= low {
		high = low + 1
	}
	edges := make([]float64, bins+1)
	for i := range edges {
		edges[i] = low + (high-low)*float64(i)/float64(bins)
	}
	return bars(title, unit, values, edges)
}

// logHistogram has bins that double every second one.
func logHistogram(title, unit string, values []float64) chart {
	if len(values) == 0 {
		return chart{Title: title, Unit: unit, Empty: true}
	}
	low := math.Floor(2*math.Log2(max(slices.Min(values), 1))) / 2
	high := max(math.Ceil(2*math.Log2(max(slices.Max(values), 1)))/2, low+0.5)
	var edges []float64
	for e := low; e <= high+1e-9; e += 0.5 {
		edges = append(edges, math.Exp2(e))
	}
	return bars(title, unit, values, edges)
}

func bars(title, unit string, values, edges []float64) chart {
	counts := make([]int, len(edges)-1)
	for _, v := range values {
		i, exact := slices.BinarySearch(edges, v)
		if !exact {
			i--
		}
		counts[min(max(i, 0), len(counts)-1)]++
	}
	c := chart{Title: title, Unit: unit, Low: number(edges[0]), High: number(edges[len(edges)-1])}
	most := slices.Max(counts)
	w := chartWidth / float64(len(counts))
	for i, n := range counts {
		h := chartHeight * float64(n) / float64(most)
		if n > 0 {
			h = max(h, 1)
		}
		c.Bars = append(c.Bars, bar{X: float64(i)*w + 1, Y: chartHeight - h, W: w - 2, H: h, Label: fmt.Sprintf("%s to %s: %d", number(edges[i]), number(edges[i+1]), n)})
	}
	sorted := slices.Sorted(slices.Values(values))
	c.Median = number(sorted[len(sorted)/2])
	return c
}

func number(v float64) string {
	if v >= 100 || v == math.Trunc(v) {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v)
}

func byteCount(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	v, u := float64(n), 0
	for v >= 1000 && u < len(units)-1 {
		v, u = v/1000, u+1
	}
	return fmt.Sprintf("%.3g %s", v, units[u])
}
