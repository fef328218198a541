package server

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/litterloop/litterloop/shared/tracking"
)

// What MLflow's messages look like as JSON. Fields that are not set are left
// out, as MLflow does; integers of 64 bits are numbers.

type wireTag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// wireTags are the pairs of m in the order of their keys.
func wireTags(m map[string]string) []wireTag {
	all := make([]wireTag, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		all = append(all, wireTag{k, m[k]})
	}
	return all
}

// number is a double; NaN is a string.
type number float64

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) {
	f := tracking.Finite(float64(n))
	if math.IsNaN(f) {
		return []byte(`"NaN"`), nil
	}
	return strconv.AppendFloat(nil, f, 'g', -1, 64), nil
}

type wireExperiment struct {
	ID               string    `json:"experiment_id"`
	Name             string    `json:"name"`
	ArtifactLocation string    `json:"artifact_location"`
	Lifecycle        string    `json:"lifecycle_stage"`
	Updated          int64     `json:"last_update_time"`
	Created          int64     `json:"creation_time"`
	Tags             []wireTag `json:"tags,omitempty"`
	Workspace        string    `json:"workspace"`
}

func experiment(e tracking.Experiment) wireExperiment {
	return wireExperiment{e.ID, e.Name, e.ArtifactLocation, e.Lifecycle, e.Updated, e.Created, wireTags(e.Tags), "default"}
}

type wireInfo struct {
	UUID        string `json:"run_uuid"`
	Experiment  string `json:"experiment_id"`
	Name        string `json:"run_name"`
	User        string `json:"user_id"`
	Status      string `json:"status"`
	Start       int64  `json:"start_time"`
	End         int64  `json:"end_time,omitempty"`
	ArtifactURI string `json:"artifact_uri"`
	Lifecycle   string `json:"lifecycle_stage"`
	ID          string `json:"run_id"`
}

func info(r tracking.Run) wireInfo {
	return wireInfo{r.ID, r.Experiment, r.Name, r.User, string(r.Status), r.Start, r.End, r.ArtifactURI, r.Lifecycle, r.ID}
}

type wireMetric struct {
	Key     string `json:"key"`
	Value   number `json:"value"`
	Time    int64  `json:"timestamp"`
	Step    int64  `json:"step"`
	Run     string `json:"run_id,omitempty"`
	Model   string `json:"model_id,omitempty"`
	Dataset string `json:"dataset_name,omitempty"`
	Digest  string `json:"dataset_digest,omitempty"`
}

func point(m tracking.Metric) wireMetric {
	return wireMetric{Key: m.Key, Value: number(m.Value), Time: m.Time, Step: m.Step}
}

func latestPoints(m map[string]tracking.Metric) []wireMetric {
	all := make([]wireMetric, 0, len(m))
	for _, p := range m {
		all = append(all, point(p))
	}
	slices.SortFunc(all, func(a, b wireMetric) int { return cmp.Compare(a.Key, b.Key) })
	return all
}

type wireRun struct {
	Info wireInfo `json:"info"`
	Data struct {
		Metrics []wireMetric `json:"metrics,omitempty"`
		Params  []wireTag    `json:"params,omitempty"`
		Tags    []wireTag    `json:"tags,omitempty"`
	} `json:"data"`
	Inputs struct {
		Datasets []wireInput      `json:"dataset_inputs,omitempty"`
		Models   []wireModelInput `json:"model_inputs,omitempty"`
	} `json:"inputs"`
	Outputs *wireOutputs `json:"outputs,omitempty"`
}

type wireInput struct {
	Tags    []tracking.Tag   `json:"tags,omitempty"`
	Dataset tracking.Dataset `json:"dataset"`
}

type wireModelInput struct {
	ID string `json:"model_id"`
}

type wireOutputs struct {
	Models []tracking.ModelOutput `json:"model_outputs,omitempty"`
}

// run is a run as MLflow shows it; a run that was just created has no outputs.
func run(r tracking.RunData, created bool) wireRun {
	var w wireRun
	w.Info = info(r.Run)
	w.Data.Metrics, w.Data.Params, w.Data.Tags = latestPoints(r.Metrics), wireTags(r.Params), wireTags(r.Tags)
	for _, in := range r.Inputs {
		w.Inputs.Datasets = append(w.Inputs.Datasets, wireInput{in.Tags, in.Dataset})
	}
	for _, id := range r.ModelInputs {
		w.Inputs.Models = append(w.Inputs.Models, wireModelInput{id})
	}
	if !created {
		w.Outputs = &wireOutputs{r.Outputs}
	}
	return w
}

type wireModel struct {
	Info wireModelInfo `json:"info"`
	Data wireModelData `json:"data"`
}

type wireModelInfo struct {
	ID          string    `json:"model_id"`
	Experiment  string    `json:"experiment_id"`
	Name        string    `json:"name"`
	Created     int64     `json:"creation_timestamp_ms"`
	Updated     int64     `json:"last_updated_timestamp_ms"`
	ArtifactURI string    `json:"artifact_uri"`
	Status      string    `json:"status"`
	Type        string    `json:"model_type"`
	Run         string    `json:"source_run_id"`
	Tags        []wireTag `json:"tags,omitempty"`
}

type wireModelData struct {
	Params  []wireTag    `json:"params,omitempty"`
	Metrics []wireMetric `json:"metrics,omitempty"`
}

func loggedModel(m tracking.LoggedModel) wireModel {
	w := wireModel{Info: wireModelInfo{m.ID, m.Experiment, m.Name, m.Created, m.Updated, m.ArtifactURI, string(m.Status), m.Type, m.Run, wireTags(m.Tags)}}
	w.Data.Params = wireTags(m.Params)
	for _, p := range m.Metrics {
		wire := point(p.Metric)
		wire.Run, wire.Model, wire.Dataset, wire.Digest = p.Run, p.Model, p.Dataset, p.Digest
		w.Data.Metrics = append(w.Data.Metrics, wire)
	}
	return w
}
