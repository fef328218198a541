package predictionlog_test

import (
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/drift"
	"github.com/litterloop/litterloop/shared/predictionlog"
)

func answered(i int) predictionlog.Row {
	r := predictionlog.Row{
		ID: fmt.Sprintf("0198c0de-0000-7000-8000-%012d", i), TimeMicros: int64(i), Model: "litter", ModelVersion: "3", Dataset: "d1", Revision: "litter-v3",
		Width: 640, Height: 480, Bytes: 12345, Brightness: float32(i % 255), Contrast: 40, Sharpness: float32(i % 977),
	}
	for k := range 3 {
		r.Boxes = append(r.Boxes, predictionlog.Box{ClassID: int32(k), Class: "can", Confidence: float32(i%100) / 100, X1: 1, Y1: 2, X2: float32(30 + i%400), Y2: 40})
	}
	return r
}

// BenchmarkAdd is what a request pays for its row.
func BenchmarkAdd(b *testing.B) {
	policy := predictionlog.DefaultPolicy()
	policy.Photos = predictionlog.Sampling{}
	policy.FlushRows, policy.WaitingRows = 1<<30, 1<<30 // none is written meanwhile
	l, err := predictionlog.NewLogger(blobmem.New("predictions"), predictionlog.Options{Instance: "a", Policy: policy, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	r := answered(1)
	b.ReportAllocs()
	for b.Loop() {
		l.Add(r, nil)
	}
}

// BenchmarkWrite is what the background pays for a file of 500 rows, and of it for
// their sketch.
func BenchmarkWrite(b *testing.B) {
	rows := make([]predictionlog.Row, 500)
	for i := range rows {
		rows[i] = answered(i)
	}
	b.Run("rows", func(b *testing.B) {
		for b.Loop() {
			if err := predictionlog.WriteFile(io.Discard, rows); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sketch", func(b *testing.B) {
		s := drift.NewSketches()
		for b.Loop() {
			for _, r := range rows {
				s.Add(r)
			}
			if _, err := s.MarshalBinary(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
