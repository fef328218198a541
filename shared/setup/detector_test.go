package setup

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTemplate_isWhatTerraformDeclares(t *testing.T) {
	env := map[string]string{"GOOGLE_CLOUD_PROJECT": "streets-1", "DETECTOR_TEMPLATE": `{"concurrency":8,"cpu":"4","env":{"PHOTO_BUCKETS":"-"},"memory":"4Gi"}`}
	cfg, err := FromEnv(func(k string) string { return env[k] })
	if err != nil {
		t.Fatal(err)
	}
	got := (&Parts{Config: cfg}).template()
	if d := cmp.Diff(map[string]string{"cpu": "4", "memory": "4Gi"}, got.Containers[0].Resources.Limits); d != "" {
		t.Errorf("limits (-want +got):\n%s", d)
	}
	if v := got.Containers[0].Env; got.MaxInstanceRequestConcurrency != 8 || len(v) != 1 || v[0].Name != "PHOTO_BUCKETS" || v[0].GetValue() != "-" {
		t.Errorf("template %v", got)
	}
	delete(env, "DETECTOR_TEMPLATE")
	if cfg, err = FromEnv(func(k string) string { return env[k] }); err != nil || (&Parts{Config: cfg}).template().Containers[0].Resources != nil {
		t.Errorf("limits that nobody declared; %v", err)
	}
	env["DETECTOR_TEMPLATE"] = `{"gpu":1}`
	if _, err := FromEnv(func(k string) string { return env[k] }); err == nil || !strings.Contains(err.Error(), "DETECTOR_TEMPLATE") {
		t.Errorf("a template of another release: %v", err)
	}
}
