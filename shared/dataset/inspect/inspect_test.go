package inspect

import (
	"errors"
	"math/bits"
	"os"
	"path/filepath"
	"testing"

	"github.com/litterloop/litterloop/shared/drawing"
	"github.com/litterloop/litterloop/shared/errs"
)

func TestPhoto_displayedSize(t *testing.T) {
	want := map[string][2]int{"Landscape": {1800, 1200}, "Portrait": {1200, 1800}}
	var reference uint64
	for _, name := range []string{"Landscape_1", "Landscape_3", "Landscape_6", "Landscape_8", "Portrait_5", "Portrait_7"} {
		data, err := os.ReadFile(filepath.Join("../../../../shared/data/exif_orientation", name+".jpg"))
		if err != nil {
			t.Skip("the real input is not on this machine: ", err)
		}
		s := Photo(data)
		kind := name[:len(name)-2]
		if s.Fault != nil || [2]int{s.Width, s.Height} != want[kind] || s.Orientation != int(name[len(name)-1]-'0') {
			t.Errorf("%s: %+v", name, s)
		}
		if name == "Landscape_1" {
			reference = s.Hash
		} else if kind == "Landscape" && bits.OnesCount64(reference^s.Hash) > 4 {
			t.Errorf("%s: the same scene turned looks different: %d bits", name, bits.OnesCount64(reference^s.Hash))
		}
	}
}

// Every awkward file is a photo or has a reason code; none ends the process.
func TestPhoto_awkward(t *testing.T) {
	files, _ := filepath.Glob("../../../../shared/data/awkward/*.*")
	if len(files) == 0 {
		t.Skip("the real input is not on this machine")
	}
	usable := 0
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		s := Photo(data)
		if s.Fault == nil {
			usable++
			if s.Width < 1 || s.Height < 1 {
				t.Errorf("%s: %+v", f, s)
			}
		} else if code, ok := errs.Reason(s.Fault); !ok || code == "" {
			t.Errorf("%s: a fault without a code: %v", filepath.Base(f), s.Fault)
		}
	}
	if usable < 20 {
		t.Errorf("only %d of %d are usable", usable, len(files))
	}
}

func TestPhoto_cutShort(t *testing.T) {
	p, err := drawing.Draw(1, 1, drawing.Day)
	if err != nil {
		t.Fatal(err)
	}
	s := Photo(p.JPEG[:len(p.JPEG)/2])
	var permanent *errs.PermanentError
	if !errors.As(s.Fault, &permanent) || s.MD5 == "" {
		t.Errorf("got %+v", s)
	}
}

// A damaged photo is quarantined alone: it must not spoil those after it.
func TestPhoto_damageSpoilsNoOther(t *testing.T) {
	p, err := drawing.Draw(1, 1, drawing.Day)
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int{100, 200, 300, 400, 500, 600, len(p.JPEG) / 2, len(p.JPEG) - 100} {
		Photo(p.JPEG[:cut])
		if s := Photo(p.JPEG); s.Fault != nil {
			t.Fatalf("after one cut at %d: %v", cut, s.Fault)
		}
	}
}

func BenchmarkPhoto(b *testing.B) {
	p, err := drawing.Draw(1, 1, drawing.Day)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if s := Photo(p.JPEG); s.Fault != nil {
			b.Fatal(s.Fault)
		}
	}
}
