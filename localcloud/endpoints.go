package localcloud

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/litterloop/litterloop/localcloud/controlplane"
)

// Endpoints are the addresses (host:port) of a local cloud's services.
type Endpoints struct {
	Project    string `json:"project"`
	PID        int    `json:"pid"`
	Storage    string `json:"storage"`
	GRPC       string `json:"grpc"` // Pub/Sub and Cloud Run
	PubSubREST string `json:"pubsub_rest"`
	Functions  string `json:"functions"`

	ControlPlane string `json:"control_plane"` // every API that Terraform's provider asks
	Tracking     string `json:"tracking"`      // runs and models, for MLflow's clients and for browsers
	Metadata     string `json:"metadata"`      // who the caller is, as Compute Engine's metadata server says it; empty where policies are not enforced
}

// Image names of the containers that the local cloud knows.
const (
	DetectorImage = "litterloop/detector"
	TrainerImage  = "litterloop/trainer"
	TrackingImage = "litterloop/tracking"
)

// Environ is the environment that points Google's clients, and the loop's own
// programs, at these endpoints.
func (e Endpoints) Environ() []string {
	return append(e.apis(),
		"GOOGLE_CLOUD_PROJECT="+e.Project,
		"DETECTOR_IMAGE="+DetectorImage,
		"MLFLOW_TRACKING_URI=http://"+e.Tracking,
		"CLOUDSDK_CORE_PROJECT="+e.Project,
	)
}

// apis is the part of Environ that says where Google's APIs are.
func (e Endpoints) apis() []string {
	return []string{
		"STORAGE_EMULATOR_HOST=http://" + e.Storage,
		"PUBSUB_EMULATOR_HOST=" + e.GRPC,
		"RUN_EMULATOR_HOST=" + e.GRPC,
		"MONITORING_EMULATOR_HOST=http://" + e.ControlPlane + "/monitoring/",
		"GCE_METADATA_HOST=" + e.Metadata,
		"CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE=http://" + e.Storage + "/storage/v1/",
		"CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB=http://" + e.PubSubREST + "/",
		"CLOUDSDK_AUTH_DISABLE_CREDENTIALS=true",
		"GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT=false", // DVC's client would ask the real cloud about each bucket, and wait
	}
}

const endpointsFile = "endpoints.json"

// DetectorMetrics is the path, at the functions' address, of the deployed
// detector's metrics; its own address is known only once it is deployed.
const DetectorMetrics = "/metrics/detector"

// targets are what Prometheus scrapes, as its file-based discovery reads them.
func (e Endpoints) targets() ([]byte, error) {
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	return json.MarshalIndent([]group{
		{[]string{e.Functions}, map[string]string{"job": "functions"}},
		{[]string{e.Functions}, map[string]string{"job": "detector", "__metrics_path__": DetectorMetrics}},
	}, "", "  ")
}

// ReadEndpoints returns the endpoints of the local cloud that last ran in dir.
func ReadEndpoints(dir string) (Endpoints, error) {
	var e Endpoints
	p, err := os.ReadFile(filepath.Join(dir, endpointsFile))
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(p, &e); err != nil {
		return e, fmt.Errorf("%s: %w", endpointsFile, err)
	}
	return e, nil
}

// write leaves the endpoints in dir for other processes, and as shell files:
// `. .litterloop/env.sh` makes gcloud speak to the local cloud, and
// `. .litterloop/terraform.sh` Terraform. Prometheus finds it by prometheus.json.
func (e Endpoints) write(dir string) error {
	p, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	targets, err := e.targets()
	if err != nil {
		return err
	}
	terraform := append(controlplane.Environ("http://"+e.ControlPlane), "TF_VAR_project="+e.Project, "CHECKPOINT_DISABLE=1")
	for name, data := range map[string][]byte{endpointsFile: p, "prometheus.json": targets, "env.sh": exports(e.Environ()), "terraform.sh": exports(terraform)} {
		tmp := filepath.Join(dir, name+".new")
		if err := os.WriteFile(tmp, data, 0o644); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		if err := os.Rename(tmp, filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

// exports is an environment as a shell reads it.
func exports(env []string) []byte {
	var sh strings.Builder
	for _, kv := range slices.Sorted(slices.Values(env)) {
		fmt.Fprintf(&sh, "export %s\n", kv)
	}
	return []byte(sh.String())
}

// listeners opens listeners until the first error.
type listeners struct{ err error }

// listen takes the address it had before, or any when that is gone.
func (l *listeners) listen(former string) net.Listener {
	if l.err != nil {
		return nil
	}
	if former != "" && strings.HasPrefix(former, "127.0.0.1:") {
		if ln, err := net.Listen("tcp", former); err == nil {
			return ln
		}
	}
	var ln net.Listener
	ln, l.err = net.Listen("tcp", "127.0.0.1:0")
	return ln
}
