package terraform_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/drift"
)

// rights are a part's, as docs/security.md writes them.
func rights(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for part, list := range read(t).value(t, "rights").AsValueMap() {
		out[part] = []string{}
		for _, v := range list.AsValueSlice() {
			r := v.AsValueMap()
			on := r["to"].AsString()
			if of := r["of"].AsString(); of != "" {
				on += " " + of
			}
			if under, ok := r["under"]; ok {
				on += " under " + under.AsString()
			}
			out[part] = append(out[part], strings.TrimPrefix(r["role"].AsString(), "roles/")+" on "+on)
		}
		slices.Sort(out[part])
	}
	return out
}

func TestSecurity_tableOfRightsIsWhatTerraformGrants(t *testing.T) {
	doc, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string][]string{}
	for line := range strings.Lines(string(doc)) {
		cells := strings.Split(line, "|")
		if len(cells) != 4 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		part := strings.Trim(strings.TrimSpace(cells[1]), "`")
		told[part] = []string{}
		for _, r := range strings.Split(cells[2], ";") {
			if r = strings.TrimSpace(r); r != "nothing of its own" {
				told[part] = append(told[part], strings.ReplaceAll(r, "`", ""))
			}
		}
		slices.Sort(told[part])
	}
	if d := cmp.Diff(rights(t), told); d != "" {
		t.Errorf("rights that Terraform grants (-) and docs/security.md tells (+):\n%s", d)
	}
}

func TestAlerts_eachHasItsPlaybook(t *testing.T) {
	text, err := os.ReadFile("monitoring/alerts.tf")
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	for _, name := range alertNames(t) {
		declared = append(declared, name+".md")
	}
	slices.Sort(declared)
	files, err := filepath.Glob("../docs/playbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var written []string
	for _, f := range files {
		written = append(written, filepath.Base(f))
	}
	if d := cmp.Diff(declared, written); d != "" {
		t.Errorf("alerts (-) and playbooks (+):\n%s", d)
	}
	if !strings.Contains(string(text), `jsonPayload.outcome=\"`+string(drift.Drifted)+`\"`) {
		t.Errorf("the alert on drift does not look for the outcome %q, which the function writes", drift.Drifted)
	}
}
