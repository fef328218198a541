package detectorbench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of processor time in /proc: USER_HZ is 100 on every Linux
// that Go runs on.
const tick = 10 * time.Millisecond

// usage of a process and all that descend from it.
type usage struct {
	CPU    time.Duration // user and system
	PeakMB float64       // sum of each process's own peak of resident memory
}

// measure reads what a tree of processes has used. What ended is not counted.
func measure(root int) (usage, error) {
	children := map[int][]int{}
	cpu := map[int]time.Duration{}
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(paths) == 0 {
		return usage{}, fmt.Errorf("processor time of other processes is read from /proc, as Linux has it: %w", os.ErrNotExist)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // proc(5): state, ppid, ...
		parent, _ := strconv.Atoi(f[1])
		user, _ := strconv.Atoi(f[11])
		system, _ := strconv.Atoi(f[12])
		children[parent] = append(children[parent], pid)
		cpu[pid] = time.Duration(user+system) * tick
	}
	var u usage
	for todo := []int{root}; len(todo) > 0; todo = todo[1:] {
		pid := todo[0]
		todo = append(todo, children[pid]...)
		u.CPU += cpu[pid]
		u.PeakMB += peakMB(pid)
	}
	return u, nil
}

// peakMB is the largest resident memory that a process ever had.
func peakMB(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseFloat(strings.Fields(kb)[0], 64)
			return n / 1024
		}
	}
	return 0
}
