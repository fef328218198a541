package cloud

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// limits are quotas as Service Usage tells of them, in two pages.
const (
	limitsOne = `{"metrics": [{"metric": "run.googleapis.com/cpu_allocation", "consumerQuotaLimits": [{"unit": "1/{project}/{region}", "quotaBuckets": [
		{"effectiveLimit": "200000"}, {"effectiveLimit": "20000", "dimensions": {"region": "europe-west1"}}]}]}], "nextPageToken": "2"}`
	limitsTwo = `{"metrics": [{"metric": "run.googleapis.com/nvidia_l4_gpu_allocation_no_zonal_redundancy", "consumerQuotaLimits": [{"quotaBuckets": [
		{"effectiveLimit": "0"}, {"effectiveLimit": "3", "dimensions": {"region": "us-central1"}}]}]}]}`
)

func settings(t *testing.T, text string) Terraform {
	t.Helper()
	tf := Terraform{Dir: t.TempDir(), Project: "streets-1"}
	path := filepath.Join(tf.Dir, "envs", "streets-1.tfvars")
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return tf
}

func TestCheckQuotas_saysWhichIsTooSmall(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1beta1/projects/streets-1/services/run.googleapis.com/consumerQuotaMetrics", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("pageToken") == "2" {
			w.Write([]byte(limitsTwo))
			return
		}
		w.Write([]byte(limitsOne))
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	a := API{Client: s.Client(), ServiceUsage: s.URL + "/v1/"}
	for name, c := range map[string]struct {
		settings, region string
		sick             []string // what those say that are not OK
		must             bool
	}{
		"small":                    {`detector = { max_instances = 3 }`, "europe-west1", nil, false},
		"many instances":           {``, "europe-west1", []string{"38 processors", "allows 20 in europe-west1"}, false},
		"elsewhere":                {``, "us-central1", nil, false},
		"a GPU where there is one": {`ultralytics = { gpu = "nvidia-l4" }`, "us-central1", nil, false},
		"a GPU where there is none": {"detector = { max_instances = 2, cpu = \"4\" }\nultralytics = { gpu = \"nvidia-l4\" }", "europe-west1",
			[]string{"1 L4 GPU", "allows 0 in europe-west1"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			needs, err := settings(t, c.settings).Needs()
			if err != nil {
				t.Fatal(err)
			}
			var sick []Finding
			for _, f := range a.CheckQuotas(t.Context(), "streets-1", c.region, needs) {
				if !f.OK {
					sick = append(sick, f)
				}
			}
			if (len(sick) == 0) != (c.sick == nil) || len(sick) > 1 {
				t.Fatalf("found %+v", sick)
			}
			for _, want := range c.sick {
				if !strings.Contains(sick[0].Says, want) || sick[0].Must != c.must || !strings.Contains(sick[0].Mend, "quotas?project=streets-1") {
					t.Errorf("%+v, want %q", sick[0], want)
				}
			}
		})
	}
	if found := (API{Client: s.Client(), ServiceUsage: s.URL + "/off/v1/"}).CheckQuotas(t.Context(), "streets-1", "europe-west1", nil); found != nil {
		t.Errorf("before the API is enabled: %+v", found)
	}
}

// The defaults are those of the root.
func TestNeeds_knowsTheDefaults(t *testing.T) {
	text, err := os.ReadFile("../../../terraform/variables.tf")
	if err != nil {
		t.Fatal(err)
	}
	detector, rest, _ := strings.Cut(string(text[strings.Index(string(text), `variable "detector"`):]), "default     = {}")
	trainer, _, _ := strings.Cut(rest[strings.Index(rest, `variable "trainer"`):], "default     = {}")
	for part, want := range map[string][]string{detector: {`cpu           = optional(string, "2")`, "max_instances = optional(number, 10)"}, trainer: {`optional(string, "8")`}} {
		for _, w := range want {
			if !strings.Contains(part, w) {
				t.Errorf("terraform/variables.tf has no %q: change Needs with it", w)
			}
		}
	}
	none, err := Terraform{Dir: t.TempDir(), Project: "streets-1"}.Needs()
	if err != nil {
		t.Fatal(err)
	}
	empty, err := settings(t, "").Needs()
	if d := cmp.Diff(none, empty); d != "" || err != nil {
		t.Error(d, err)
	}
}

func TestSets_tellsNullFromAValue(t *testing.T) {
	tf := settings(t, "ultralytics = null\ntrainer = {}\n")
	for name, want := range map[string]bool{"ultralytics": false, "trainer": true, "detector": false} {
		if got, err := tf.Sets(name); err != nil || got != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
