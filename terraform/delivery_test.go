package terraform_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

// pipeline is what is looked at of cloudbuild.yaml.
type pipeline struct {
	Substitutions map[string]string
	Images        []string
	Steps         []struct {
		ID      string
		Dir     string
		Script  string
		Args    []string
		WaitFor []string `yaml:"waitFor"`
	}
}

// tools stand for the programs that the steps start: each says what it was asked
// to do, and answers as the step needs it.
const tools = `#!/bin/sh
echo "$(basename "$0") $*" >>"$ASKED"
case "$(basename "$0") $*" in
*"docker inspect"*) for last; do :; done; part=${last##*/}; echo "registry/${part%:*}@sha256:${part%:*}" ;;
*"terraform output -raw detector_service") printf street ;;
esac
`

// deliver runs the steps of cloudbuild.yaml in order, as Cloud Build would for
// project streets-1, and returns what its programs were asked.
func deliver(t *testing.T, deploy, settings string) (asked []string, err error) {
	t.Helper()
	text, err := os.ReadFile("../cloudbuild.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var p pipeline
	if err := yaml.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	values := map[string]string{"PROJECT_ID": "streets-1", "_REGION": "europe-west1"}
	for name, v := range p.Substitutions {
		values[name] = os.Expand(v, func(key string) string { return values[key] })
	}
	values["_DEPLOY"], values["_RELEASE"], values["_STATE"] = deploy, "v1", "streets-1-terraform"

	workspace, bin := t.TempDir(), t.TempDir()
	log := filepath.Join(bin, "asked")
	for _, name := range []string{"go", "docker", "gcloud", "terraform", "apt-get", "promote"} {
		path := filepath.Join(bin, name)
		if name == "promote" {
			path = filepath.Join(workspace, ".ci", name)
		}
		write(t, path, tools)
	}
	write(t, filepath.Join(workspace, "terraform", "envs", settings), "")
	done := map[string]bool{"-": true}
	for _, s := range p.Steps {
		for _, before := range s.WaitFor {
			if !done[before] {
				t.Fatalf("step %q waits for %q, which is not before it", s.ID, before)
			}
		}
		done[s.ID] = true
		if s.Script == "" {
			args := make([]string, len(s.Args))
			for i, a := range s.Args {
				args[i] = os.Expand(a, func(key string) string { return values[key] })
			}
			asked = append(asked, "docker "+strings.Join(args, " "))
			continue
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-c", s.Script)
		cmd.Dir = filepath.Join(workspace, s.Dir)
		cmd.Env = []string{"PATH=" + bin + ":/usr/bin:/bin", "ASKED=" + log}
		for name, v := range values {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return asked, fmt.Errorf("step %q: %w: %s", s.ID, err, out)
		}
	}
	for _, image := range p.Images {
		image = os.Expand(image, func(key string) string { return values[key] })
		if !slices.ContainsFunc(asked, func(a string) bool { return strings.Contains(a, "-t "+image+" ") }) {
			t.Errorf("no step builds %s, which is to be attested", image)
		}
	}
	said, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(said)) {
		asked = append(asked, strings.TrimSpace(line))
	}
	return asked, nil
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestCloudBuild_doesWhatItIsAskedAndNoMore(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("needs a POSIX shell")
	}
	const (
		vet   = "go vet ./..."
		test  = "go test ./..."
		begin = "terraform init -input=false -backend-config=bucket=streets-1-terraform"
		plan  = `terraform plan -input=false -out=tfplan -var-file=envs/streets-1.tfvars -var project=streets-1 -var release=v1 -var delivery_account=true -var ` +
			`images={detector="registry/detector@sha256:detector",trainer="registry/trainer@sha256:trainer",tracking="registry/tracking@sha256:tracking"}`
		apply    = "terraform apply -input=false tfplan"
		tracking = "promote tracking registry/tracking@sha256:tracking /health"
		detector = "promote street registry/detector@sha256:detector /readyz"
	)
	always := []string{
		"docker build -f Dockerfile.inference -t europe-west1-docker.pkg.dev/streets-1/litterloop/detector:v1 .",
		"docker push --quiet europe-west1-docker.pkg.dev/streets-1/litterloop/detector:v1",
		"go run ./cmd/litterloop source --out build/functions.zip",
		"gcloud artifacts sbom export --uri registry/trainer@sha256:trainer",
	}
	for deploy, want := range map[string]map[string]bool{
		"no":    {vet: false, test: false, begin: false, plan: false, apply: false, tracking: false, detector: false},
		"plan":  {vet: true, test: true, begin: true, plan: true, apply: false, tracking: false, detector: false},
		"apply": {vet: true, test: true, begin: true, plan: true, apply: true, tracking: true, detector: true},
	} {
		t.Run(deploy, func(t *testing.T) {
			asked, err := deliver(t, deploy, "streets-1.tfvars")
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]bool{}
			for call := range maps.Keys(want) {
				got[call] = slices.Contains(asked, call)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s\nasked:\n%s", d, strings.Join(asked, "\n"))
			}
			for _, call := range always {
				if !slices.Contains(asked, call) {
					t.Errorf("not done: %s", call)
				}
			}
			if i, j := slices.Index(asked, apply), slices.Index(asked, detector); j >= 0 && j < i {
				t.Error("a revision is promoted before what it needs is applied")
			}
		})
	}
}

func TestCloudBuild_appliesNoOtherSettingsThanThoseThatAreCommitted(t *testing.T) {
	_, err := deliver(t, "apply", "another.tfvars")
	if err == nil || !strings.Contains(err.Error(), "envs/streets-1.tfvars") || !strings.Contains(err.Error(), "commit") {
		t.Errorf("without the settings of the project: %v", err)
	}
}
