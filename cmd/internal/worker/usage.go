package worker

import (
	"syscall"
	"time"
)

// ProcessorTime is what this process has taken of all processors together.
func ProcessorTime() time.Duration {
	return usage(func(r syscall.Rusage) time.Duration {
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	})
}

// PeakMB is the most memory that this process had in RAM.
func PeakMB() float64 {
	return usage(func(r syscall.Rusage) float64 { return float64(r.Maxrss) / 1024 })
}

func usage[T any](figure func(syscall.Rusage) T) T {
	var r syscall.Rusage
	// It fails for an address that is not the process's own alone.
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return figure(r)
}

// clock tells the time since it was made.
func clock() func() time.Duration {
	began := time.Now()
	return func() time.Duration { return time.Since(began) }
}
