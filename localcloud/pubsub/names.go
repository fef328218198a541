package pubsub

import (
	"cmp"
	"encoding/base64"
	"regexp"
	"slices"
	"strings"
)

var (
	projectName = regexp.MustCompile(`^projects/[^/]+$`)
	// resourceName: 3 to 255 of these, a letter first, as Pub/Sub documents.
	resourceName = regexp.MustCompile(`^projects/[^/]+/(topics|subscriptions)/([a-zA-Z][a-zA-Z0-9_.~+%-]{2,254})$`)
)

// checkName takes projects/P/collection/ID.
func checkName(name, collection string) error {
	m := resourceName.FindStringSubmatch(name)
	if m == nil || m[1] != collection {
		return invalid("name %q: expected projects/PROJECT/%s/ID, ID of 3 to 255 of a-z A-Z 0-9 - _ . ~ + %%, a letter first", name, collection)
	}
	if strings.HasPrefix(m[2], "goog") {
		return invalid("name %q: ids may not begin with goog", name)
	}
	return nil
}

// projectOf is the project that a resource's name begins with.
func projectOf(name string) string {
	if parts := strings.SplitN(name, "/", 3); len(parts) > 1 {
		return parts[0] + "/" + parts[1]
	}
	return name
}

const (
	defaultPage = 100
	maxPage     = 1000
)

// page sorts items by name and returns those after token, with the next token.
func page[T any](items []T, name func(T) string, size int32, token string) ([]T, string, error) {
	slices.SortFunc(items, func(a, b T) int { return cmp.Compare(name(a), name(b)) })
	if token != "" {
		after, err := base64.URLEncoding.DecodeString(token)
		if err != nil {
			return nil, "", invalid("page token %q is not one of ours", token)
		}
		i, found := slices.BinarySearchFunc(items, string(after), func(x T, s string) int { return cmp.Compare(name(x), s) })
		if found {
			i++
		}
		items = items[i:]
	}
	if size < 0 {
		return nil, "", invalid("page size %d is negative", size)
	}
	if size == 0 {
		size = defaultPage
	}
	if size = min(size, maxPage); len(items) <= int(size) {
		return items, "", nil
	}
	items = items[:size]
	return items, base64.URLEncoding.EncodeToString([]byte(name(items[size-1]))), nil
}
