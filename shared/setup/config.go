// Package setup is the one place that reads the environment and builds the
// clients of Google Cloud; everything else is given what it needs.
package setup

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/litterloop/litterloop/shared/job/vertex"
)

// Config is where a deployment lives. Every part of the loop reads the same
// variables; on the local cloud the emulator variables of Google's own clients
// (STORAGE_EMULATOR_HOST, PUBSUB_EMULATOR_HOST) stand beside them.
type Config struct {
	Project string // GOOGLE_CLOUD_PROJECT
	Region  string // REGION
	Model   string // MODEL: the registered model this deployment serves; also the service's name

	Incoming    string // INCOMING_BUCKET
	Datasets    string // DATASETS_BUCKET
	Models      string // MODELS_BUCKET
	Predictions string // PREDICTIONS_BUCKET
	Ledger      string // LEDGER_BUCKET: decisions on training, under a retention policy

	DetectorImage string // DETECTOR_IMAGE: the container that the deploy function rolls out
	// DetectorTemplate is what its revisions are made with: DETECTOR_TEMPLATE, JSON
	// that Terraform writes.
	DetectorTemplate   DetectorTemplate
	TrainerJob         string        // TRAINER_JOB: the Cloud Run job that trains
	Vertex             vertex.Config // VERTEX_JOBS: jobs that run on Vertex AI, as JSON; all others run on Cloud Run
	RunEmulator        string        // RUN_EMULATOR_HOST: host:port of Cloud Run's API on the local cloud; empty in the cloud
	MonitoringEmulator string        // MONITORING_EMULATOR_HOST: Cloud Monitoring's address on the local cloud; empty in the cloud
	TraceEmulator      string        // TRACE_EMULATOR_HOST: the address of what stands in for Cloud Trace; empty in the cloud
	MetadataServer     string        // GCE_METADATA_HOST: says who this process is, on a local cloud that enforces policies
	Version            string        // LITTERLOOP_VERSION: of this program, for lineage
}

// DetectorTemplate is laid over the template that the detector's service has;
// what is empty stays as it is there.
type DetectorTemplate struct {
	CPU         string            `json:"cpu"`         // processors, such as "2"
	Memory      string            `json:"memory"`      // such as "2Gi"
	Concurrency int32             `json:"concurrency"` // requests at once for an instance
	Env         map[string]string `json:"env"`
}

var name = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)

// FromEnv reads the configuration; every fault is reported at once.
func FromEnv(getenv func(string) string) (Config, error) {
	or := func(key, fallback string) string {
		if v := getenv(key); v != "" {
			return v
		}
		return fallback
	}
	c := Config{Project: getenv("GOOGLE_CLOUD_PROJECT"), Region: or("REGION", "europe-west1"), Model: or("MODEL", "litter"), RunEmulator: getenv("RUN_EMULATOR_HOST"), MonitoringEmulator: getenv("MONITORING_EMULATOR_HOST"), TraceEmulator: getenv("TRACE_EMULATOR_HOST"), MetadataServer: getenv("GCE_METADATA_HOST"), Version: or("LITTERLOOP_VERSION", "development")}
	c.Incoming = or("INCOMING_BUCKET", c.Project+"-incoming")
	c.Datasets = or("DATASETS_BUCKET", c.Project+"-datasets")
	c.Models = or("MODELS_BUCKET", c.Project+"-models")
	c.Predictions = or("PREDICTIONS_BUCKET", c.Project+"-predictions")
	c.Ledger = or("LEDGER_BUCKET", c.Project+"-ledger")
	c.TrainerJob = or("TRAINER_JOB", "trainer")
	c.DetectorImage = or("DETECTOR_IMAGE", fmt.Sprintf("%s-docker.pkg.dev/%s/litterloop/detector:latest", c.Region, c.Project))

	var faults []error
	var err error
	if c.Vertex, err = vertex.ParseConfig(getenv("VERTEX_JOBS")); err != nil {
		faults = append(faults, fmt.Errorf("VERTEX_JOBS: %w", err))
	}
	if c.Project == "" {
		faults = append(faults, errors.New("GOOGLE_CLOUD_PROJECT is not set: name the project, or start `litterloop up` and use the environment it writes"))
	}
	if v := getenv("DETECTOR_TEMPLATE"); v != "" {
		d := json.NewDecoder(strings.NewReader(v))
		d.DisallowUnknownFields()
		if err := d.Decode(&c.DetectorTemplate); err != nil {
			faults = append(faults, fmt.Errorf("DETECTOR_TEMPLATE: %w; apply Terraform and the functions of one release", err))
		}
	}
	for key, v := range map[string]string{"MODEL": c.Model, "TRAINER_JOB": c.TrainerJob, "REGION": c.Region} {
		if !name.MatchString(v) {
			faults = append(faults, fmt.Errorf("%s=%q: use lower-case letters, digits and dashes, starting with a letter", key, v))
		}
	}
	for key, v := range map[string]string{"INCOMING_BUCKET": c.Incoming, "DATASETS_BUCKET": c.Datasets, "MODELS_BUCKET": c.Models, "PREDICTIONS_BUCKET": c.Predictions, "LEDGER_BUCKET": c.Ledger} {
		if strings.Contains(v, "/") {
			faults = append(faults, fmt.Errorf("%s=%q: give the bucket's name alone, without gs:// or a path", key, v))
		}
	}
	return c, errors.Join(faults...)
}
