package intake

import (
	"fmt"
	"testing"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
)

// A version of 100,000 photos and 900,000 boxes gets ten photos more.
func BenchmarkTake_tenNewOfHundredThousand(b *testing.B) {
	w := newWorld(b)
	rec := dataset.Record{Batch: "old", Classes: []string{"Can", "Cup"}}
	seen := map[string]dataset.Seen{}
	for i := range 100_000 {
		p := dataset.RecordPhoto{Name: fmt.Sprintf("%06d.jpg", i), Size: 2e6, Width: 1920, Height: 1080}
		p.File, p.MD5 = p.Name, dataset.MD5Hex([]byte(p.Name))
		for j := range 9 {
			p.Boxes = append(p.Boxes, dataset.Box{Class: j % 2, X: float64(i%1000) + 0.25*float64(j), Y: float64(j * 50), W: 120.5, H: 99.25})
		}
		rec.Photos = append(rec.Photos, p)
		s := dataset.Seen{Size: p.Size}
		s.MD5, s.Width, s.Height, s.Hash = p.MD5, p.Width, p.Height, 0x9e3779b97f4a7c15*uint64(i+1)
		seen[p.Name] = s
	}
	h, err := w.in.head(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if _, err := w.in.commit(b.Context(), h, rec, seen, rec.Hash(), 1); err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		names, content := batch(10, 100*i)
		for _, name := range names {
			w.drop(fmt.Sprintf("batch %d/%s", i, name), content[name])
		}
		if _, err := blob.ReadJSON(b.Context(), w.datasets, dataset.HeadObject, &h.Head); err != nil || h.Version.Counts.Photos != 100_010+10*i {
			b.Fatal(h.Version.Counts, err)
		}
	}
}
