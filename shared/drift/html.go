package drift

import (
	"bytes"
	_ "embed"
	"html/template"
)

//go:embed report.html.tmpl
var pageText string

var page = template.Must(template.New("report").Parse(pageText))

// HTML is the report as one page that needs nothing else. thumbnail returns a
// sampled photo as a small JPEG, or nil when there is none; it may be nil.
func (r *Report) HTML(thumbnail func(photo string) []byte) ([]byte, error) {
	var b bytes.Buffer
	err := page.Execute(&b, r)
	return b.Bytes(), err
}
