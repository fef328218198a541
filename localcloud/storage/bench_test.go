package storage_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	gcs "cloud.google.com/go/storage"
)

// BenchmarkSmallPuts is the local cloud's figure for small objects: 16 writers,
// the Google client, client and server on the same cores. cpu-µs/op is what both
// used together, and says more than the time on a busy machine.
func BenchmarkSmallPuts(b *testing.B) {
	for _, mode := range []struct {
		name  string
		fsync bool
	}{{"survives kill -9", false}, {"survives power cuts", true}} {
		b.Run(mode.name, func(b *testing.B) {
			bucket := newClient(b, newServer(b, options(b, func(o *serverOptions) { o.Fsync = mode.fsync }))).Bucket("bench")
			content := bytes.Repeat([]byte("litter"), 170) // 1 KiB
			before := cpuTime(b)
			b.ResetTimer()
			parallel(b.N, 16, func(i int) {
				if err := write(b.Context(), bucket.Object(fmt.Sprintf("t/%07d", i)), content); err != nil {
					b.Error(err)
				}
			})
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
			b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

func write(ctx context.Context, o *gcs.ObjectHandle, content []byte) error {
	w := o.NewWriter(ctx)
	w.ChunkSize = 0
	if _, err := w.Write(content); err != nil {
		return err
	}
	return w.Close()
}

// parallel calls do(0) to do(n-1) from so many goroutines.
func parallel(n, goroutines int, do func(i int)) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range goroutines {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	group.Wait()
}

func cpuTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Skip("no CPU time on this system")
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
