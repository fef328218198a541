package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// journal is what the demo itself must remember when it is killed; everything
// else is in the loop's own buckets. It is written after each act of traffic.
type journal struct {
	path string

	Data string           `json:"data"` // which story the state holds
	Seed uint64           `json:"seed"`
	Sent map[string]*Sent `json:"sent"` // traffic by act
}

// Sent is an act of traffic as its caller saw it.
type Sent struct {
	Requests  int       `json:"requests"`
	Errors    int       `json:"errors"`
	Latencies []float64 `json:"latencies_ms"`
}

// openJournal reads the journal in dir, or begins one. A state that holds
// another story is refused.
func openJournal(dir, data string, seed uint64) (*journal, error) {
	j := &journal{path: filepath.Join(dir, "demo.json"), Data: data, Seed: seed, Sent: map[string]*Sent{}}
	p, err := os.ReadFile(j.path)
	if errors.Is(err, os.ErrNotExist) {
		return j, j.save()
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(p, j); err != nil {
		return nil, fmt.Errorf("%s: %w", j.path, err)
	}
	if j.Data != data || j.Seed != seed {
		return nil, fmt.Errorf("%s holds a demo of other photos (data %q, seed %d): give another --state, or remove it", dir, j.Data, j.Seed)
	}
	return j, nil
}

func (j *journal) save() error {
	p, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(j.path+".new", p, 0o644); err != nil {
		return fmt.Errorf("demo's journal: %w", err)
	}
	return os.Rename(j.path+".new", j.path)
}
