package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/litterloop/litterloop/cmd/litterloop/local"
	"github.com/litterloop/litterloop/localcloud/iam"
	"github.com/litterloop/litterloop/shared/bus"
)

// provider asks the control plane as Terraform's provider does.
type provider struct {
	t    *testing.T
	base string
}

func (p provider) call(method, path string, body any) map[string]any {
	p.t.Helper()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			p.t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.base+path, bytes.NewReader(text))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer local")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	var result map[string]any
	if len(answer) > 0 {
		err = json.Unmarshal(answer, &result)
	}
	if err != nil || resp.StatusCode > 299 {
		p.t.Fatalf("%s %s: %s %s", method, path, resp.Status, answer)
	}
	return result
}

const (
	inProject  = "projects/local/"
	inRegion   = inProject + "locations/europe-west1/"
	repository = inRegion + "repositories/litterloop"
	images     = "europe-west1-docker.pkg.dev/local/litterloop/"
	projectNo  = "123456789012"
)

func email(part string) string { return "litterloop-" + part + "@local.iam.gserviceaccount.com" }

// grant is a right that Terraform gives.
type grant struct {
	name     string // as terraform/access.tf or a module has it
	resource string // as IAM names it
	binding  iam.Binding
}

// on is the resource that a row of the table of rights is about.
func on(to, of string) string {
	switch to {
	case "bucket":
		return "projects/_/buckets/local-" + of
	case "topic":
		return inProject + "topics/" + of
	case "job":
		return inRegion + "jobs/" + of
	case "service":
		return inRegion + "services/" + strings.Replace(of, "detector", "litter", 1)
	case "account":
		return inProject + "serviceAccounts/" + email(of)
	case "repository":
		return inRegion + "repositories/" + of
	}
	return "projects/local"
}

// tableOfRights are the grants of terraform/access.tf, without those of the larger
// trainer, of Vertex AI and of delivery, which are not declared here.
func tableOfRights(t *testing.T) []grant {
	t.Helper()
	const file = "../../terraform/access.tf"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, diags := hclsyntax.ParseConfig(text, file, hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	var all []grant
	for _, b := range f.Body.(*hclsyntax.Body).Blocks {
		if b.Type != "locals" || b.Body.Attributes["rights"] == nil {
			continue
		}
		rights, diags := b.Body.Attributes["rights"].Expr.Value(nil)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		for part, list := range rights.AsValueMap() {
			if part == "delivery" {
				continue
			}
			for _, right := range list.AsValueSlice() {
				all = append(all, granted(part, right.AsValueMap()))
			}
		}
	}
	all = slices.DeleteFunc(all, func(g grant) bool { // granted only where the settings want more machines
		return strings.HasSuffix(g.resource, "-ultralytics") || g.binding.Role == "roles/aiplatform.user" || g.resource == on("account", "trainer")
	})
	if len(all) < 50 {
		t.Fatalf("%d grants in %s", len(all), file)
	}
	return all
}

func granted(part string, right map[string]cty.Value) grant {
	role, to, of := right["role"].AsString(), right["to"].AsString(), right["of"].AsString()
	g := grant{strings.TrimSpace(part + " " + role + " " + to + " " + of), on(to, of), iam.Binding{Role: role, Members: []string{iam.Account(email(part))}}}
	if under, ok := right["under"]; ok {
		g.name += " under " + under.AsString()
		name := g.resource + "/objects/" + under.AsString()
		if to == "project" {
			name = "projects/_/buckets/" + under.AsString()
		}
		g.binding.Condition = &iam.Condition{Title: "Under " + under.AsString(), Expression: fmt.Sprintf("resource.name.startsWith(%q)", name)}
	}
	return g
}

// wakes are the functions with the subscriptions that wake them, by their topics,
// and who signs.
var wakes = []struct {
	function, signs string
	topics          []string
}{
	{"convert", "push-convert", []string{bus.IncomingObjects}},
	{"validate", "push-validate", []string{bus.DatasetObjects}},
	{"train", "push-train", []string{bus.Train, bus.Retrain}},
	{"register", "push-register", []string{bus.Register}},
	{"deploy", "push-deploy", []string{bus.Deploy}},
	{"drift", "scheduler", nil},
}

// moduleGrants are those that the modules and the topics give.
func moduleGrants() []grant {
	var all []grant
	add := func(what, resource, role, member string) {
		all = append(all, grant{what, resource, iam.Binding{Role: role, Members: []string{member}}})
	}
	for _, topic := range []string{bus.IncomingObjects, bus.DatasetObjects} {
		add("storage notifications "+topic, on("topic", topic), "roles/pubsub.publisher", iam.StorageAgent(projectNo))
	}
	add("dead letters topic", on("topic", bus.DeadLetters), "roles/pubsub.publisher", iam.PubSubAgent(projectNo))
	add("scheduler invokes train", on("service", "train"), "roles/run.invoker", iam.Account(email("scheduler")))
	for _, w := range wakes {
		add(w.signs+" invokes "+w.function, on("service", w.function), "roles/run.invoker", iam.Account(email(w.signs)))
		for _, topic := range w.topics {
			add("dead letters of "+subscription(topic), inProject+"subscriptions/"+subscription(topic), "roles/pubsub.subscriber", iam.PubSubAgent(projectNo))
		}
	}
	return all
}

// subscription is the name of a topic's.
func subscription(topic string) string {
	return strings.NewReplacer(bus.IncomingObjects, "convert", bus.DatasetObjects, "validate").Replace(topic)
}

// policyPath is where the control plane takes a resource's policy.
func policyPath(resource string) (method, path string) {
	if bucket, ok := strings.CutPrefix(resource, "projects/_/buckets/"); ok {
		return "PUT", "/storage/v1/b/" + bucket + "/iam"
	}
	api := "/run/v2/"
	switch {
	case resource == "projects/local":
		api = "/cloudresourcemanager/v1/"
	case strings.Contains(resource, "/topics/"), strings.Contains(resource, "/subscriptions/"):
		api = "/pubsub/v1/"
	case strings.Contains(resource, "/serviceAccounts/"):
		api = "/iam/v1/"
	case strings.Contains(resource, "/repositories/"):
		api = "/artifactregistry/v1/"
	}
	return "POST", api + resource + ":setIamPolicy"
}

// bindings are the grants of each resource.
func bindings(grants []grant) map[string][]iam.Binding {
	all := map[string][]iam.Binding{}
	for _, g := range grants {
		all[g.resource] = append(all[g.resource], g.binding)
	}
	return all
}

// grant sets the policies of all resources.
func (p provider) grant(grants []grant) {
	p.t.Helper()
	for resource, all := range bindings(grants) {
		method, path := policyPath(resource)
		policy := map[string]any{"bindings": all}
		if method == "POST" {
			policy = map[string]any{"policy": policy}
		}
		p.call(method, path, policy)
	}
}

// declare makes the loop's resources as terraform/ has them.
func (p provider) declare(grants []grant) {
	p.t.Helper()
	environment := map[string]string{
		"GOOGLE_CLOUD_PROJECT": "local", "REGION": "europe-west1", "MODEL": "litter", "TRAINER_JOB": "trainer",
		"DETECTOR_IMAGE": images + "detector:1", "LITTERLOOP_VERSION": "1",
	}
	for _, part := range []string{"incoming", "datasets", "models", "predictions", "ledger", "source"} {
		environment[strings.ToUpper(part)+"_BUCKET"] = "local-" + part
		p.call("POST", "/storage/v1/b?project=local", map[string]any{"name": "local-" + part, "location": "EUROPE-WEST1", "versioning": map[string]bool{"enabled": true}})
	}
	delete(environment, "SOURCE_BUCKET")
	for _, topic := range []string{bus.IncomingObjects, bus.DatasetObjects, bus.Train, bus.Retrain, bus.Register, bus.Deploy, bus.Alerts, bus.DeadLetters} {
		p.call("PUT", "/pubsub/v1/"+on("topic", topic), map[string]any{})
	}
	p.grant(grants)
	for _, n := range [][3]string{{"incoming", bus.IncomingObjects, ""}, {"datasets", bus.DatasetObjects, "versions/"}} {
		p.call("POST", "/storage/v1/b/local-"+n[0]+"/notificationConfigs", map[string]any{"topic": on("topic", n[1]), "payload_format": "JSON_API_V1", "event_types": []string{"OBJECT_FINALIZE"}, "object_name_prefix": n[2]})
	}
	container := func(image string, env map[string]string, args ...string) []any {
		var vars []any
		for _, k := range slices.Sorted(maps.Keys(env)) {
			vars = append(vars, map[string]string{"name": k, "value": env[k]})
		}
		return []any{map[string]any{"image": image, "args": args, "env": vars}}
	}
	p.call("POST", "/run/v2/"+inRegion+"jobs?jobId=trainer", map[string]any{"template": map[string]any{"template": map[string]any{
		"serviceAccount": email("trainer"), "maxRetries": 1, "containers": container(images+"trainer:1", environment)}}})
	p.call("POST", "/run/v2/"+inRegion+"services?serviceId=litter", map[string]any{"template": map[string]any{
		"serviceAccount": email("detector"), "containers": container("us-docker.pkg.dev/cloudrun/container/hello", map[string]string{
			"GOOGLE_CLOUD_PROJECT": "local", "MODELS_BUCKET": "local-models", "PREDICTION_LOG": "gs://local-predictions", "PHOTO_BUCKETS": "-"})}})
	p.call("POST", "/run/v2/"+inRegion+"services?serviceId=tracking", map[string]any{"template": map[string]any{
		"serviceAccount": email("tracking"), "containers": container(images+"tracking:1", environment, "--bucket=local-models")}})
	for _, w := range wakes {
		functions := "/cloudfunctions/v2/" + inRegion + "functions"
		p.call("POST", functions+"?functionId="+w.function, map[string]any{
			"buildConfig":   map[string]any{"entryPoint": w.function, "runtime": "go126", "source": map[string]any{"storageSource": map[string]string{"bucket": "local-source", "object": "functions.zip"}}},
			"serviceConfig": map[string]any{"environmentVariables": environment, "serviceAccountEmail": email(w.function)},
		})
		config, _ := p.call("GET", functions+"/"+w.function, nil)["serviceConfig"].(map[string]any)
		token := map[string]any{"serviceAccountEmail": email(w.signs), "audience": config["uri"]}
		for job, function := range local.Schedules {
			if function != w.function {
				continue
			}
			token := map[string]any{"serviceAccountEmail": email("scheduler"), "audience": config["uri"]}
			p.call("POST", "/cloudscheduler/v1/"+inRegion+"jobs", map[string]any{"name": inRegion + "jobs/" + job, "schedule": "0 4 1 1 *",
				"httpTarget": map[string]any{"uri": config["uri"], "httpMethod": "POST", "oidcToken": token}, "attemptDeadline": "180s"})
		}
		for _, topic := range w.topics {
			p.call("PUT", "/pubsub/v1/"+inProject+"subscriptions/"+subscription(topic), map[string]any{
				"topic": on("topic", topic), "ackDeadlineSeconds": 600, "expirationPolicy": map[string]any{},
				"pushConfig":       map[string]any{"pushEndpoint": config["uri"], "oidcToken": token},
				"retryPolicy":      map[string]string{"minimumBackoff": "0.2s", "maximumBackoff": "5s"},
				"deadLetterPolicy": map[string]any{"deadLetterTopic": on("topic", bus.DeadLetters), "maxDeliveryAttempts": 12},
			})
		}
	}
}
