package storage_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	gcs "cloud.google.com/go/storage"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/iterator"
)

func TestList(t *testing.T) {
	base := newServer(t, options(t))
	for _, name := range []string{"l/a/1", "l/a/2", "l/b/", "l/b/1", "l/c", "l/d", "m", "l"} {
		upload(t, base, name, "x")
	}
	bucket := newClient(t, base).Bucket("bench")
	for name, c := range map[string]struct {
		query gcs.Query
		want  string
	}{
		"everything":          {gcs.Query{}, "l l/a/1 l/a/2 l/b/ l/b/1 l/c l/d m"},
		"a folder":            {gcs.Query{Prefix: "l/", Delimiter: "/"}, "[l/a/] [l/b/] l/c l/d"},
		"a longer delimiter":  {gcs.Query{Delimiter: "/a"}, "[l/a] l l/b/ l/b/1 l/c l/d m"},
		"the top":             {gcs.Query{Delimiter: "/"}, "[l/] l m"},
		"trailing delimiters": {gcs.Query{Prefix: "l/", Delimiter: "/", IncludeTrailingDelimiter: true}, "[l/a/] [l/b/] l/b/ l/c l/d"},
		"between offsets":     {gcs.Query{Prefix: "l/", StartOffset: "l/b", EndOffset: "l/d"}, "l/b/ l/b/1 l/c"},
		"a glob":              {gcs.Query{MatchGlob: "l/**/1"}, "l/a/1 l/b/1"},
		"nothing":             {gcs.Query{Prefix: "x"}, ""},
	} {
		for _, page := range []int{1, 2, 1000} {
			t.Run(fmt.Sprintf("%s, pages of %d", name, page), func(t *testing.T) {
				var prefixes, found []string
				it := bucket.Objects(t.Context(), &c.query)
				it.PageInfo().MaxSize = page
				for {
					o, err := it.Next()
					if err == iterator.Done {
						break
					}
					if err != nil {
						t.Fatal(err)
					}
					if o.Prefix != "" {
						prefixes = append(prefixes, "["+o.Prefix+"]")
					} else {
						found = append(found, o.Name)
					}
				}
				if diff := cmp.Diff(c.want, strings.Join(append(prefixes, found...), " ")); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestList_refused(t *testing.T) {
	base := newServer(t, options(t)) + "/storage/v1/b/bench/o?"
	for _, query := range []string{"maxResults=x", "maxResults=-1", "pageToken=%25", "matchGlob=[", "matchGlob={a"} {
		if got := call(t, "GET", base+query, ""); got.status != 400 {
			t.Errorf("%s: status %d", query, got.status)
		}
	}
}

func FuzzMatchGlob(f *testing.F) {
	f.Add("**/*.{jpg,png}", "a/b.jpg")
	f.Add("[!a-c]?*", "de")
	f.Add(`\E[\]]`, `\`)
	base := newServer(f, options(f))
	f.Fuzz(func(t *testing.T, glob, name string) {
		got := call(t, "GET", base+"/storage/v1/b/bench/o?matchGlob="+url.QueryEscape(glob), "")
		if !slices.Contains([]int{200, 400}, got.status) {
			t.Errorf("glob %q: status %d: %s", glob, got.status, got.body)
		}
	})
}
