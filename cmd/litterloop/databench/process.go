package databench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// sampled is how often the memory of a tree of processes is looked at; a lone
// process tells its peak itself.
const sampled = 25 * time.Millisecond

// timed runs a program to its end and measures it with all that it starts.
func timed(ctx context.Context, dir string, env []string, name string, args ...string) (Figures, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return Figures{}, err
	}
	stop, peak := make(chan struct{}), make(chan float64)
	go func() {
		t := time.NewTicker(sampled)
		defer t.Stop()
		most := 0.0
		for {
			most = max(most, treeMB(cmd.Process.Pid))
			select {
			case <-stop:
				peak <- most
				return
			case <-t.C:
			}
		}
	}()
	err := cmd.Wait()
	wall := time.Since(begin)
	close(stop)
	most := <-peak
	if err != nil {
		return Figures{}, fmt.Errorf("%s: %w\n%s", filepath.Base(name), err, tail(&said))
	}
	s := cmd.ProcessState
	return Figures{wall.Seconds(), (s.UserTime() + s.SystemTime()).Seconds(), max(most, ownPeakMB(s))}, nil
}

// treeMB is the memory that a process and its descendants have in RAM.
func treeMB(root int) float64 {
	kb := 0.0
	for todo := []int{root}; len(todo) > 0; todo = todo[1:] {
		pid := todo[0]
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue // it has ended, or this is no Linux
		}
		for line := range strings.Lines(string(text)) {
			if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				n, _ := strconv.ParseFloat(strings.Fields(v)[0], 64)
				kb += n
			}
		}
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		for _, t := range tasks {
			text, _ := os.ReadFile(t)
			for _, child := range strings.Fields(string(text)) {
				if n, err := strconv.Atoi(child); err == nil {
					todo = append(todo, n)
				}
			}
		}
	}
	return kb / 1024
}
