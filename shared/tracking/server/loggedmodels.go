package server

import (
	"strings"

	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/tracking/fault"
)

func createLoggedModel(s *Server, q *request) (any, error) {
	if err := q.check(field{name: "experiment_id", required: true}, field{name: "name"}, field{name: "model_type"}, field{name: "source_run_id"},
		field{name: "params", kind: objects}, field{name: "tags", kind: objects}); err != nil {
		return nil, err
	}
	m, err := s.store.CreateLoggedModel(q.Context(), tracking.LoggedModel{
		Experiment: q.text("experiment_id"), Name: q.text("name"), Type: q.text("model_type"), Run: q.text("source_run_id"),
		Params: pairs(q.objects("params")), Tags: pairs(q.objects("tags")),
	})
	return map[string]any{"model": loggedModel(m)}, err
}

func getLoggedModel(s *Server, q *request) (any, error) {
	m, err := s.store.LoggedModel(q.Context(), q.path["model_id"], strings.EqualFold(q.text("allow_deleted"), "true"))
	return map[string]any{"model": loggedModel(m)}, err
}

// modelStatuses by their numbers in the protocol.
var modelStatuses = []tracking.ModelStatus{tracking.ModelUnspecified, tracking.ModelPending, tracking.ModelReady, tracking.ModelFailed}

func finalizeLoggedModel(s *Server, q *request) (any, error) {
	if err := q.check(field{name: "model_id"}, field{name: "status", kind: enum, required: true}); err != nil {
		return nil, err
	}
	status := tracking.ModelStatus(q.text("status"))
	if n, ok := toInt(q.get("status")); ok && n >= 0 && int(n) < len(modelStatuses) {
		status = modelStatuses[n]
	}
	switch status {
	case tracking.ModelPending, tracking.ModelReady, tracking.ModelFailed, tracking.ModelUnspecified:
	default:
		return nil, fault.Invalid("Invalid value %s for parameter 'status' supplied:  Hint: Value was of type '%s'. "+
			"See the API docs for more information about request parameters.", literal(q.get("status")), pythonType(q.get("status")))
	}
	m, err := s.store.FinalizeModel(q.Context(), q.path["model_id"], status)
	return map[string]any{"model": loggedModel(m)}, err
}

func deleteLoggedModel(s *Server, q *request) (any, error) {
	return nil, s.store.DeleteLoggedModel(q.Context(), q.path["model_id"])
}

func logModelParams(s *Server, q *request) (any, error) {
	if err := q.check(field{name: "model_id"}, field{name: "params", kind: objects}); err != nil {
		return nil, err
	}
	if err := q.checkPairs("params"); err != nil {
		return nil, err
	}
	return nil, s.store.LogModelParams(q.Context(), q.path["model_id"], pairs(q.objects("params")))
}

func setModelTags(s *Server, q *request) (any, error) {
	if err := q.check(field{name: "tags", kind: objects}); err != nil {
		return nil, err
	}
	if err := q.checkPairs("tags"); err != nil {
		return nil, err
	}
	return nil, s.store.SetModelTags(q.Context(), q.path["model_id"], pairs(q.objects("tags")))
}

func deleteModelTag(s *Server, q *request) (any, error) {
	return nil, s.store.DeleteModelTag(q.Context(), q.path["model_id"], q.path["tag_key"])
}

func searchLoggedModels(s *Server, q *request) (any, error) {
	if err := q.check(field{name: "experiment_ids", kind: texts, required: true}, field{name: "filter"}, field{name: "datasets", kind: objects},
		field{name: "max_results", kind: integer}, field{name: "order_by", kind: objects}, field{name: "page_token"}); err != nil {
		return nil, err
	}
	query := tracking.ModelQuery{Experiments: q.texts("experiment_ids"), Filter: q.text("filter"), Page: q.page(100)}
	if query.Page.Max == 0 {
		query.Page.Max = 100
	}
	if query.Page.Max < 0 {
		return nil, fault.Invalid("Invalid value %d for parameter 'max_results' supplied. It must be a positive integer", query.Page.Max)
	}
	for _, o := range q.objects("datasets") {
		query.Datasets = append(query.Datasets, tracking.DatasetRef{Name: o.text("dataset_name"), Digest: o.text("dataset_digest")})
	}
	for _, o := range q.objects("order_by") {
		ascending, given := toBool(o["ascending"])
		query.Order = append(query.Order, tracking.ModelOrder{
			Field: o.text("field_name"), Ascending: ascending || !given, Dataset: o.text("dataset_name"), Digest: o.text("dataset_digest"),
		})
	}
	found, next, err := s.store.SearchModels(q.Context(), query)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Models []wireModel `json:"models,omitempty"`
		Next   string      `json:"next_page_token,omitempty"`
	}
	for _, m := range found {
		answer.Models = append(answer.Models, loggedModel(m))
	}
	answer.Next = next
	return answer, nil
}
