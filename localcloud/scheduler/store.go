package scheduler

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
)

const suffix = ".json"

// path is where a job is kept: its name escaped, so that no name leaves dir.
func path(dir, name string) string {
	return filepath.Join(dir, "job-"+url.QueryEscape(name)+suffix)
}

func load(dir string) ([]Document, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("scheduler: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("scheduler: %w", err)
	}
	var out []Document
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "job-") || !strings.HasSuffix(e.Name(), suffix) {
			continue
		}
		file := filepath.Join(dir, e.Name())
		p, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("scheduler: %w", err)
		}
		var d Document
		if err := json.Unmarshal(p, &d); err != nil {
			return nil, fmt.Errorf("scheduler: %s: %w (delete it, then create the job again)", file, err)
		}
		out = append(out, d)
	}
	return out, nil
}

func save(dir string, d Document) error {
	p, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return fmt.Errorf("scheduler: encode job %q: %w", d.Job.Name, err)
	}
	if err := renameio.WriteFile(path(dir, d.Job.Name), append(p, '\n'), 0o644, renameio.WithTempDir(dir)); err != nil {
		return fmt.Errorf("scheduler: keep job %q: %w", d.Job.Name, err)
	}
	return nil
}

func erase(dir, name string) error {
	if err := os.Remove(path(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("scheduler: forget job %q: %w", name, err)
	}
	return nil
}
