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

func TestHelper_onlyTheFirstTaskTrains(t *testing.T) {
	for _, c := range []struct {
		name string
		env  map[string]string
		want bool
	}{
		{"by hand", nil, false},
		{"the only task", map[string]string{"CLOUD_RUN_TASK_INDEX": "0"}, false},
		{"a second task", map[string]string{"CLOUD_RUN_TASK_INDEX": "1"}, true},
		{"the chief", map[string]string{"CLUSTER_SPEC": `{"cluster": {"workerpool0": ["a"]}, "task": {"type": "workerpool0", "index": 0}}`}, false},
		{"a worker", map[string]string{"CLUSTER_SPEC": `{"cluster": {"workerpool1": ["b"]}, "task": {"type": "workerpool1", "index": 0}}`}, true},
	} {
		if got := helper(func(k string) string { return c.env[k] }); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
