package vertex

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Config says which jobs run on Vertex AI, by their names; all others run on
// Cloud Run.
type Config struct {
	Region string         `json:"region,omitempty"`
	Jobs   map[string]Job `json:"jobs,omitempty"`
}

// ParseConfig reads a configuration from JSON; no text is no jobs. Every fault
// is reported at once.
func ParseConfig(text string) (c Config, err error) {
	if text == "" {
		return c, nil
	}
	d := json.NewDecoder(bytes.NewBufferString(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, err
	}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(c.Jobs)) {
		if err := c.Jobs[name].Validate(); err != nil {
			faults = append(faults, fmt.Errorf("job %s: %w", name, err))
		}
	}
	if len(c.Jobs) > 0 && c.Region == "" {
		faults = append(faults, errors.New("region is not given"))
	}
	return c, errors.Join(faults...)
}

// Job is what a custom job is made of, beside the arguments and variables of a
// launch. The JSON is what the environment holds.
type Job struct {
	Image            string            `json:"image"`
	Env              map[string]string `json:"env,omitempty"`
	MachineType      string            `json:"machine_type"`                // such as g2-standard-8
	AcceleratorType  string            `json:"accelerator_type,omitempty"`  // such as NVIDIA_L4; empty: none
	AcceleratorCount int64             `json:"accelerator_count,omitempty"` // of a machine
	Replicas         int64             `json:"replicas,omitempty"`          // machines; 0 is 1
	BootDiskGB       int64             `json:"boot_disk_gb,omitempty"`      // 0: Vertex AI's default, 100
	Spot             bool              `json:"spot,omitempty"`              // cheaper, and taken away at any time
	Timeout          int64             `json:"timeout"`                     // seconds of an execution, at most 7 days
	ServiceAccount   string            `json:"service_account"`             // e-mail of the account that it runs as
	Network          string            `json:"network,omitempty"`           // projects/NUMBER/global/networks/NAME to be peered with
	KMSKey           string            `json:"kms_key,omitempty"`
	Labels           map[string]string `json:"labels,omitempty"`
}

const longest = 7 * 24 * 60 * 60 // seconds that Vertex AI lets a custom job run

// Validate reports every fault at once.
func (j Job) Validate() error {
	var faults []error
	for name, v := range map[string]string{"image": j.Image, "machine_type": j.MachineType, "service_account": j.ServiceAccount} {
		if v == "" {
			faults = append(faults, fmt.Errorf("%s is not given", name))
		}
	}
	if (j.AcceleratorType == "") != (j.AcceleratorCount == 0) || j.AcceleratorCount < 0 {
		faults = append(faults, fmt.Errorf("accelerator_type %q and accelerator_count %d: give both or neither", j.AcceleratorType, j.AcceleratorCount))
	}
	if j.Replicas < 0 {
		faults = append(faults, fmt.Errorf("replicas %d: use 1 or more", j.Replicas))
	}
	if j.Timeout < 60 || j.Timeout > longest {
		faults = append(faults, fmt.Errorf("timeout %d: use 60 to %d seconds", j.Timeout, longest))
	}
	return errors.Join(faults...)
}
