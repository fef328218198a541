package tracker

import "testing"

func TestAlone_whetherThereIsALoopBesideTheStore(t *testing.T) {
	const project, storage, pubsub = "GOOGLE_CLOUD_PROJECT", "STORAGE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST"
	for name, tt := range map[string]struct {
		set  []string
		want bool
	}{
		"no project":                            {nil, true},
		"a local store, no project":             {[]string{storage}, true},
		"a local store beside a project's name": {[]string{project, storage}, true},
		"the local cloud":                       {[]string{project, storage, pubsub}, false},
		"Google Cloud":                          {[]string{project}, false},
	} {
		env := map[string]string{}
		for _, key := range tt.set {
			env[key] = "x"
		}
		if got := alone(func(key string) string { return env[key] }); got != tt.want {
			t.Errorf("%s: %t, want %t", name, got, tt.want)
		}
	}
}
