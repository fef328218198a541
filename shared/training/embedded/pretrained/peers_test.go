//go:build peers

package pretrained_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	ultralytics "github.com/litterloop/litterloop/models/ultralytics"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/training/embedded/pretrained"
	"github.com/litterloop/litterloop/shared/venv"
)

// ofUltralytics writes nets of random weights as Ultralytics itself exports
// them, and one more in half precision.
const ofUltralytics = `
import shutil, sys, onnx, torch
from onnx import TensorProto, numpy_helper
from ultralytics import YOLO
torch.manual_seed(0)
for name in ["yolov8n", "yolov8s", "yolo11n", "yolo11s", "yolo12n", "yolo12s", "yolo26n", "yolo26s"]:
    for kind, options in {"static": {"simplify": True}, "dynamic": {"dynamic": True, "simplify": False}, "nms": {"nms": True, "simplify": False}}.items():
        if name.startswith("yolo26") and kind == "nms":
            continue  # it has no suppression to put inside
        m = YOLO(name + ".yaml")
        for layer in m.model.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.1)
                layer.running_var.uniform_(0.5, 1.5)
        shutil.move(m.export(format="onnx", imgsz=320, **options), f"{sys.argv[1]}/{name}_{kind}.onnx")
half = onnx.load(sys.argv[1] + "/yolo11n_static.onnx")
for t in half.graph.initializer:
    if t.data_type == TensorProto.FLOAT:
        t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(t).astype("float16"), t.name))
for v in [*half.graph.input, *half.graph.output]:
    v.type.tensor_type.elem_type = TensorProto.FLOAT16
onnx.save(half, sys.argv[1] + "/yolo11n_half.onnx")
`

// ofYOLOX writes nets of random weights as YOLOX's own tools/export_onnx.py does;
// its authors publish nano to x in this form.
const ofYOLOX = `
import sys
sys.path.insert(0, sys.argv[2])
import torch
from torch import nn
from yolox.models import YOLOX, YOLOPAFPN, YOLOXHead
from yolox.models.network_blocks import SiLU
from yolox.utils import replace_module
torch.manual_seed(0)
for name, depth, width, side, decoded in [("nano", .33, .25, 416, False), ("tiny", .33, .375, 416, False), ("tiny-decoded", .33, .375, 416, True), ("s", .33, .5, 640, False), ("m", .67, .75, 640, False)]:
    lean = name == "nano"
    model = YOLOX(YOLOPAFPN(depth, width, depthwise=lean), YOLOXHead(80, width, depthwise=lean)).eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = 1e-3
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    model = replace_module(model, nn.SiLU, SiLU)
    model.head.decode_in_inference = decoded
    torch.onnx.export(model, torch.randn(1, 3, side, side), f"{sys.argv[1]}/yolox-{name}.onnx", opset_version=11, input_names=["images"], output_names=["output"], dynamo=False)
`

// python is the interpreter with Ultralytics and PyTorch.
func python(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	p, err := venv.Make(t.Context(), filepath.Join(cache, "litterloop"), "ultralytics", ultralytics.Requirements, os.Stderr)
	if err != nil {
		t.Skip("needs Ultralytics:", err)
	}
	return p
}

func execute(t *testing.T, dir string, env []string, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// exported runs a script that writes models into a directory.
func exported(t *testing.T, script string, want int, args ...string) []string {
	t.Helper()
	dir := t.TempDir()
	execute(t, dir, nil, python(t), append([]string{"-c", script, dir}, args...)...)
	files, err := filepath.Glob(filepath.Join(dir, "*.onnx"))
	if err != nil || len(files) != want {
		t.Fatalf("exported %v, %v; want %d", files, err, want)
	}
	return files
}

// checkLearns compares model, head and export, cut at the neck and at the backbone.
func checkLearns(t *testing.T, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := pretrained.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	checkHead(t, m, pretrained.Neck)
	checkHead(t, m, pretrained.Backbone)
}

func TestPeer_everyExportOfUltralyticsCanLearn(t *testing.T) {
	needRuntime(t)
	for _, f := range exported(t, ofUltralytics, 23) {
		t.Run(filepath.Base(f), func(t *testing.T) {
			if !strings.HasSuffix(f, "_half.onnx") {
				checkLearns(t, f)
				return
			}
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			_, err = pretrained.Open(data)
			if code, _ := errs.Reason(err); code != pretrained.Unsupported || !strings.Contains(err.Error(), "half precision") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestPeer_everySizeOfYOLOXCanLearn(t *testing.T) {
	needRuntime(t)
	p, site := python(t), t.TempDir()
	// Its sources alone: what else it names is for its own training. It is built
	// against the environment's PyTorch, and wheel is what builds it.
	execute(t, site, nil, p, "-m", "pip", "install", "-q", "--no-deps", "--target", site, "wheel==0.46.1", "setuptools==75.8.0", "packaging==25.0", "loguru==0.7.3", "tabulate==0.9.0")
	execute(t, site, []string{"PYTHONPATH=" + site}, p, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", site, "yolox==0.3.0")
	for _, f := range exported(t, ofYOLOX, 5, site) {
		t.Run(filepath.Base(f), func(t *testing.T) { checkLearns(t, f) })
	}
}
