package controlplane

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/renameio/v2"
)

// document is a resource as its API shows it.
type document = map[string]any

// Documents keeps each resource in a file of its own, by its name. What update
// answered survives the loss of power.
type Documents struct {
	dir string

	mu  sync.Mutex
	all map[string]document

	// Policies are asked for at every call of every server, also while a
	// resource is being made.
	policies sync.Map // of names below policies/: []iam.Binding
}

// stored is a file's content.
type stored struct {
	Name     string   `json:"name"`
	Document document `json:"document"`
}

// Open reads what is declared in dir. One process at a time may have it open.
func Open(dir string) (*Documents, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("control plane: %w", err)
	}
	d := &Documents{dir: dir, all: map[string]document{}}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var x stored
		if err := json.Unmarshal(text, &x); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		d.all[x.Name] = x.Document
		if err := d.index(x.Name, x.Document); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return d, nil
}

// get returns a copy, and whether there is such a resource.
func (d *Documents) get(name string) (document, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	doc, ok := d.all[name]
	return clone(doc), ok
}

// under returns the names that begin with prefix.
func (d *Documents) under(prefix string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for name := range d.all {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names
}

// update changes a resource; change gets nil for one that is not there, and
// returns nil to remove it.
func (d *Documents) update(name string, change func(document) (document, error)) (document, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	doc, err := change(clone(d.all[name]))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(name))
	file := filepath.Join(d.dir, hex.EncodeToString(sum[:16])+".json")
	if doc == nil {
		if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
			return nil, err
		}
		delete(d.all, name)
		return nil, d.index(name, nil)
	}
	text, err := json.Marshal(stored{name, doc})
	if err != nil {
		return nil, err
	}
	if err := renameio.WriteFile(file, text, 0o600, renameio.WithTempDir(d.dir)); err != nil {
		return nil, err
	}
	d.all[name] = doc
	return clone(doc), d.index(name, doc)
}

// clone copies a resource by way of JSON, which all of it came from.
func clone(d document) document {
	if d == nil {
		return nil
	}
	text, err := json.Marshal(d)
	if err != nil {
		panic(err) // it was decoded from JSON
	}
	var c document
	if err := json.Unmarshal(text, &c); err != nil {
		panic(err)
	}
	return c
}
