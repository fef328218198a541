package litterloop

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/litterloop/litterloop"

// adapters speak to a cloud, and are given the clients that they speak through.
var adapters = []string{"shared/blob/blobgcs", "shared/bus/buspubsub", "shared/rollout/cloudrun", "shared/job/cloudrun", "shared/job/vertex", "shared/cloudmonitoring"}

// builders make those clients; the local cloud serves the same protocols.
var builders = []string{"shared/setup", "cmd/", "localcloud"}

// sdks are Google Cloud's client libraries.
var sdks = []string{"cloud.google.com/go/", "google.golang.org/api/"}

// testkits are packages of conformance suites and their oracles.
var testkits = []string{"shared/blob/blobtest", "shared/browsertest", "shared/bus/bustest"}

// imports are what each package of the build imports, tests left out.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	all := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		all[fields[0]] = fields[1:]
	}
	return all
}

// reach is all that a package imports, at whatever distance.
func reach(all map[string][]string, from string, seen map[string]bool) map[string]bool {
	for _, p := range all[from] {
		if !seen[p] {
			seen[p] = true
			reach(all, p, seen)
		}
	}
	return seen
}

func TestImports(t *testing.T) {
	all := imports(t)
	if len(all[module]) == 0 {
		t.Fatal("go list did not tell of this package")
	}
	under := func(p string, prefixes []string) bool {
		return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(p, prefix) })
	}
	for p, direct := range all {
		own, ours := strings.CutPrefix(p, module+"/")
		if !ours || under(own, testkits) {
			continue
		}
		everything := reach(all, p, map[string]bool{})
		clouds := under(own, adapters) || under(own, builders)
		for d := range everything {
			local, _ := strings.CutPrefix(d, module+"/")
			switch {
			case strings.HasPrefix(own, "functions/") && strings.HasPrefix(local, "functions/"):
				t.Errorf("%s reaches the function %s: functions meet on the bus alone", own, local)
			case !clouds && under(local, adapters):
				t.Errorf("%s reaches the adapter %s: take the port, and let shared/setup choose", own, local)
			case !clouds && under(d, sdks):
				t.Errorf("%s reaches the cloud's client %s", own, d)
			}
		}
		for _, d := range direct {
			local, _ := strings.CutPrefix(d, module+"/")
			if under(own, adapters) && under(local, builders) {
				t.Errorf("the adapter %s imports %s, which gives it its clients", own, local)
			}
		}
	}
	for d := range reach(all, module, map[string]bool{}) {
		if strings.Contains(d, "onnxruntime_go") || strings.HasPrefix(d, module+"/cmd/") || strings.HasPrefix(d, module+"/localcloud") {
			t.Errorf("the functions reach %s: they must build without C, and without what runs them", d)
		}
	}
}
