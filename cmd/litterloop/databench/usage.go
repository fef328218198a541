package databench

import (
	"os"
	"runtime"
	"syscall"
	"time"
)

// ownPeakMB is the peak memory of the largest of a process and those it waited for.
func ownPeakMB(s *os.ProcessState) float64 {
	u, ok := s.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	unit := 1024.0 // kB, but bytes on a Mac
	if runtime.GOOS == "darwin" {
		unit = 1
	}
	return float64(u.Maxrss) * unit / (1 << 20)
}

// inProcess measures work of this process. Its memory is not told: it holds the
// input as well.
func inProcess(work func() error) (Figures, error) {
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		return Figures{}, err
	}
	begin := time.Now()
	if err := work(); err != nil {
		return Figures{}, err
	}
	wall := time.Since(begin)
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		return Figures{}, err
	}
	cpu := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
	return Figures{Wall: wall.Seconds(), CPU: cpu.Seconds()}, nil
}
