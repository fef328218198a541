// Package blobtest is the conformance suite of blob.Bucket: what the domain
// relies on, proved of every adapter.
package blobtest

import (
	"maps"
	"slices"
	"testing"

	"github.com/litterloop/litterloop/shared/blob"
)

// Run proves the port's contract of the buckets that open returns: each call a
// new and empty one. flaws names the tests that a back end is known to fail, as
// "group/test"; each must have a reason where it is given.
func Run(t *testing.T, open func(t *testing.T) blob.Bucket, flaws ...string) {
	groups := map[string]map[string]func(*testing.T, blob.Bucket){
		"read": reads, "write": writes, "condition": conditions, "copy": copies, "list": lists, "name": names,
	}
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		t.Run(group, func(t *testing.T) {
			for _, name := range slices.Sorted(maps.Keys(groups[group])) {
				test := groups[group][name]
				t.Run(name, func(t *testing.T) {
					if slices.Contains(flaws, group+"/"+name) {
						t.Skip("a known flaw of this back end")
					}
					test(t, open(t))
				})
			}
		})
	}
}
