package pages

import (
	"fmt"
	"html/template"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// functions are what the templates call.
func (p *Pages) functions() template.FuncMap {
	return template.FuncMap{
		"millis": func(ms int64) time.Time {
			if ms == 0 {
				return time.Time{}
			}
			return time.UnixMilli(ms).UTC()
		},
		"age":    age,
		"ago":    func(t time.Time) string { return ago(p.o.Now(), t) },
		"time":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" },
		"took":   took,
		"figure": figure,
		"short":  func(id string) string { return id[:min(len(id), 12)] },
		"escape": url.PathEscape,
		"path": func(name string) string { // each part escaped, the slashes kept
			parts := strings.Split(name, "/")
			for i, part := range parts {
				parts[i] = url.PathEscape(part)
			}
			return strings.Join(parts, "/")
		},
		"lower":   strings.ToLower,
		"bytes":   size,
		"percent": func(share float64) string { return strconv.FormatFloat(100*share, 'f', 0, 64) + " %" },
	}
}

// ago is how long before now t was, roughly.
func ago(now, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := now.Sub(t)
	switch {
	case d < 0:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}

// took is the time between two instants of a run, in milliseconds.
func took(start, end int64) string {
	if start == 0 || end < start {
		return ""
	}
	return (time.Duration(end-start) * time.Millisecond).Round(100 * time.Millisecond).String()
}

// figure is a metric for people: five digits that mean something.
func figure(v float64) string {
	if math.IsNaN(v) {
		return "NaN"
	}
	return strconv.FormatFloat(v, 'g', 5, 64)
}

func size(n int64) string {
	v, units := float64(n), []string{"B", "kB", "MB", "GB", "TB"}
	for v >= 1000 && len(units) > 1 {
		v, units = v/1000, units[1:]
	}
	return strconv.FormatFloat(v, 'g', 3, 64) + " " + units[0]
}
