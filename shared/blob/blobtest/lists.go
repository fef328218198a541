package blobtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/blob"
)

var lists = map[string]func(*testing.T, blob.Bucket){
	"nothing": func(t *testing.T, b blob.Bucket) {
		if found := list(t, b, ""); len(found) > 0 {
			t.Errorf("found %q", found)
		}
	},
	"by prefix, in the order of UTF-8 bytes": func(t *testing.T, b blob.Bucket) {
		all := []string{"b", "a/1", "a/10", "a/2", "a", "ab", "A", "a/ü", "a/漢", "a/\U0001f5d1", "a b"}
		for _, name := range all {
			put(t, b, name, "x")
		}
		for _, prefix := range []string{"", "a", "a/", "a/1", "ü", "a/\U0001f5d1", "z"} {
			var want []string
			for _, name := range all {
				if strings.HasPrefix(name, prefix) {
					want = append(want, name)
				}
			}
			slices.Sort(want)
			if diff := cmp.Diff(want, list(t, b, prefix)); diff != "" {
				t.Errorf("prefix %q (-want +got):\n%s", prefix, diff)
			}
		}
	},
	"over several pages, and given up early": func(t *testing.T, b blob.Bucket) {
		const n = 1100 // a page of Cloud Storage holds 1,000
		var want []string
		for i := range n {
			want = append(want, fmt.Sprintf("p/%06d", i))
		}
		var group errgroup.Group
		group.SetLimit(16)
		for _, name := range want {
			group.Go(func() error { return write(t, b, name, "", blob.Any) })
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, list(t, b, "p/")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		seen := 0
		for range b.List(t.Context(), "p/") {
			if seen++; seen == 3 {
				break
			}
		}
	},
}
