package worker

import (
	"os"
	"strconv"
	"strings"
)

// Memory is how many bytes of RAM this process may use: the machine's, or what
// its container (cgroup, version 2 or 1) is given of them; 0 where the system does
// not say so the Linux way.
func Memory() int64 {
	return memory(func(name string) string {
		text, _ := os.ReadFile(name)
		return string(text)
	})
}

func memory(read func(name string) string) (least int64) {
	say := func(bytes int64, err error) {
		if err == nil && bytes > 0 && (least == 0 || bytes < least) {
			least = bytes
		}
	}
	for line := range strings.Lines(read("/proc/meminfo")) {
		if kB, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kB), " kB"), 10, 64)
			say(n<<10, err)
		}
	}
	for _, limit := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		say(strconv.ParseInt(strings.TrimSpace(read(limit)), 10, 64)) // "max" is no number, and no limit
	}
	return least
}
