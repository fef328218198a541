package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// store keeps API messages as JSON files named after the resource:
// projects/P/locations/L/services/S.json.
type store struct{ dir string }

func (st store) path(name string) string {
	return filepath.Join(st.dir, filepath.FromSlash(name)+".json")
}

// save writes a document atomically and durably before it returns.
func (st store) save(name string, m proto.Message) error {
	p, err := protojson.MarshalOptions{Multiline: true}.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	path := st.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return renameio.WriteFile(path, append(p, '\n'), 0o644)
}

// remove deletes a document; one that is gone already is no error.
func (st store) remove(name string) error {
	if err := os.Remove(st.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// each calls f with every document whose name has the collection at this
// depth: "services" matches projects/P/locations/L/services/S.
func (st store) each(collection string, f func(name string, p []byte) error) error {
	parts := strings.Split(collection, "/")
	pattern := filepath.Join(st.dir, "projects/*/locations/*", strings.Join(parts, "/*/"), "*.json")
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	for _, path := range paths {
		p, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(st.dir, path)
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(filepath.ToSlash(rel), ".json")
		if err := f(name, p); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// loadAll decodes every document of a collection.
func loadAll[T proto.Message](st store, collection string, empty func() T, f func(T) error) error {
	return st.each(collection, func(_ string, p []byte) error {
		m := empty()
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(p, m); err != nil {
			return err
		}
		return f(m)
	})
}
