//go:build peers

package service

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/litterloop/litterloop/shared/browsertest"
)

// peers are the clients that the service is tried with.
var peers = []string{"tritonclient[http]==2.73.0", "openapi-spec-validator==0.9.0", "requests==2.34.2"}

// python runs a program in a virtual environment that holds the peers and is
// kept for the next time.
func python(t *testing.T, program string, args ...string) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	venv := filepath.Join(cache, "litterloop", "peers-detector")
	bin, stamp := filepath.Join(venv, "bin", "python"), filepath.Join(venv, "installed")
	if done, _ := os.ReadFile(stamp); string(done) != strings.Join(peers, "\n") {
		if out, err := exec.CommandContext(t.Context(), "python3", "-m", "venv", venv).CombinedOutput(); err != nil {
			t.Skipf("no virtual environment: %v\n%s", err, out)
		}
		if out, err := exec.CommandContext(t.Context(), bin, append([]string{"-m", "pip", "install", "-q"}, peers...)...).CombinedOutput(); err != nil {
			t.Skipf("the peers cannot be had: %v\n%s", err, out)
		}
		if err := os.WriteFile(stamp, []byte(strings.Join(peers, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), bin, append([]string{"-c", program}, args...)...).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// Triton's own client speaks with the service as with a Triton server.
func TestPeer_tritonclient(t *testing.T) {
	for _, model := range []string{"dynamic", "half"} {
		s := start(t, func(c *Config, _ *Deps) { c.ModelURI = testdata + model + ".onnx" })
		s.detect(t, "", "image/png", read(t, testdata+"exact.png"))
		python(t, `
import sys
import numpy as np
import tritonclient.http as http
from tritonclient.utils import InferenceServerException
url, name = sys.argv[1:]
c = http.InferenceServerClient(url)
assert c.is_server_live() and c.is_server_ready() and c.is_model_ready(name) and c.is_model_ready(name, "1")
assert not c.is_model_ready("other")
assert "binary_tensor_data" in c.get_server_metadata()["extensions"]
m = c.get_model_metadata(name)
kind = m["inputs"][0]["datatype"]
dtype = {"FP32": np.float32, "FP16": np.float16}[kind]
assert m["inputs"][0]["shape"] == [-1, 3, -1, -1], m
x = np.random.default_rng(0).random((1, 3, 64, 96)).astype(dtype)
answers = []
for to, back in [(True, True), (False, True), (True, False), (False, False)]:
    if kind == "FP16" and not to:
        continue  # the client itself refuses FP16 in JSON
    i = http.InferInput("images", x.shape, kind)
    i.set_data_from_numpy(x, binary_data=to)
    r = c.infer(name, [i], outputs=[http.InferRequestedOutput("output0", binary_data=back)], request_id="7")
    assert r.get_response()["id"] == "7" and r.get_response()["model_name"] == name
    answers.append(r.as_numpy("output0"))
    assert answers[-1].shape == (1, 11, 96) and answers[-1].dtype == dtype, answers[-1]
assert all(np.array_equal(a, answers[0]) for a in answers)
r = c.infer(name, [i])  # all outputs, in binary
assert np.array_equal(r.as_numpy("output0"), answers[0])
futures = [c.async_infer(name, [i]) for _ in range(4)]
assert all(np.array_equal(f.get_result().as_numpy("output0"), answers[0]) for f in futures)
for broken, says in [(dict(model_name="other"), "is served here"), (dict(model_version="9"), "version"), (dict(request_compression_algorithm="gzip"), "Content-Encoding")]:
    try:
        c.infer(**{"model_name": name, "inputs": [i], **broken})
        raise SystemExit(f"{broken} was answered")
    except InferenceServerException as e:
        assert says in e.message(), e
print(name, kind, "as Triton")
`, strings.TrimPrefix(s.url, "http://"), model)
	}
}

// The OpenAPI document is valid.
func TestPeer_openAPI(t *testing.T) {
	s := start(t, nil)
	python(t, `
import json, sys, urllib.request
from openapi_spec_validator import OpenAPIV31SpecValidator
spec = json.load(urllib.request.urlopen(sys.argv[1] + "/openapi.json"))
faults = list(OpenAPIV31SpecValidator(spec).iter_errors())
for f in faults:
    print(list(f.absolute_path), f.message[:300])
sys.exit(bool(faults))
`, s.url)
}

// The documentation loads nothing from elsewhere and shows every operation.
func TestPeer_docsInABrowser(t *testing.T) {
	s := start(t, nil)
	b := browsertest.Open(t, s.url+"/docs")
	b.Until(`document.querySelector("rapi-doc")?.shadowRoot?.textContent.includes("Open Inference Protocol")`)
	text := b.Eval(`document.querySelector("rapi-doc").shadowRoot.textContent`)
	for _, want := range []string{"Find objects on photos", "Serve another model", "Correct a prediction", "Vertex AI"} {
		if !strings.Contains(text, want) {
			t.Errorf("the documentation does not tell of %q", want)
		}
	}
	b.Picture("docs")
}

// The Python that the documentation shows finds what there is.
func TestPeer_documentedPython(t *testing.T) {
	dir, programs := documented(t, "(?s)```python\n(.*?)```", start(t, nil))
	for _, program := range programs {
		python(t, fmt.Sprintf("import os\nos.chdir(%q)\n%s\nassert answer[\"detections\"], answer\n", dir, program))
	}
}
