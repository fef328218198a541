package blobtest

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob"
)

var names = map[string]func(*testing.T, blob.Bucket){
	"a file and a folder of one name coexist": func(t *testing.T, b blob.Bucket) {
		keepApart(t, b, "a", "a/b", "a/", "a/b/c")
	},
	"slashes are letters like any other": func(t *testing.T, b blob.Bucket) {
		keepApart(t, b, "d/e", "d//e", "/d/e", "d/e/", "//")
	},
	"dots lead nowhere": func(t *testing.T, b blob.Bucket) {
		keepApart(t, b, "../../etc/passwd", "x/../../y", "./z", "y", "z", "...", "%2e%2e/%2e%2e/w")
	},
	"odd characters": func(t *testing.T, b blob.Bucket) {
		keepApart(t, b, "ü + %2F ?#&=;,@:.txt", "e\u0301", "\u00e9", "漢字/\U0001f5d1", "a\tb", `back\slash`, `"quoted"`, "C:\\con", "%", "%zz", "a+b", "a b")
	},
	"1,024 bytes": func(t *testing.T, b blob.Bucket) {
		keepApart(t, b, strings.Repeat("k", 1024), strings.Repeat("k", 1023), strings.Repeat("漢", 341))
	},
	"a component of 300 bytes": func(t *testing.T, b blob.Bucket) {
		keepApart(t, b, "d/"+strings.Repeat("k", 300)+"/f", "d/"+strings.Repeat("k", 301)+"/f")
	},
}

// keepApart writes each name's own content and reads every one back.
func keepApart(t *testing.T, b blob.Bucket, all ...string) {
	t.Helper()
	for _, name := range all {
		put(t, b, name, "of "+name)
	}
	for _, name := range all {
		if got := get(t, b, name); got != "of "+name {
			t.Errorf("%q holds %q", name, got)
		}
		if a, err := b.Stat(t.Context(), name); err != nil || a.Name != name {
			t.Errorf("stat %q: %q, %v", name, a.Name, err)
		}
	}
	slices.Sort(all)
	if diff := cmp.Diff(all, list(t, b, "")); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
}
