// Package filter is Pub/Sub's subscription filter language:
//
//	attributes:k   attributes.k = "v"   attributes.k != "v"
//	hasPrefix(attributes.k, "p")   NOT f   -f   f AND g   f OR g   (f)
//
// A chain mixes AND with OR only through parentheses, as Pub/Sub demands.
package filter

import "strings"

// MaxBytes is the longest filter that Pub/Sub takes.
const MaxBytes = 256

// Filter decides by a message's attributes. The nil Filter matches everything.
type Filter func(attributes map[string]string) bool

// Match says whether a message with these attributes is wanted.
func (f Filter) Match(attributes map[string]string) bool { return f == nil || f(attributes) }

func has(key string) Filter {
	return func(a map[string]string) bool { _, ok := a[key]; return ok }
}

func equals(key, value string) Filter {
	return func(a map[string]string) bool { v, ok := a[key]; return ok && v == value }
}

// differs also holds for a message without the attribute, as in Pub/Sub.
func differs(key, value string) Filter { return not(equals(key, value)) }

func hasPrefix(key, prefix string) Filter {
	return func(a map[string]string) bool { v, ok := a[key]; return ok && strings.HasPrefix(v, prefix) }
}

func not(f Filter) Filter {
	return func(a map[string]string) bool { return !f(a) }
}

func all(fs []Filter) Filter {
	return func(a map[string]string) bool {
		for _, f := range fs {
			if !f(a) {
				return false
			}
		}
		return true
	}
}

func anyOf(fs []Filter) Filter {
	return func(a map[string]string) bool {
		for _, f := range fs {
			if f(a) {
				return true
			}
		}
		return false
	}
}
