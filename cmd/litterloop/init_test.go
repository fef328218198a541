package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/litterloop/litterloop/cmd/litterloop/cloud"
)

func TestInit_writesSettingsOnceAndLeavesPeoplesAlone(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "envs"), os.DirFS("../../terraform/envs")); err != nil {
		t.Fatal(err)
	}
	c := initCmd{Region: "europe-west4", Model: "litter", Environment: "dev", Email: []string{"a@example.com", "b@example.com"}, Github: "acme/streets", Terraform: dir}
	path := filepath.Join(dir, "envs", "streets-1.tfvars")
	if written, err := c.write(path, "streets-1"); err != nil || !written {
		t.Fatalf("%v, %v", written, err)
	}
	tf := cloud.Terraform{Dir: dir, Project: "streets-1"}
	for name, want := range map[string]string{"project": "streets-1", "region": "europe-west4", "github_repository": "acme/streets"} {
		if got, err := tf.Setting(name); err != nil || got != want {
			t.Errorf("%s = %q, %v; want %q", name, got, err, want)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), `alert_emails = ["a@example.com", "b@example.com"]`) || !strings.Contains(string(text), "force_destroy") {
		t.Errorf("%v\n%s", err, text)
	}
	if written, err := c.write(path, "streets-1"); err != nil || written {
		t.Errorf("a second time: %v, %v", written, err)
	}
	if _, err := tf.Setting("nothing"); err == nil {
		t.Error("a setting that is not there was found")
	}
}

func TestUp_namesInitWhereThereAreNoSettings(t *testing.T) {
	g := &globals{Project: "streets-1", stdout: os.Stdout, stderr: os.Stderr}
	err := (&deployFlags{Terraform: t.TempDir(), Yes: true}).deploy(t.Context(), g)
	if err == nil || !strings.Contains(err.Error(), "litterloop init --project streets-1") {
		t.Errorf("%v", err)
	}
}
