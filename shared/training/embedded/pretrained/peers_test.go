//go:build peers

package pretrained_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	ultralytics "github.com/litterloop/litterloop/models/ultralytics"
	"github.com/litterloop/litterloop/shared/training/embedded/pretrained"
	"github.com/litterloop/litterloop/shared/venv"
)

// export writes nets of random weights as Ultralytics itself exports them.
const export = `
import shutil, sys, torch
from ultralytics import YOLO
torch.manual_seed(0)
for name in ["yolov8n", "yolo11n", "yolo12n", "yolo26n"]:
    for kind, options in {"static": {}, "dynamic": {"dynamic": True}, "nms": {"nms": True}}.items():
        if (name, kind) == ("yolo26n", "nms"):
            continue  # it has no suppression to put inside
        m = YOLO(name + ".yaml")
        for layer in m.model.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.1)
                layer.running_var.uniform_(0.5, 1.5)
        shutil.move(m.export(format="onnx", simplify=False, imgsz=320, **options), f"{sys.argv[1]}/{name}_{kind}.onnx")
`

func TestPeer_everyExportOfUltralyticsCanLearn(t *testing.T) {
	needRuntime(t)
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	python, err := venv.Make(t.Context(), filepath.Join(cache, "litterloop"), "ultralytics", ultralytics.Requirements, os.Stderr)
	if err != nil {
		t.Skip("needs Ultralytics:", err)
	}
	dir := t.TempDir()
	script := filepath.Join(dir, "export.py")
	if err := os.WriteFile(script, []byte(export), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, script, dir)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.onnx"))
	if len(files) != 11 {
		t.Fatalf("exported %v", files)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			m, err := pretrained.Open(data)
			if err != nil {
				t.Fatal(err)
			}
			checkHead(t, m, pretrained.Neck)
			if base := filepath.Base(f); base[:7] != "yolo26n" { // attention in its neck
				checkHead(t, m, pretrained.Backbone)
			}
		})
	}
}
