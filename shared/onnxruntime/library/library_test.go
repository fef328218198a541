package library

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/litterloop/litterloop/shared/errs"
)

const content = "pretend to be a library"

func options(t *testing.T) Options {
	return Options{Getenv: func(string) string { return "" }, Cache: t.TempDir(), System: []string{}}
}

// withPip puts a pip on PATH that counts its calls and delivers a wheel whose
// member is content; sum is the hash that the table expects.
func withPip(t *testing.T, sum string) (calls func() int) {
	t.Helper()
	dir := t.TempDir()
	var wheel bytes.Buffer
	z := zip.NewWriter(&wheel)
	w, err := z.Create("onnxruntime/capi/libonnxruntime.so.1")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(w, content)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "wheel"), wheel.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\necho called >>%[1]s/calls\nwhile [ \"$1\" != --dest ]; do shift; done\ncp %[1]s/wheel \"$2/onnxruntime-1-any.whl\"\n", dir)
	if err := os.WriteFile(filepath.Join(dir, "pip3"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	before := known
	t.Cleanup(func() { known = before })
	known = map[string][]source{runtime.GOOS + "/" + runtime.GOARCH: {{"pip", "1", "any", "onnxruntime/capi/libonnxruntime.so.1", sum, 100}}}
	return func() int {
		p, _ := os.ReadFile(filepath.Join(dir, "calls"))
		return strings.Count(string(p), "\n")
	}
}

func sum() string {
	h := sha256.Sum256([]byte(content))
	return hex.EncodeToString(h[:])
}

func TestFind_environmentGoesFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lib.so")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	o := options(t)
	o.Getenv = func(string) string { return path }
	got, err := Find(t.Context(), o)
	if err != nil || got != (Library{Path: path, From: "environment"}) {
		t.Errorf("Find = %+v, %v", got, err)
	}
}

func TestFind_environmentNamesNothing(t *testing.T) {
	o := options(t)
	o.Getenv = func(string) string { return "/no/such/lib.so" }
	if _, err := Find(t.Context(), o); err == nil || errors.Is(err, errs.NotFound) || !strings.Contains(err.Error(), Env) {
		t.Errorf("error = %v, want one that names %s and is no NotFound: Fetch must not hide a wrong setting", err, Env)
	}
}

func TestFind_system(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "libonnxruntime.so."+Version)
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	o := options(t)
	o.System = []string{dir + "/libonnxruntime.so.*"}
	got, err := Find(t.Context(), o)
	if err != nil || got != (Library{Path: path, From: "system"}) {
		t.Errorf("Find = %+v, %v", got, err)
	}
}

func TestFind_nothingSaysWhatMends(t *testing.T) {
	t.Setenv("PATH", "")
	_, err := Find(t.Context(), options(t))
	if !errors.Is(err, errs.NotFound) || !strings.Contains(err.Error(), Mend) {
		t.Errorf("error = %v, want NotFound that names %q", err, Mend)
	}
}

func TestFetch_manyAtOnceDownloadOnce(t *testing.T) {
	calls := withPip(t, sum())
	o := options(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			lib, err := Fetch(t.Context(), o, func(done, total int64) {})
			if err != nil {
				t.Error(err)
				return
			}
			if p, err := os.ReadFile(lib.Path); err != nil || string(p) != content {
				t.Errorf("library holds %q, %v", p, err)
			}
		})
	}
	wg.Wait()
	if calls() != 1 {
		t.Errorf("pip ran %d times, want once", calls())
	}
	if lib, err := Find(t.Context(), o); err != nil || lib.From != "cache" {
		t.Errorf("Find after Fetch = %+v, %v", lib, err)
	}
}

func TestFetch_wrongHashIsRefusedAndLeavesNothing(t *testing.T) {
	withPip(t, strings.Repeat("0", 64))
	o := options(t)
	if _, err := Fetch(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Fatalf("error = %v, want the hash's", err)
	}
	entries, err := os.ReadDir(o.Cache)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != ".lock" {
			t.Errorf("cache still holds %s", e.Name())
		}
	}
}

func TestFetch_damagedCacheIsNotUsed(t *testing.T) {
	withPip(t, sum())
	o := options(t)
	if err := os.WriteFile(filepath.Join(o.Cache, "1-libonnxruntime.so.1"), []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(t.Context(), o); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("error = %v, want it to tell of the damage", err)
	}
}

func TestFetch_noTools(t *testing.T) {
	withPip(t, sum())
	t.Setenv("PATH", "")
	if _, err := Fetch(t.Context(), options(t), nil); err == nil || !strings.Contains(err.Error(), "pip is not installed") {
		t.Errorf("error = %v, want it to say that pip is missing", err)
	}
}

func TestFetch_cancelled(t *testing.T) {
	withPip(t, sum())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Fetch(ctx, options(t), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want context.Canceled", err)
	}
}
