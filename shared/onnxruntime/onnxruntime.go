// Package onnxruntime initialises ONNX Runtime for this process. It links C
// (the binding), so functions must not import it; package library looks for the
// shared library without.
package onnxruntime

import (
	"context"
	"fmt"
	"sync"

	"github.com/litterloop/litterloop/shared/onnxruntime/library"
	ort "github.com/yalue/onnxruntime_go"
)

var mu sync.Mutex

// Init finds the library ($LITTERLOOP_ONNXRUNTIME, the system, the cache) and
// initialises the binding; once it succeeded, further calls do nothing. After a
// failure it may be called again, for example after library.Fetch. It wraps
// errs.NotFound where the machine has no library.
func Init() error {
	mu.Lock()
	defer mu.Unlock()
	if ort.IsInitialized() {
		return nil
	}
	lib, err := library.Find(context.Background(), library.Options{})
	if err != nil {
		return err
	}
	ort.SetSharedLibraryPath(lib.Path)
	if err := ort.InitializeEnvironment(ort.WithLogLevelError()); err != nil {
		return fmt.Errorf("initialise ONNX Runtime from %s (%s): %w", lib.Path, lib.From, err)
	}
	return shareMemory()
}

// shareMemory makes one arena for all sessions that ask for it
// (session.use_env_allocators): what one does not use at the moment serves
// another.
func shareMemory() error {
	info, err := ort.GetMemoryInfo()
	if err != nil {
		return err
	}
	arena, err := ort.NewArenaCfg(0, -1, -1, -1)
	if err != nil {
		return err
	}
	defer arena.Destroy()
	if err := ort.CreateAndRegisterAllocator(info, arena); err != nil {
		return fmt.Errorf("share memory between models: %w", err)
	}
	return nil
}

// Version is the loaded library's; empty before Init.
func Version() string {
	if !ort.IsInitialized() {
		return ""
	}
	return ort.GetVersion()
}
