// Package terraform_test holds the declared cloud and the programs together: what
// the code looks for by name is what is declared, and nothing else is.
package terraform_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/litterloop/litterloop"
	"github.com/litterloop/litterloop/cmd/litterloop/local"
	"github.com/litterloop/litterloop/shared/detector/service"
	"github.com/litterloop/litterloop/shared/setup"
)

const project = "streets-1"

// environment are the variables that a reader of the environment asks for.
func environment(read func(getenv func(string) string)) []string {
	asked := map[string]bool{}
	read(func(key string) string { asked[key] = true; return "" })
	return slices.Sorted(maps.Keys(asked))
}

// launching are the functions that start trainings.
var launching = []string{"train", "register"}

func TestFunctions_eachHasItsFileAndItsOwnAccount(t *testing.T) {
	r := read(t)
	var declared []string
	for file, blocks := range r.modules {
		for name, m := range blocks {
			if m.text(t, "source") != "./modules/event-function" {
				continue
			}
			declared = append(declared, name)
			if file != name+".tf" || m.text(t, "name") != name {
				t.Errorf("%s declares function %q as %q: a function stands in the file of its name", file, name, m.text(t, "name"))
			}
			if got, want := m.source(t, "service_account"), `google_service_account.part["`+name+`"].email`; got != want {
				t.Errorf("%s: service_account = %s, want %s", file, got, want)
			}
			want := "merge(local.environment, local.telemetry)"
			if slices.Contains(launching, name) {
				want = "merge(local.environment, local.telemetry, local.launching)"
			}
			if got := m.source(t, "environment"); got != want {
				t.Errorf("%s: environment = %s, want %s", file, got, want)
			}
		}
	}
	var registered []string
	for _, f := range litterloop.Functions {
		registered = append(registered, f.Name)
	}
	if d := cmp.Diff(slices.Sorted(slices.Values(registered)), slices.Sorted(slices.Values(declared))); d != "" {
		t.Errorf("functions of loop.go (-) and of Terraform (+):\n%s", d)
	}
}

func TestSubscriptions_areThoseOfTheLocalCloud(t *testing.T) {
	r := read(t)
	var declared []local.Subscription
	for _, f := range litterloop.Functions {
		m := r.module(t, f.Name)
		for name, topic := range m.object(t, "triggers") {
			declared = append(declared, local.Subscription{Name: name, Topic: index(t, topic), Function: f.Name})
		}
	}
	byName := func(a, b local.Subscription) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(declared, byName)
	if d := cmp.Diff(slices.SortedFunc(slices.Values(local.Subscriptions), byName), declared); d != "" {
		t.Errorf("subscriptions of the local cloud (-) and of Terraform (+):\n%s", d)
	}
	if d := cmp.Diff(slices.Sorted(slices.Values(local.Pulled)), slices.Sorted(slices.Values(r.strings(t, "read_by_people")))); d != "" {
		t.Errorf("subscriptions that people read, local cloud (-) and Terraform (+):\n%s", d)
	}
}

func TestSchedules_areThoseOfTheLocalCloud(t *testing.T) {
	declared := map[string]string{}
	for name, job := range read(t).resources["google_cloud_scheduler_job"] {
		uri := job.nested(t, "http_target").source(t, "uri")
		declared[name] = strings.TrimSuffix(strings.TrimPrefix(uri, "module."), ".uri")
	}
	if d := cmp.Diff(local.Schedules, declared); d != "" {
		t.Errorf("functions that schedules of the local cloud (-) and of Terraform (+) call:\n%s", d)
	}
}

func TestTopics_areThoseThatCodePublishesTo(t *testing.T) {
	if d := cmp.Diff(constants(t, "../shared/bus/bus.go"), slices.Sorted(slices.Values(read(t).strings(t, "topics")))); d != "" {
		t.Errorf("topics of shared/bus (-) and of Terraform (+):\n%s", d)
	}
}

func TestBuckets_areThoseThatCodeUses(t *testing.T) {
	r := read(t)
	cfg, err := setup.FromEnv(func(key string) string { return map[string]string{"GOOGLE_CLOUD_PROJECT": project}[key] })
	if err != nil {
		t.Fatal(err)
	}
	names := r.value(t, "bucket_names").AsValueMap()
	for part, want := range map[string]string{"incoming": cfg.Incoming, "datasets": cfg.Datasets, "models": cfg.Models, "predictions": cfg.Predictions, "ledger": cfg.Ledger} {
		if got := names[part].AsString(); got != want {
			t.Errorf("bucket %s is %s in Terraform and %s by default in code", part, got, want)
		}
	}
	for part := range names {
		m := r.module(t, part)
		if got := m.source(t, "name"); m.text(t, "source") != "./modules/bucket" || got != "local.bucket_names."+part {
			t.Errorf("module %s is no bucket of its name: %s", part, got)
		}
	}
}

func TestNotifications_wakeWhatTheLocalCloudWakes(t *testing.T) {
	r := read(t)
	cfg, err := setup.FromEnv(func(key string) string { return map[string]string{"GOOGLE_CLOUD_PROJECT": project}[key] })
	if err != nil {
		t.Fatal(err)
	}
	type notification struct{ Bucket, Topic, Prefix string }
	var want, declared []notification
	for _, n := range local.Notifications {
		want = append(want, notification{n.Bucket(cfg), n.Topic, n.Prefix})
	}
	for _, n := range r.resources["google_storage_notification"] {
		part := strings.Split(n.source(t, "bucket"), ".")[1]
		d := notification{Bucket: r.value(t, "bucket_names").AsValueMap()[part].AsString(), Topic: index(t, n.attributes["topic"].Expr)}
		if a := n.attributes["object_name_prefix"]; a != nil {
			d.Prefix = n.text(t, "object_name_prefix")
		}
		declared = append(declared, d)
	}
	byBucket := func(a, b notification) int { return strings.Compare(a.Bucket, b.Bucket) }
	slices.SortFunc(want, byBucket)
	slices.SortFunc(declared, byBucket)
	if d := cmp.Diff(want, declared); d != "" {
		t.Errorf("notifications of the local cloud (-) and of Terraform (+):\n%s", d)
	}
}

func TestEnvironment_isWhatCodeReads(t *testing.T) {
	read := read(t)
	asked := environment(func(getenv func(string) string) { _, _ = setup.FromEnv(getenv) })
	asked = slices.DeleteFunc(asked, func(key string) bool { // the local cloud's own
		return strings.HasSuffix(key, "_EMULATOR_HOST") || key == "GCE_METADATA_HOST"
	})
	var set []string
	for _, local := range []string{"environment", "launching"} {
		for key := range read.local(t, local) {
			set = append(set, key)
		}
	}
	if d := cmp.Diff(asked, slices.Sorted(slices.Values(set))); d != "" {
		t.Errorf("variables that programs read (-) and that Terraform sets (+):\n%s", d)
	}
}

// detectorDefaults are variables of the detector that Terraform leaves alone.
var detectorDefaults = map[string]string{
	"MODEL_URI":     "the deploy function's: it differs in every revision",
	"HOST":          "every interface, in a container",
	"PORT":          "Cloud Run's own",
	"K_SERVICE":     "Cloud Run's own",
	"K_REVISION":    "Cloud Run's own",
	"ADMIN_TOKEN":   "changing the model by hand would go around the rollout",
	"MODEL_REFRESH": "a revision serves one version",
	"PHOTO_HOSTS":   "nothing is fetched on a caller's behalf",
	"AIP_":          "Vertex AI's own",
	"WORKERS":       "as many as there are processors",
	"THREADS":       "as many as there are processors",
	"EXECUTION_":    "processors; a GPU is another image",
	"MAX_":          "people tune it in litterloop.yaml, under detector",
	"REQUEST_":      "people tune it in litterloop.yaml, under detector",
	"PREDICTION_":   "people tune it in litterloop.yaml, under detector",
}

func TestDetector_environmentIsSetOrLeftForAReason(t *testing.T) {
	r := read(t)
	if got := r.module(t, "detector").source(t, "environment"); got != "local.detector_environment" {
		t.Errorf("the first revision's environment is %s", got)
	}
	set := r.local(t, "detector_environment")
	asked := environment(func(getenv func(string) string) { _, _ = service.FromEnv(getenv) })
	for _, key := range asked {
		_, ours := set[key]
		_, theirs := detectorDefaults[key]
		if prefix, _, ok := strings.Cut(key, "_"); ok && !theirs {
			_, theirs = detectorDefaults[prefix+"_"]
		}
		if !ours && !theirs {
			t.Errorf("the detector reads %s, which Terraform does not set and nobody gave a reason for", key)
		}
	}
	for key := range set {
		if !slices.Contains(asked, key) {
			t.Errorf("Terraform sets %s, which the detector does not read", key)
		}
	}
}

func TestSettings_nameDeclaredVariables(t *testing.T) {
	declared := read(t).variables
	files, err := filepath.Glob("envs/*.tfvars")
	if err != nil || len(files) == 0 {
		t.Fatalf("no settings: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f, diags := hclsyntax.ParseConfig(text, file, hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		for name := range f.Body.(*hclsyntax.Body).Attributes {
			if !declared[name] {
				t.Errorf("%s sets %s, which is no variable", file, name)
			}
		}
	}
}

func TestImages_haveTheirDockerfiles(t *testing.T) {
	for image, file := range map[string]string{"detector": "Dockerfile.inference", "trainer": "Dockerfile.trainer", "trainer-ultralytics": "models/ultralytics/Dockerfile", "tracking": "Dockerfile.tracking"} {
		if _, err := os.Stat(filepath.Join("..", file)); err != nil {
			t.Errorf("image %s: %v", image, err)
		}
	}
}

// index is the key in the brackets of an expression such as
// google_pubsub_topic.topic["train"].id.
func index(t *testing.T, e hcl.Expression) string {
	t.Helper()
	traversal, diags := hcl.AbsTraversalForExpr(e)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for _, step := range traversal {
		if i, ok := step.(hcl.TraverseIndex); ok {
			return i.Key.AsString()
		}
	}
	t.Fatalf("%s: no index", e.Range())
	return ""
}

// constants are the values of a Go file's string constants, in order.
func constants(t *testing.T, file string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for _, v := range spec.Values {
			if lit, ok := v.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				s, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, s)
			}
		}
		return true
	})
	slices.Sort(out)
	return out
}
