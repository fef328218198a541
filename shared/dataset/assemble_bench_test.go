package dataset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
)

// large is a version of n photos with nine boxes each.
func large(n int) (before []Photo, measured map[string]Measured) {
	measured = make(map[string]Measured, n)
	for i := range n {
		p := Photo{Path: fmt.Sprintf("images/train/old/%06d.jpg", i), MD5: MD5Hex(fmt.Append(nil, i)), Size: 2e6, Width: 1920, Height: 1080, Split: Train, Batch: "old"}
		for j := range 9 {
			p.Boxes = append(p.Boxes, Box{Class: j, X: float64(i%1000) + 0.25*float64(j), Y: float64(j * 50), W: 120.5, H: 99.25})
		}
		before = append(before, p)
		measured[p.MD5] = Measured{MD5: p.MD5, Width: 1920, Height: 1080, Brightness: 100, Hash: 0x9e3779b97f4a7c15 * uint64(i+1)}
	}
	return before, measured
}

// A version of 100,000 photos of which ten are new.
func BenchmarkAssemble(b *testing.B) {
	before, measured := large(100_000)
	rec := Record{Batch: "new", Classes: []string{"c9"}}
	for i := range 10 {
		name := fmt.Sprintf("%d.jpg", i)
		rec.Photos = append(rec.Photos, RecordPhoto{Name: name, File: name, MD5: MD5Hex(fmt.Append(nil, "new", i)), Width: 10, Height: 10})
	}
	head := Head{Version: Version{ID: "old", Sequence: 1, Classes: []string{"c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"}}, Batches: []HeadBatch{{Name: "old", Folder: "old"}}}
	b.ReportAllocs()
	for b.Loop() {
		h := head
		if _, err := Assemble(&h, before, measured, rec, "hash", 1, DefaultPolicy(), noon); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadPhotos(b *testing.B) {
	before, _ := large(100_000)
	data, err := jsonLines(before)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		d := json.NewDecoder(bytes.NewReader(data))
		for d.More() {
			var p Photo
			if err := d.Decode(&p); err != nil {
				b.Fatal(err)
			}
		}
	}
}
