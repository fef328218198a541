package dataset

import (
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCleanName(t *testing.T) {
	tests := []struct {
		in, want string
		ok       bool
	}{
		{"a.jpg", "a.jpg", true},
		{"./dir/./a b.jpg", "dir/a b.jpg", true},
		{`dir\a.jpg`, "dir/a.jpg", true},
		{"dir//ü 漢😀.jpg", "dir/ü 漢😀.jpg", true},
		{"..a/b..jpg", "..a/b..jpg", true},
		{"../a.jpg", "", false},
		{"a/../../b.jpg", "", false},
		{`a\..\b.jpg`, "", false},
		{"/etc/passwd", "", false},
		{"dir/", "", false},
		{".", ".", false},
		{"", "", false},
		{"a\xff.jpg", "", false},
		{strings.Repeat("d/", 500) + "a", "", false},
		{"annotations.json", "annotations.json", false},
	}
	for _, tt := range tests {
		if got, ok := CleanName(tt.in); got != tt.want || ok != tt.ok {
			t.Errorf("CleanName(%q) = %q, %v; want %q, %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

func TestDistinct(t *testing.T) {
	long := strings.Repeat("x", 300) + ".jpeg"
	tests := []struct {
		name     string
		in, want []string
	}{
		{"plain names stay", []string{"a/x.jpg", "b/x.jpg"}, []string{"a/x.jpg", "b/x.jpg"}},
		{"one stem, two endings", []string{"x.jpg", "x.png"}, []string{"x.jpg", "x-" + shortHash("x.png") + ".png"}},
		{"case alone", []string{"A.JPG", "a.jpg"}, []string{"A.JPG", "a-" + shortHash("a.jpg") + ".jpg"}},
		{"directories that trainers replace", []string{"images/a.jpg", "labels/a.jpg"}, []string{"a.jpg", "labels_/a.jpg"}},
		{"the same photo name in images/ and beside it", []string{"a.jpg", "images/a.jpg", "images/train/images/b.jpg"}, []string{"a.jpg", "a-" + shortHash("images/a.jpg") + ".jpg", "train/b.jpg"}},
		{"characters that file systems refuse", []string{"a:b?.jpg", "a_b*.jpg"}, []string{"a_b_.jpg", "a_b_-" + shortHash("a_b*.jpg") + ".jpg"}},
		{"too long", []string{long}, []string{strings.Repeat("x", 185) + "-" + shortHash(long) + ".jpeg"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, Distinct(tt.in)); d != "" {
				t.Error(d)
			}
		})
	}
}

// Whatever a photo is called, its place in a version is a relative path of
// usable segments, and its labels are where trainers look for them.
func FuzzDistinct(f *testing.F) {
	f.Add("a.jpg", "A.JPG")
	f.Add("images/"+strings.Repeat("長", 99)+".jpg", "x/../y")
	f.Add(".jpg", "x.y/z")
	f.Fuzz(func(t *testing.T, a, b string) {
		a, okA := CleanName(a)
		b, okB := CleanName(b)
		if !okA || !okB || a == b {
			t.Skip()
		}
		labels := map[string]bool{}
		for _, name := range Distinct([]string{a, b}) {
			p := path.Join("images", "train", "batch", name)
			if !strings.HasPrefix(p, "images/train/batch/") || strings.Count("/"+p, "/images/") != 1 {
				t.Fatalf("%q lies at %q", name, p)
			}
			for s := range strings.SplitSeq(p, "/") {
				if s == "" || s == ".." || len(s) > 255 {
					t.Fatalf("segment %q of %q", s, p)
				}
			}
			l := strings.ToLower(LabelPath(p))
			if labels[l] {
				t.Fatalf("%q and %q share labels", a, b)
			}
			labels[l] = true
		}
	})
}
