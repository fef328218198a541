// Package venv makes virtual environments for the Python programs that the
// project runs beside itself: one for each list of requirements, kept in the
// user's cache.
package venv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/litterloop/litterloop/shared/filelock"
)

// complete marks an environment whose packages are all installed.
const complete = ".complete"

// Make returns the Python interpreter of the environment called name, in cache,
// that holds what requirements lists, as pip reads it. The first call installs
// it, with uv where the machine has it and with pip otherwise, and writes what
// they say to progress; processes that call at the same time wait. An install
// that fails or is killed is begun again by the next call.
func Make(ctx context.Context, cache, name string, requirements []byte, progress io.Writer) (python string, err error) {
	sum := sha256.Sum256(requirements)
	dir := filepath.Join(cache, name+"-"+hex.EncodeToString(sum[:6]))
	python = filepath.Join(dir, "bin", "python")
	done := filepath.Join(dir, complete)
	if _, err := os.Stat(done); err == nil {
		return python, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("make Python's environment %s: %w", name, err)
	}
	release, err := filelock.Acquire(ctx, dir+".lock")
	if err != nil {
		return "", fmt.Errorf("make Python's environment %s: %w", name, err)
	}
	defer release()
	if _, err := os.Stat(done); !errors.Is(err, fs.ErrNotExist) {
		return python, err
	}
	if err := install(ctx, dir, python, requirements, progress); err != nil {
		return "", fmt.Errorf("make Python's environment %s: %w", dir, err)
	}
	return python, os.WriteFile(done, nil, 0o644)
}

func install(ctx context.Context, dir, python string, requirements []byte, progress io.Writer) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	list := dir + ".txt"
	if err := os.WriteFile(list, requirements, 0o644); err != nil {
		return err
	}
	defer os.Remove(list)
	commands := [][]string{
		{"python3", "-m", "venv", dir},
		{python, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar=off", "-r", list},
	}
	if uv, err := exec.LookPath("uv"); err == nil {
		commands = [][]string{{uv, "venv", "--no-project", dir}, {uv, "pip", "install", "--python", python, "-r", list}}
	}
	for _, c := range commands {
		cmd := exec.CommandContext(ctx, c[0], c[1:]...)
		cmd.Stdout, cmd.Stderr = progress, progress
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w; Debian has what it needs in python3-venv", cmd, err)
		}
	}
	return nil
}
