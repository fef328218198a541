package service

import (
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func none(string) string { return "" }

func TestFromFlags_goBeforeTheEnvironment(t *testing.T) {
	env := map[string]string{"MODEL_URI": "old.onnx", "WORKERS": "3", "PORT": "9000"}
	c, err := FromFlags([]string{"--model-uri", "new.onnx", "-port=9001", "--request-timeout=5s"}, func(k string) string { return env[k] })
	if err != nil || c.ModelURI != "new.onnx" || c.Workers != 3 || c.Addr != ":9001" || c.Timeout != 5*time.Second {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestFromFlags_reportsEveryFaultAtOnce(t *testing.T) {
	env := map[string]string{"MAX_BODY_MB": "0", "ADMIN_TOKEN": "short secret"}
	_, err := FromFlags([]string{"--workers=-1", "--wrokers", "5", "--photo-hosts=10.0.0.1,localhost", "--model-refresh=1m", "--model-uri=m.onnx", "--port"}, func(k string) string { return env[k] })
	if err == nil {
		t.Fatal("nothing is wrong")
	}
	for _, want := range []string{`--workers="-1"`, "-wrokers", `"5"`, `--photo-hosts: "10.0.0.1"`, `"localhost"`, "--model-refresh watches", "MAX_BODY_MB", "ADMIN_TOKEN", "-port"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Error("the error tells the token")
	}
}

func TestFromFlags_help(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"-h"}, {"--port", "80", "-help"}} {
		if _, err := FromFlags(args, none); !errors.Is(err, flag.ErrHelp) {
			t.Errorf("%v: %v", args, err)
		}
	}
	for _, s := range Settings() {
		if !strings.Contains(Help(), "--"+s.Flag()+", "+s.Name) && s.Flag() != "" || !strings.Contains(Help(), s.Help) {
			t.Errorf("the help does not tell of %s", s.Name)
		}
	}
}

// What the environment is asked for, the help and the documentation name, and
// nothing else.
func TestSettings_areThoseThatAreRead(t *testing.T) {
	asked := map[string]bool{}
	readConfig(func(k string) string { asked[k] = true; return "" }, nil)
	doc, err := os.ReadFile("../../../docs/detector.md")
	if err != nil {
		t.Fatal(err)
	}
	// A platform sets these, not a person.
	platform := []string{"AIP_STORAGE_URI", "AIP_PREDICT_ROUTE", "AIP_HEALTH_ROUTE", "AIP_HTTP_PORT", "K_SERVICE", "K_REVISION", "GOOGLE_CLOUD_PROJECT"}
	for _, s := range Settings() {
		if !asked[s.Name] {
			t.Errorf("%s is a setting that nothing reads", s.Name)
		}
		delete(asked, s.Name)
		if !strings.Contains(string(doc), "`"+s.Name+"`") {
			t.Errorf("docs/detector.md does not tell of %s", s.Name)
		}
	}
	for name := range asked {
		if !slices.Contains(platform, name) {
			t.Errorf("%s is read, and no setting", name)
		}
	}
}

func TestSettings_defaultsAreTrue(t *testing.T) {
	env := map[string]string{"MODEL_URI": "m.onnx"}
	want, err := FromEnv(func(k string) string { return env[k] })
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range Settings() {
		if s.Default != "" && !strings.ContainsAny(s.Default, " $") && !slices.Contains([]string{"never", "none", "memory"}, s.Default) {
			env[s.Name] = s.Default
		}
	}
	got, err := FromEnv(func(k string) string { return env[k] })
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v (-nothing set +defaults set):\n%s", err, d)
	}
}
