// Package library finds the shared library of ONNX Runtime, or fetches it once
// through pip or npm, whichever the machine has. It links no C, so a command
// can look for the library without needing it.
package library

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/litterloop/litterloop/shared/errs"
)

// Version is the release of ONNX Runtime that the project is tested with.
const Version = "1.32.0"

// Env names the environment variable that holds a path to the library and goes
// before every other place.
const Env = "LITTERLOOP_ONNXRUNTIME"

// Mend is the command that makes a machine without the library one with it.
const Mend = "litterloop doctor --fix"

// Library is a shared library on disk.
type Library struct {
	Path string
	From string // "environment", "system", "cache" or "fetched"
}

// Options say where to look; the zero value looks in the usual places.
type Options struct {
	Getenv func(string) string // os.Getenv
	Cache  string              // directory; os.UserCacheDir()/litterloop/onnxruntime
	System []string            // files or globs; where distributions put libraries
}

func (o Options) withDefaults() (Options, error) {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return o, fmt.Errorf("find a cache directory for ONNX Runtime (set %s to the library instead): %w", Env, err)
		}
		o.Cache = filepath.Join(dir, "litterloop", "onnxruntime")
	}
	if o.System == nil {
		o.System = systemPlaces()
	}
	return o, nil
}

// Find looks in the environment, the system and the cache, in this order, and
// fetches nothing. Its error wraps errs.NotFound where there is no library, and
// says which command mends that.
func Find(ctx context.Context, o Options) (Library, error) {
	o, err := o.withDefaults()
	if err != nil {
		return Library{}, err
	}
	if path := o.Getenv(Env); path != "" {
		if _, err := os.Stat(path); err != nil {
			return Library{}, fmt.Errorf("%s names no file (%w): set it to libonnxruntime.so %s, or unset it and run `%s`", Env, err, Version, Mend)
		}
		return Library{Path: path, From: "environment"}, nil
	}
	for _, s := range sources() {
		path := filepath.Join(o.Cache, s.file())
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if err := verify(path, s.sha256); err != nil {
			return Library{}, fmt.Errorf("the cached ONNX Runtime is damaged (%w): remove it and run `%s`", err, Mend)
		}
		return Library{Path: path, From: "cache"}, nil
	}
	if path := findSystem(ctx, o.System); path != "" {
		return Library{Path: path, From: "system"}, nil
	}
	return Library{}, fmt.Errorf("ONNX Runtime %s is on neither the system nor in %s: run `%s`, or set %s to the library: %w", Version, o.Cache, Mend, Env, errs.NotFound)
}

// findSystem returns the first library of the pinned version's minor release
// that the loader's cache or the usual directories hold. The name carries the
// version; a bare libonnxruntime.so of unknown age is passed over.
func findSystem(ctx context.Context, places []string) string {
	for _, place := range places {
		matches, _ := filepath.Glob(place) // the only error is a bad pattern
		if len(matches) > 0 {
			return matches[len(matches)-1]
		}
	}
	if runtime.GOOS != "linux" {
		return ""
	}
	out, err := exec.CommandContext(ctx, "ldconfig", "-p").Output()
	if err != nil {
		return "" // no ldconfig (musl, or not in PATH): the usual directories were looked in
	}
	for line := range strings.Lines(string(out)) {
		_, path, ok := strings.Cut(strings.TrimSpace(line), " => ")
		if ok && strings.HasPrefix(filepath.Base(path), "libonnxruntime.so") {
			if real, err := filepath.EvalSymlinks(path); err == nil && strings.HasSuffix(real, ".so."+Version) {
				return real
			}
		}
	}
	return ""
}

func systemPlaces() []string {
	if runtime.GOOS == "darwin" {
		return []string{"/opt/homebrew/lib/libonnxruntime." + Version + ".dylib", "/usr/local/lib/libonnxruntime." + Version + ".dylib"}
	}
	name := "libonnxruntime.so." + Version
	return []string{"/usr/local/lib/" + name, "/usr/lib/" + name, "/usr/lib/*/" + name, "/opt/onnxruntime/lib/" + name}
}

// verify compares a file's SHA-256.
func verify(path, want string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("%s has SHA-256 %s, not %s", path, got, want)
	}
	return nil
}
