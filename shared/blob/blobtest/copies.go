package blobtest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

var copies = map[string]func(*testing.T, blob.Bucket){
	"content and attributes come along": func(t *testing.T, b blob.Bucket) {
		src, err := b.Write(t.Context(), "src", strings.NewReader("photo"), blob.WriteOptions{
			IfGeneration: blob.Any, ContentType: "image/jpeg", Metadata: map[string]string{"k": "v"},
		})
		if err != nil {
			t.Fatal(err)
		}
		a, err := b.Copy(t.Context(), "dst", nil, "src", blob.WriteOptions{IfGeneration: blob.Any})
		if err != nil {
			t.Fatal(err)
		}
		if a.Name != "dst" || a.ContentType != "image/jpeg" || a.MD5 != src.MD5 || a.Size != 5 {
			t.Errorf("copied as %+v", a)
		}
		if diff := cmp.Diff(map[string]string{"k": "v"}, a.Metadata); diff != "" {
			t.Errorf("metadata (-want +got):\n%s", diff)
		}
		if got := get(t, b, "dst"); got != "photo" {
			t.Errorf("the copy holds %q", got)
		}
	},
	"attributes that are given replace the source's": func(t *testing.T, b blob.Bucket) {
		put(t, b, "src", "photo")
		a, err := b.Copy(t.Context(), "dst", b, "src", blob.WriteOptions{IfGeneration: blob.Any, ContentType: "text/plain", Metadata: map[string]string{"new": "1"}})
		if err != nil || a.ContentType != "text/plain" || a.Metadata["new"] != "1" {
			t.Errorf("copied as %+v, %v", a, err)
		}
	},
	"large": func(t *testing.T, b blob.Bucket) {
		large := strings.Repeat("0123456789abcdef", 100_000)
		put(t, b, "src", large)
		if _, err := b.Copy(t.Context(), "dst", nil, "src", blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
			t.Fatal(err)
		}
		if err := b.Delete(t.Context(), "src", blob.Any); err != nil {
			t.Fatal(err)
		}
		if get(t, b, "dst") != large {
			t.Error("the copy differs, or went with its source")
		}
	},
	"the condition is the destination's": func(t *testing.T, b blob.Bucket) {
		put(t, b, "src", "new")
		dst := put(t, b, "dst", "old")
		_, err := b.Copy(t.Context(), "dst", nil, "src", blob.WriteOptions{IfGeneration: blob.Absent})
		wantErr(t, err, errs.Conflict)
		if _, err := b.Copy(t.Context(), "dst", nil, "src", blob.WriteOptions{IfGeneration: dst.Generation}); err != nil {
			t.Error(err)
		}
	},
	"of what is not there": func(t *testing.T, b blob.Bucket) {
		_, err := b.Copy(t.Context(), "dst", nil, "absent", blob.WriteOptions{IfGeneration: blob.Any})
		wantErr(t, err, errs.NotFound)
	},
}
