package controlplane

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/localcloud/iam"
)

// TestDocuments_declaring is the process that dies in the next test.
func TestDocuments_declaring(t *testing.T) {
	dir := os.Getenv("DOCUMENTS_DIR")
	if dir == "" {
		t.Skip("started by TestDocuments_surviveKill")
	}
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		if _, err := d.update("policies/storage/v1/b/b", func(document) (document, error) {
			return document{"bindings": []any{document{"role": "roles/storage.objectViewer", "members": []any{fmt.Sprint(n)}}}}, nil
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.update(fmt.Sprint("projects/p/topics/", n), func(document) (document, error) {
			return document{"n": fmt.Sprint(n), "long": strings.Repeat("x", 8<<10)}, nil
		}); err != nil {
			t.Fatal(err)
		}
		fmt.Println("declared", n)
	}
}

// What was answered before kill -9 is there afterwards, whole, and nothing that
// was being written bars the next start.
func TestDocuments_surviveKill(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	declared := 0
	for round := range 3 {
		c := exec.CommandContext(t.Context(), self, "-test.run=^TestDocuments_declaring$")
		c.Env = append(os.Environ(), "DOCUMENTS_DIR="+dir)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		last := -1
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if _, err := fmt.Sscanf(lines.Text(), "declared %d", &last); err == nil && last >= 20+round*7 {
				if err := c.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = c.Wait() // killed
		declared = max(declared, last)
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		for n := range declared + 1 {
			if doc, ok := d.get(fmt.Sprint("projects/p/topics/", n)); !ok || doc["n"] != fmt.Sprint(n) {
				t.Fatalf("after round %d: what was declared as %d is %v", round, n, doc)
			}
		}
		policy := d.Policy("projects/_/buckets/b")
		if len(policy) != 1 {
			t.Fatalf("after round %d: the policy is %v", round, policy)
		}
	}
	if declared < 20 {
		t.Fatalf("killed before anything was declared: %d", declared)
	}
}

func TestPathOf_isWhereTerraformSetsPolicies(t *testing.T) {
	got := map[string]string{}
	want := map[string]string{
		"projects/p":                                 "cloudresourcemanager/v1/projects/p",
		"projects/_/buckets/b":                       "storage/v1/b/b",
		"projects/p/topics/t":                        "pubsub/v1/projects/p/topics/t",
		"projects/p/subscriptions/s":                 "pubsub/v1/projects/p/subscriptions/s",
		"projects/p/serviceAccounts/a@b":             "iam/v1/projects/p/serviceAccounts/a@b",
		"projects/p/locations/l/services/s":          "run/v2/projects/p/locations/l/services/s",
		"projects/p/locations/l/jobs/j":              "run/v2/projects/p/locations/l/jobs/j",
		"projects/p/locations/l/repositories/images": "artifactregistry/v1/projects/p/locations/l/repositories/images",
	}
	for resource := range want {
		got[resource] = pathOf(resource)
		if back := resourceOf(pathOf(resource)); back != resource {
			t.Errorf("%s comes back as %s", resource, back)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("paths (-want +got):\n%s", d)
	}
	var _ []iam.Binding = (&Documents{}).Policy("projects/p") // none, and no panic
}
