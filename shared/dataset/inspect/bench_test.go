package inspect

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/litterloop/litterloop/shared/imaging"
)

// fourMegabytes is a real photo of about that size.
func fourMegabytes(b *testing.B) []byte {
	all, _ := filepath.Glob("../../../../shared/data/taco_subset/*/*.jpg")
	more, _ := filepath.Glob("../../../../shared/data/taco_subset/*/*/*.jpg")
	for _, p := range slices.Concat(all, more) {
		if info, err := os.Stat(p); err == nil && info.Size() > 3e6 && info.Size() < 5e6 {
			data, err := os.ReadFile(p)
			if err != nil {
				b.Fatal(err)
			}
			return data
		}
	}
	b.Skip("no photo of 4 MB is on this machine")
	return nil
}

func BenchmarkPhoto_fourMegabytes(b *testing.B) {
	data := fourMegabytes(b)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if s := Photo(data); s.Fault != nil {
			b.Fatal(s.Fault)
		}
	}
}

// BenchmarkDecode_fourMegabytes is what Photo cannot take less than.
func BenchmarkDecode_fourMegabytes(b *testing.B) {
	data := fourMegabytes(b)
	b.SetBytes(int64(len(data)))
	var im imaging.Image
	for b.Loop() {
		if err := imaging.DecodeInto(&im, data, imaging.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
