package detectorbench

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed anchors
var anchorFiles embed.FS

// environment is a Python with the anchors' packages and their programs.
type environment struct{ dir string }

// newEnvironment installs the anchors' pinned packages under dir, once: an
// environment that holds them already is used as it is. With Ultralytics come
// several gigabytes of PyTorch.
func newEnvironment(ctx context.Context, dir string, say func(string)) (*environment, error) {
	e := &environment{dir}
	want, err := anchorFiles.ReadFile("anchors/requirements.txt")
	if err != nil {
		return nil, err
	}
	if err := e.programs(); err != nil {
		return nil, err
	}
	installed := filepath.Join(dir, "installed.txt")
	if got, err := os.ReadFile(installed); err == nil && string(got) == string(want) {
		return e, nil
	}
	say("installing Ultralytics, ONNX Runtime and FastAPI into " + dir)
	for _, c := range [][]string{
		{"python3", "-m", "venv", dir},
		{e.python(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", filepath.Join(dir, "anchors", "requirements.txt")},
	} {
		if out, err := exec.CommandContext(ctx, c[0], c[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("install the Python anchors (python3 with venv and a reachable package index are needed; --anchors none does without): %w\n%s", err, strings.TrimSpace(string(out)))
		}
	}
	return e, os.WriteFile(installed, want, 0o644)
}

func (e *environment) python() string { return filepath.Join(e.dir, "bin", "python") }

// programs writes the anchors' sources beside their packages.
func (e *environment) programs() error {
	dir := filepath.Join(e.dir, "anchors")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return fs.WalkDir(anchorFiles, "anchors", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := anchorFiles.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, d.Name()), text, 0o644)
	})
}

// export makes the two models with Ultralytics itself, once.
func (e *environment) export(ctx context.Context, say func(string)) (dynamic, static string, err error) {
	dir := filepath.Join(e.dir, "models")
	dynamic, static = filepath.Join(dir, "dynamic.onnx"), filepath.Join(dir, "static.onnx")
	_, missing1 := os.Stat(dynamic)
	_, missing2 := os.Stat(static)
	if errors.Join(missing1, missing2) == nil {
		return dynamic, static, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", "", err
	}
	say("exporting YOLO11n with random weights")
	cmd := exec.CommandContext(ctx, e.python(), filepath.Join(e.dir, "anchors", "export.py"), dir)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("export the models: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	return dynamic, static, nil
}
