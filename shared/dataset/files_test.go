package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/errs"
)

func TestParseListing_refusesWhatNoVersionHas(t *testing.T) {
	const md5 = "0123456789abcdef0123456789abcdef"
	tests := []struct {
		name, path, md5 string
		want            errs.Code
	}{
		{"up and out", "../x", md5, ListingUnsafe},
		{"up and out from within", "images/../../x", md5, ListingUnsafe},
		{"in a roundabout way", "images/train/../a.jpg", md5, ListingUnsafe},
		{"from the root", "/etc/passwd", md5, ListingUnsafe},
		{"with backslashes", `images\..\..\x`, md5, ListingUnsafe},
		{"with backslashes below images", `images/..\..\x`, md5, ListingUnsafe},
		{"a hook of git", ".git/hooks/post-checkout", md5, ListingUnsafe},
		{"a directory alone", "images/", md5, ListingUnsafe},
		{"nothing", "", md5, ListingUnsafe},
		{"a control character", "images/\x1b[2Ja.jpg", md5, ListingUnsafe},
		{"an MD5 that climbs", "images/a.jpg", "../../../../../../../../etc/pass", ListingCorrupt},
		{"a short MD5", "images/a.jpg", "0", ListingCorrupt},
		{"an MD5 in capitals", "images/a.jpg", strings.ToUpper(md5), ListingCorrupt},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseListing(DirListing([]File{{Path: tt.path, MD5: tt.md5}}))
			if code, _ := errs.Reason(err); code != tt.want {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
	if _, err := parseListing([]byte(`[{"md5":"` + md5 + `","relpath":"data.yaml"},{"md5":"` + md5 + `","relpath":"data.yaml"}]`)); err == nil {
		t.Error("a path named twice was taken")
	}
}

func FuzzParseListing(f *testing.F) {
	f.Add([]byte(`[{"md5": "0123456789abcdef0123456789abcdef", "relpath": "images/train/b \u00fc.jpg"}]`))
	f.Add([]byte(`[{"md5": "", "relpath": "../x"}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		files, err := parseListing(text)
		if err != nil {
			return
		}
		again, err := parseListing(DirListing(files))
		if err != nil || len(again) != len(files) {
			t.Errorf("what was read cannot be read again: %v", err)
		}
	})
}

func TestFind(t *testing.T) {
	b := blobmem.New("datasets")
	for i, id := range []string{"aa11", "aa22", "7"} {
		v := Version{ID: id, Sequence: int64(i + 1)}
		if _, err := blob.WriteJSON(t.Context(), b, VersionObject(id, SummaryFile), v, blob.Any); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"aa11": "aa11", "aa2": "aa22", "2": "aa22", "7": "7", "3": "7"} {
		if v, err := Find(t.Context(), b, name); err != nil || v.ID != want {
			t.Errorf("%q is %q, %v; want %q", name, v.ID, err, want)
		}
	}
	for _, name := range []string{"", "b", "../aa11", "99"} {
		if v, err := Find(t.Context(), b, name); !errors.Is(err, errs.NotFound) {
			t.Errorf("%q is %q, %v", name, v.ID, err)
		}
	}
	if _, err := Find(t.Context(), b, "aa"); err == nil || errors.Is(err, errs.NotFound) {
		t.Errorf("an ambiguous name: %v", err)
	}
	if err := Pass(t.Context(), b, Version{ID: "aa11", Sequence: 1}, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	if v, err := Find(t.Context(), b, ""); err != nil || v.ID != "aa11" {
		t.Errorf("the current version is %q, %v", v.ID, err)
	}
}

func TestListing_notTheVersionsOwn(t *testing.T) {
	b := blobmem.New("datasets")
	v := Version{ID: "v", DirMD5: MD5Hex([]byte("[]"))}
	if _, err := b.Write(t.Context(), ListingObject(v), bytes.NewReader([]byte("[ ]")), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
		t.Fatal(err)
	}
	for _, md5 := range []string{v.DirMD5, "", "../../x", fmt.Sprintf("%033d", 0)} {
		v.DirMD5 = md5
		if files, err := Listing(t.Context(), b, v); !cmp.Equal(files, []File(nil)) {
			t.Errorf("files of %q: %v", md5, files)
		} else if code, _ := errs.Reason(err); code != ListingCorrupt {
			t.Errorf("%q: %v", md5, err)
		}
	}
}
