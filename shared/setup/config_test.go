package setup

import (
	"strings"
	"testing"
)

func TestFromEnv_reportsEveryFaultAtOnce(t *testing.T) {
	env := map[string]string{"MODEL": "Litter!", "MODELS_BUCKET": "gs://models"}
	_, err := FromEnv(func(k string) string { return env[k] })
	for _, want := range []string{"GOOGLE_CLOUD_PROJECT", "MODEL=", "MODELS_BUCKET="} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %s: %v", want, err)
		}
	}
}

func TestFromEnv_defaultsFollowTheProject(t *testing.T) {
	c, err := FromEnv(func(k string) string { return map[string]string{"GOOGLE_CLOUD_PROJECT": "streets"}[k] })
	if err != nil {
		t.Fatal(err)
	}
	if c.Incoming != "streets-incoming" || c.Model != "litter" || c.TrainerJob != "trainer" {
		t.Errorf("%+v", c)
	}
}
