package drift

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"
)

//go:embed report.html.tmpl
var pageText string

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"number":  number,
	"percent": func(x float64) string { return fmt.Sprintf("%.0f %%", 100*x) },
	"time":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") },
	"title":   titleOf,
	"unit":    unitOf,
	"chart":   Feature.chart,
	"gauge":   Verdict.gauge,
	"join":    strings.Join,
	"score":   scoreText,
	"pvalue":  pValue,
}).Parse(pageText))

// pagePhoto is a photo with its picture.
type pagePhoto struct {
	Photo
	Picture template.URL // data: URL; empty where there is none
}

// HTML is the report as one page that needs nothing else: no script, no font,
// no address. thumbnail returns a sampled photo as a small JPEG, or nil when
// there is none; it may be nil itself.
func (r *Report) HTML(thumbnail func(photo string) []byte) ([]byte, error) {
	view := struct {
		*Report
		Sorted []Feature
		Photos []pagePhoto
		Mood   string
		Head   string
	}{Report: r}
	view.Sorted = slices.SortedStableFunc(slices.Values(r.Features), func(a, b Feature) int { return cmp.Compare(b.Excess, a.Excess) })
	for _, p := range r.Differ {
		shown := pagePhoto{Photo: p}
		if thumbnail != nil && p.Photo != "" {
			if small := thumbnail(p.Photo); small != nil {
				shown.Picture = template.URL("data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(small))
			}
		}
		view.Photos = append(view.Photos, shown)
	}
	switch r.Verdict.Outcome {
	case Drifted:
		view.Mood, view.Head = "bad", "Drift"
	case Stable:
		view.Mood, view.Head = "good", "No drift"
	default:
		view.Mood, view.Head = "unknown", "Not enough photos to tell"
	}
	var b bytes.Buffer
	if err := page.Execute(&b, view); err != nil {
		return nil, fmt.Errorf("render drift report %s: %w", r.ID, err)
	}
	return b.Bytes(), nil
}

func find(name string) (definition, bool) {
	i := slices.IndexFunc(definitions, func(d definition) bool { return d.name == name })
	if i < 0 {
		return definition{}, false
	}
	return definitions[i], true
}

func titleOf(name string) string {
	if d, ok := find(name); ok {
		return d.title
	}
	if name == Classes {
		return "Class mix of the boxes"
	}
	return name
}

func unitOf(name string) string {
	d, _ := find(name)
	return d.unit
}

func scoreText(c Column) string {
	if c.Score == nil {
		return "–"
	}
	return fmt.Sprintf("%.4g", *c.Score)
}

// pValue puts a chance into words that do not pretend to know the far tail.
func pValue(p float64) string {
	switch {
	case p < 1e-6:
		return "less than one in a million"
	case p < 0.01:
		return fmt.Sprintf("one in %.0f", 1/p)
	}
	return fmt.Sprintf("%.0f %%", 100*p)
}
