package worker

import "testing"

func TestMemory_isTheLeastOfWhatIsGiven(t *testing.T) {
	const info = "MemFree:  7 kB\nMemTotal:       2048 kB\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"a machine", map[string]string{"/proc/meminfo": info}, 2 << 20},
		{"a container without a limit", map[string]string{"/proc/meminfo": info, "/sys/fs/cgroup/memory.max": "max\n"}, 2 << 20},
		{"a container", map[string]string{"/proc/meminfo": info, "/sys/fs/cgroup/memory.max": "1048576\n"}, 1 << 20},
		{"an older container", map[string]string{"/proc/meminfo": info, "/sys/fs/cgroup/memory/memory.limit_in_bytes": "524288\n"}, 1 << 19},
		{"another system", nil, 0},
	} {
		if got := memory(func(name string) string { return c.files[name] }); got != c.want {
			t.Errorf("%s: %d bytes, want %d", c.name, got, c.want)
		}
	}
}
