package storage

import (
	"strconv"
	"strings"
)

// contentRange is a chunk's place: "bytes 0-99/200", "bytes 0-99/*",
// "bytes */200", "bytes */*", or no header at all for a whole upload.
type contentRange struct {
	first, last int64 // last is -1 when unknown
	total       int64 // -1 when unknown
	query       bool  // no content, only a question
	whole       bool  // no header: all of it
}

// ends says whether an upload that now holds so many bytes is complete.
func (c contentRange) ends(have int64) bool {
	return c.whole || c.total >= 0 && have >= c.total
}

func parseContentRange(h string) (contentRange, error) {
	if h == "" {
		return contentRange{last: -1, total: -1, whole: true}, nil
	}
	bad := badRequest("invalid", "Content-Range %q", h)
	span, total, ok := strings.Cut(strings.TrimPrefix(h, "bytes "), "/")
	if !ok {
		return contentRange{}, bad
	}
	c := contentRange{last: -1, total: -1}
	var err error
	if total != "*" {
		if c.total, err = strconv.ParseInt(total, 10, 64); err != nil || c.total < 0 {
			return c, bad
		}
	}
	if span == "*" {
		c.query = true
		return c, nil
	}
	first, last, ok := strings.Cut(span, "-")
	if !ok {
		return c, bad
	}
	if c.first, err = strconv.ParseInt(first, 10, 64); err != nil || c.first < 0 {
		return c, bad
	}
	if last == "*" {
		return c, nil
	}
	if c.last, err = strconv.ParseInt(last, 10, 64); err != nil || c.last < c.first-1 || c.total >= 0 && c.last >= c.total {
		return c, bad
	}
	return c, nil
}
