package worker

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	program "github.com/litterloop/litterloop/models/ultralytics"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/training"
	"github.com/litterloop/litterloop/shared/training/embedded"
	"github.com/litterloop/litterloop/shared/training/job/engine"
	"github.com/litterloop/litterloop/shared/training/ultralytics"
	"github.com/litterloop/litterloop/shared/venv"
)

// PythonEnv names the interpreter that has Ultralytics; without it the trainer
// makes an environment in the user's cache.
const PythonEnv = "LITTERLOOP_PYTHON"

// Recipes are the trainers by the names of their recipes. bucket returns the
// bucket of a gs:// URI; it may be nil where nothing is trained.
func Recipes(getenv func(string) string, bucket func(name string) blob.Bucket, log *slog.Logger) engine.Recipes {
	return engine.Recipes{
		training.Scratch: engine.Trainer{Clock: clock(), CPU: ProcessorTime, Memory: Memory()},
		training.Finetune: engine.Trainer{
			Kind: embedded.Finetune, Clock: clock(), CPU: ProcessorTime, Memory: Memory(),
			Open: func(ctx context.Context, from string) ([]byte, error) {
				f, err := StartingModels(func(_ context.Context, name string) (blob.Bucket, func() error, error) {
					return bucket(name), func() error { return nil }, nil
				})
				if err != nil {
					return nil, err
				}
				return f.Open(ctx, from)
			},
		},
		training.Ultralytics: ultralytics.New(ultralytics.Options{
			Python: func(ctx context.Context) (string, error) {
				if python := getenv(PythonEnv); python != "" {
					return python, nil
				}
				cache, err := os.UserCacheDir()
				if err != nil {
					return "", fmt.Errorf("find a place for Python's environment (or set %s): %w", PythonEnv, err)
				}
				log.InfoContext(ctx, "Ultralytics in an environment of its own; the first time, gigabytes are installed")
				return venv.Make(ctx, filepath.Join(cache, "litterloop"), "ultralytics", program.Requirements, os.Stderr)
			},
			Open: func(ctx context.Context, uri string) (io.ReadCloser, error) {
				name, object, ok := strings.Cut(strings.TrimPrefix(uri, "gs://"), "/")
				if !ok {
					return nil, fmt.Errorf("%s names no object: %w", uri, errs.NotFound)
				}
				r, _, err := bucket(name).Open(ctx, object, 0, -1)
				return r, err
			},
			Log: log,
		}),
	}
}
