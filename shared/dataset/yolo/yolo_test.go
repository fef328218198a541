package yolo

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/litterloop/litterloop/shared/errs"
)

func TestParseLabels(t *testing.T) {
	tests := []struct {
		name, text string
		keypoints  bool
		want       []Row
		faults     []Fault
	}{
		{"nothing", "\n \n", false, nil, nil},
		{"a box", "3 0.5 0.5 0.2 0.4\n", false, []Row{{1, 3, 0.4, 0.3, 0.2, 0.4}}, nil},
		{"tabs, a mark at the beginning, Windows' ends", "\xef\xbb\xbf0\t0.5\t0.5 1 1\r\n\r\n1 .5 .5 1 1", false, []Row{{1, 0, 0, 0, 1, 1}, {3, 1, 0, 0, 1, 1}}, nil},
		{"a class written as a float", "2.0 0.5 0.5 1 1", false, []Row{{1, 2, 0, 0, 1, 1}}, nil},
		{"a box and a confidence", "0 0.5 0.5 0.2 0.4 0.93", false, []Row{{1, 0, 0.4, 0.3, 0.2, 0.4}}, nil},
		{"a polygon", "0 0.1 0.2 0.5 0.2 0.3 0.9", false, []Row{{1, 0, 0.1, 0.2, 0.4, 0.7}}, nil},
		{"a polygon and a confidence", "0 0.1 0.2 0.5 0.2 0.3 0.9 0.7", false, []Row{{1, 0, 0.1, 0.2, 0.4, 0.7}}, nil},
		{"a turned box, its four corners", "0 0.5 0.1 0.9 0.5 0.5 0.9 0.1 0.5", false, []Row{{1, 0, 0.1, 0.1, 0.8, 0.8}}, nil},
		{"keypoints", "0 0.5 0.5 0.2 0.4 0.1 0.1 2 0.9 0.9 2", true, []Row{{1, 0, 0.4, 0.3, 0.2, 0.4}}, nil},
		{"beyond the photo", "0 0 0 0.4 0.4", false, []Row{{1, 0, -0.2, -0.2, 0.4, 0.4}}, nil},
		{"too few columns", "0 1 2 3\n", false, nil, []Fault{{1, CodeRowBad, ""}}},
		{"no class", "a 1 1 1 1\n1.5 1 1 1 1\n-1 1 1 1 1", false, nil, []Fault{{1, CodeRowBad, ""}, {2, CodeRowBad, ""}, {3, CodeRowBad, ""}}},
		{"commas", "0,0.5,0.5,1,1", false, nil, []Fault{{1, CodeRowBad, ""}}},
		{"no number", "0 1 1 x 1", false, nil, []Fault{{1, CodeRowBad, ""}}},
		{"not finite", "0 nan 1 1 1\n0 1 1 Infinity 1\n0 1e999 1 1 1", false, nil, []Fault{{1, codeInfinite, ""}, {2, codeInfinite, ""}, {3, codeInfinite, ""}}},
		{"empty boxes", "0 .5 .5 0 1\n0 .5 .5 1 -1\n0 .1 .1 .1 .1 .1 .1", false, nil, []Fault{{1, codeEmpty, ""}, {2, codeEmpty, ""}, {3, codeEmpty, ""}}},
		{"UTF-16", "\xff\xfe0\x00", false, nil, []Fault{{0, CodeFileBad, ""}}},
		{"bytes", "0 1\x00\xff", false, nil, []Fault{{0, CodeFileBad, ""}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rows, faults := ParseLabels([]byte(tt.text), tt.keypoints)
			if d := cmp.Diff(tt.want, rows, cmpopts.EquateApprox(0, 1e-12)) + cmp.Diff(tt.faults, faults, cmpopts.IgnoreFields(Fault{}, "Note")); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestParseData(t *testing.T) {
	tests := []struct {
		name, text string
		want       Data
	}{
		{"a list", "train: a\nval: b\nnames: [x, 'y z', \"é\", 7, no]\n", Data{Names: []string{"x", "y z", "é", "7", "no"}, Photos: []string{"a", "b"}}},
		{"a mapping", "names:\n  1: y\n  0: x\n", Data{Names: []string{"x", "y"}}},
		{"a mapping with gaps", "names: {0: x, 2: z}\n", Data{Names: []string{"x", "", "z"}}},
		{"a number of classes", "nc: 2\n", Data{Names: []string{"", ""}}},
		{"several directories", "path: ../set # there\ntrain:\n  - a\n  - b\nval: c\ntest:\nnames:\n  - x\n", Data{Names: []string{"x"}, Path: "../set", Photos: []string{"a", "b", "c"}}},
		{"keypoints", "kpt_shape: [17, 3]\nnames: [x]", Data{Names: []string{"x"}, Keypoints: true}},
		{"Windows' ends and a mark", "\xef\xbb\xbfnames: [x]\r\nnc: 1\r\n", Data{Names: []string{"x"}}},
		{"keys that nobody reads", "names: [x]\nroboflow: {workspace: a, url: 'http://x'}\ndownload: |\n  import os\n  x: [\n", Data{Names: []string{"x"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseData([]byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestParseData_faults(t *testing.T) {
	tests := []struct{ name, text, says string }{
		{"no YAML", "names: [a\nb: ]", "2"},
		{"a list", "- a\n", "line 1"},
		{"no classes", "train: a\n", "names"},
		{"names of another kind", "train: a\nnames: 3\n", "line 2"},
		{"a class twice", "names:\n  0: a\n  0: b\n", "3"},
		{"no class number", "names:\n  0: a\n  one: b\n", "line 3"},
		{"a far class", "names: {1000000000: b}\n", "1000000000"},
		{"a negative class", "names: {-1: b}\n", "-1"},
		{"a name that is a list", "names:\n- a\n- [b]\n", "class 1"},
		{"no number of classes", "nc: many\n", "line 1"},
		{"a name by reference", "x: &a [a]\nnames: *a\n", "line 2"},
		{"too deep", "names: " + strings.Repeat("[", 100_000), "deep"},
		{"too long", "names: [" + strings.Repeat("a,", 200_000) + "]", "bytes"},
		{"nothing", "", "keys"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseData([]byte(tt.text))
			if code, _ := errs.Reason(err); code != CodeDataBad || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Whatever a label file holds, each line gives a usable box or a fault, and only
// one of them.
func FuzzParseLabels(f *testing.F) {
	f.Add([]byte("0 0.5 0.5 0.2 0.4\n1 0.1 0.2 0.5 0.2 0.3 0.9 0.7\n"), false)
	f.Add([]byte("0 0.5 0.5 0.2 0.4 0.1 0.1 2\n\nx\n"), true)
	f.Add([]byte("\xef\xbb\xbf1e999 nan -0 inf 1\r\n"), false)
	f.Fuzz(func(t *testing.T, text []byte, keypoints bool) {
		rows, faults := ParseLabels(text, keypoints)
		lines := map[int]bool{}
		for _, r := range rows {
			for _, v := range []float64{r.X, r.Y, r.X + r.W, r.Y + r.H} {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					t.Fatalf("%+v", r)
				}
			}
			if lines[r.Line] || r.Class < 0 || !(r.W > 0 && r.H > 0) {
				t.Fatalf("%+v", r)
			}
			lines[r.Line] = true
		}
		for _, fault := range faults {
			if lines[fault.Line] || fault.Code == "" || fault.Note == "" {
				t.Fatalf("%+v", fault)
			}
			lines[fault.Line] = true
		}
	})
}

func FuzzParseData(f *testing.F) {
	f.Add([]byte("path: ../set\ntrain: [a, b]\nval: c\nnc: 2\nnames: {0: x, 1: \"y\"}\n"))
	f.Add([]byte("names:\n- x\n- 'y'\nkpt_shape: [1, 2]\n"))
	f.Add([]byte("a: &x [b]\nnames: *x\n? [c]\n: d\n--- \n..."))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := ParseData(text)
		if code, _ := errs.Reason(err); err != nil && code != CodeDataBad || err == nil && len(d.Names) == 0 && len(text) == 0 {
			t.Fatalf("%v", err)
		}
	})
}
