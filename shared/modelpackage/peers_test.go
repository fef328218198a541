//go:build peers

package modelpackage_test

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/modelpackage"
)

// shared is where recorded answers of Ultralytics lie on a development machine.
const shared = "../../../shared/data"

// python returns the interpreter of an environment that has what the package's
// own requirements.txt asks for, made in the user's cache when missing.
func python(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	env := filepath.Join(cache, "litterloop", "peers-mlflow")
	interpreter := filepath.Join(env, "bin", "python")
	if exec.Command(interpreter, "-c", "import mlflow.pyfunc, onnx, onnxruntime, pandas, PIL").Run() == nil {
		return interpreter
	}
	for _, args := range [][]string{
		{"python3", "-m", "venv", env},
		{interpreter, "-m", "pip", "install", "--quiet", "mlflow-skinny", "onnx", "onnxruntime", "pandas", "pillow"},
	} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	return interpreter
}

// download copies a package to a directory, as mlflow does.
func download(t *testing.T, b blob.Bucket) string {
	t.Helper()
	dir := t.TempDir()
	for a, err := range b.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		data, _, err := blob.ReadAll(t.Context(), b, a.Name)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(a.Name, prefix)))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// mlflow.pyfunc.load_model takes raw photos in every form and answers what
// Ultralytics' own predict answered for the same model and photos.
func TestPyfunc_equalsUltralytics(t *testing.T) {
	parity := filepath.Join(shared, "parity")
	model, err := os.ReadFile(filepath.Join(parity, "yolo11n_dynamic.onnx"))
	if err != nil {
		t.Skip("no recorded answers: ", err)
	}
	text, err := os.ReadFile(filepath.Join(parity, "yolo11n_dynamic.json"))
	if err != nil {
		t.Skip("no recorded answers: ", err)
	}
	var reference struct {
		IoU    float64 `json:"iou"`
		MaxDet int     `json:"max_det"`
		Photos map[string]struct {
			Boxes [][6]float64 `json:"0.25"`
		}
	}
	if err := json.Unmarshal(text, &reference); err != nil {
		t.Fatal(err)
	}
	b := blobmem.New("models")
	c := content()
	c.Model = model
	write(t, b, c)

	photos := map[string]string{}
	for name := range reference.Photos {
		photos[name] = filepath.Join(shared, name)
		if _, err := os.Stat(photos[name]); err != nil {
			photos[name] = filepath.Join(shared, "taco_subset", name)
		}
	}
	input, err := json.Marshal(map[string]any{"model": download(t, b), "photos": photos, "iou": reference.IoU, "max_det": reference.MaxDet})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python(t), "testdata/predict.py")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got map[string][]modelpackage.Detection
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range reference.Photos {
		if len(got[name]) != len(want.Boxes) {
			t.Errorf("%s: %d boxes, want %d", name, len(got[name]), len(want.Boxes))
			continue
		}
		for i, w := range want.Boxes {
			g := got[name][i]
			off := math.Abs(g.Confidence - w[4])
			for k := range g.Box {
				off = max(off, math.Abs(g.Box[k]-w[k])/100) // 0.01 px and 1e-4
			}
			if off > 1e-4 || g.ClassID != int(w[5]) {
				t.Errorf("%s, box %d: %+v, want %v", name, i, g, w)
			}
		}
	}
}
