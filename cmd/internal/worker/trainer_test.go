package worker

import "testing"

func TestExecution_isTheNameThatCloudRunKnows(t *testing.T) {
	for _, c := range []struct {
		name, want string
		env        map[string]string
	}{
		{"in a job", "projects/p/locations/l/jobs/trainer/executions/trainer-x7k2p", map[string]string{"CLOUD_RUN_JOB": "trainer", "CLOUD_RUN_EXECUTION": "trainer-x7k2p"}},
		{"by hand", "", nil},
		{"half an environment", "", map[string]string{"CLOUD_RUN_EXECUTION": "trainer-x7k2p"}},
	} {
		if got := execution("projects/p/locations/l", func(k string) string { return c.env[k] }); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
