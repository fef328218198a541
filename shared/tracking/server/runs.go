package server

import (
	"encoding/json"
	"slices"

	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/tracking/fault"
)

func createRun(s *Server, q *request) (any, error) {
	if err := q.check(field{name: "experiment_id"}, field{name: "user_id"}, field{name: "start_time", kind: integer}, field{name: "run_name"},
		field{name: "tags", kind: objects}); err != nil {
		return nil, err
	}
	if err := q.checkPairs("tags"); err != nil {
		return nil, err
	}
	n := tracking.NewRun{
		Experiment: q.text("experiment_id"), User: q.text("user_id"), Name: q.text("run_name"),
		Start: q.int("start_time", 0), Tags: pairs(q.objects("tags")),
	}
	if n.Experiment == "" {
		return nil, errNoExperiment
	}
	r, err := s.store.StartRun(q.Context(), n)
	if err != nil {
		return nil, err
	}
	s.changed(q.Context())
	return map[string]any{"run": run(tracking.RunData{Run: r}, true)}, nil
}

var runID = field{name: "run_id", required: true}

func getRun(s *Server, q *request) (any, error) {
	if err := q.check(runID); err != nil {
		return nil, err
	}
	r, err := s.store.Get(q.Context(), q.text("run_id"))
	return map[string]any{"run": run(r, false)}, err
}

// statuses of a run, in the order of their numbers in the protocol.
var statuses = []tracking.Status{tracking.Running, tracking.Scheduled, tracking.Finished, tracking.Failed, tracking.Killed}

func updateRun(s *Server, q *request) (any, error) {
	if err := q.check(runID, field{name: "end_time", kind: integer}, field{name: "status", kind: enum}, field{name: "run_name"}); err != nil {
		return nil, err
	}
	u := tracking.RunUpdate{Name: q.text("run_name")}
	if n, ok := toInt(q.get("status")); ok && n >= 1 && int(n) <= len(statuses) {
		u.Status = statuses[n-1]
	} else if st := tracking.Status(q.text("status")); slices.Contains(statuses, st) {
		u.Status = st // MLflow takes no notice of a status that it does not know
	}
	if end, ok := toInt(q.get("end_time")); ok {
		u.End = &end
	}
	r, err := s.store.UpdateRun(q.Context(), q.text("run_id"), u)
	if err != nil {
		return nil, err
	}
	s.changed(q.Context())
	return map[string]any{"run_info": info(r)}, nil
}

func deleteRun(s *Server, q *request) (any, error) {
	if err := q.check(runID); err != nil {
		return nil, err
	}
	return nil, s.store.DeleteRun(q.Context(), q.text("run_id"))
}

func restoreRun(s *Server, q *request) (any, error) {
	if err := q.check(runID); err != nil {
		return nil, err
	}
	return nil, s.store.RestoreRun(q.Context(), q.text("run_id"))
}

func logParam(s *Server, q *request) (any, error) {
	if err := q.check(runID, field{name: "key", required: true}, field{name: "value"}); err != nil {
		return nil, err
	}
	return nil, s.store.LogParams(q.Context(), q.text("run_id"), map[string]string{q.text("key"): q.text("value")})
}

func setTag(s *Server, q *request) (any, error) {
	if err := q.check(runID, field{name: "key", required: true}, field{name: "value"}); err != nil {
		return nil, err
	}
	return nil, s.store.SetTags(q.Context(), q.text("run_id"), map[string]string{q.text("key"): q.text("value")})
}

func deleteTag(s *Server, q *request) (any, error) {
	if err := q.check(runID, field{name: "key", required: true}); err != nil {
		return nil, err
	}
	return nil, s.store.DeleteTag(q.Context(), q.text("run_id"), q.text("key"))
}

func searchRuns(s *Server, q *request) (any, error) {
	if err := q.check(field{name: "experiment_ids", kind: texts}, field{name: "filter"}, field{name: "run_view_type", kind: enum},
		field{name: "max_results", kind: integer, max: tracking.MaxRuns}, field{name: "order_by", kind: texts}, field{name: "page_token"}); err != nil {
		return nil, err
	}
	found, next, err := s.store.SearchRuns(q.Context(), tracking.Query{
		Experiments: q.texts("experiment_ids"), Filter: q.text("filter"), Order: q.texts("order_by"),
		View: q.view("run_view_type"), Page: q.page(1000),
	})
	if err != nil {
		return nil, err
	}
	answer := struct {
		Runs []wireRun `json:"runs,omitempty"`
		Next string    `json:"next_page_token,omitempty"`
	}{make([]wireRun, len(found)), next}
	for i, r := range found {
		answer.Runs[i] = run(r, false)
	}
	return answer, nil
}

func logInputs(s *Server, q *request) (any, error) {
	if err := q.check(runID, field{name: "datasets", kind: objects}, field{name: "models", kind: objects}); err != nil {
		return nil, err
	}
	var inputs []tracking.DatasetInput
	for i, o := range q.objects("datasets") {
		d := o.object("dataset")
		if d == nil {
			return nil, fault.Invalid("Dataset cannot be None")
		}
		for _, name := range []string{"name", "digest", "source_type", "source"} {
			if d.text(name) == "" {
				return nil, missingIn("datasets[%d].dataset."+name, "", i)
			}
		}
		inputs = append(inputs, tracking.DatasetInput{Tags: tags(o.objects("tags")), Dataset: tracking.Dataset{
			Name: d.text("name"), Digest: d.text("digest"), SourceType: d.text("source_type"), Source: d.text("source"),
			Schema: d.text("schema"), Profile: d.text("profile"),
		}})
	}
	var models []string
	for _, o := range q.objects("models") {
		models = append(models, o.text("model_id"))
	}
	return nil, s.store.LogInputs(q.Context(), q.text("run_id"), inputs, models)
}

func logOutputs(s *Server, q *request) (any, error) {
	if err := q.check(runID, field{name: "models", kind: objects, required: true}); err != nil {
		return nil, err
	}
	var models []tracking.ModelOutput
	for _, o := range q.objects("models") {
		step, _ := toInt(o["step"])
		models = append(models, tracking.ModelOutput{ID: o.text("model_id"), Step: step})
	}
	return nil, s.store.LogOutputs(q.Context(), q.text("run_id"), models)
}

// logModel is how clients before MLflow 3 tell of a model: it becomes a tag.
func logModel(s *Server, q *request) (any, error) {
	if err := q.check(runID, field{name: "model_json", required: true}); err != nil {
		return nil, err
	}
	var model map[string]any
	if err := json.Unmarshal([]byte(q.text("model_json")), &model); err != nil {
		return nil, fault.Invalid("Malformed model info. \n %s \n is not a valid JSON", q.text("model_json"))
	}
	for _, name := range []string{"artifact_path", "flavors", "utc_time_created", "run_id"} {
		if _, ok := model[name]; !ok {
			return nil, fault.Invalid("Model json is missing mandatory fields: {'%s'}", name)
		}
	}
	return nil, s.store.AddLegacyModel(q.Context(), q.text("run_id"), model)
}
