package server

import (
	"net/url"
	"strings"

	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/tracking/fault"
)

func createExperiment(s *Server, q *request) (any, error) {
	if err := q.check(field{name: "name", required: true}, field{name: "artifact_location"}, field{name: "tags", kind: objects}); err != nil {
		return nil, err
	}
	if err := q.checkPairs("tags"); err != nil {
		return nil, err
	}
	location := q.text("artifact_location")
	if err := checkLocation(location); err != nil {
		return nil, err
	}
	e, err := s.store.CreateExperiment(q.Context(), q.text("name"), location, pairs(q.objects("tags")))
	if err != nil {
		return nil, err
	}
	return map[string]string{"experiment_id": e.ID}, nil
}

// maxLocation is MLflow's limit of an artifact location.
const maxLocation = 2048

// checkLocation refuses places that a client must not be sent to.
func checkLocation(location string) error {
	u, err := url.Parse(location)
	switch {
	case err != nil || u.Fragment != "" || strings.Contains(location, ";"):
		return fault.Invalid("'artifact_location' URL can't include fragments or params.")
	case strings.Contains(u.RawQuery, ".."):
		return fault.Invalid("Invalid query string: %s", u.RawQuery)
	case strings.HasPrefix(location, "runs:"):
		return fault.Invalid("Artifact location cannot be a runs:/ URI. Given: '%s'", location)
	case len(location) > maxLocation:
		return fault.Invalid("Invalid artifact path length. The length of the artifact path cannot be greater than %d characters.", maxLocation)
	}
	return checkScheme(u.Scheme, "artifact_location")
}

// checkScheme refuses schemes that name another host than the store's.
func checkScheme(scheme, name string) error {
	switch strings.ToLower(scheme) {
	case "http", "https", "ftp", "sftp":
		return fault.Invalid("'%s' cannot use the '%s' scheme: the '%s' scheme addresses a host other than the tracking server's configured artifact storage.",
			name, scheme, scheme)
	}
	return nil
}

func getExperiment(s *Server, q *request) (any, error) {
	if err := q.check(field{name: "experiment_id", required: true}); err != nil {
		return nil, err
	}
	e, err := s.store.Experiment(q.Context(), q.text("experiment_id"))
	return map[string]any{"experiment": experiment(e)}, err
}

func getExperimentByName(s *Server, q *request) (any, error) {
	if err := q.check(field{name: "experiment_name", required: true}); err != nil {
		return nil, err
	}
	e, err := s.store.ExperimentByName(q.Context(), q.text("experiment_name"))
	return map[string]any{"experiment": experiment(e)}, err
}

func deleteExperiment(s *Server, q *request) (any, error) {
	if err := q.check(field{name: "experiment_id", required: true}); err != nil {
		return nil, err
	}
	return nil, s.store.DeleteExperiment(q.Context(), q.text("experiment_id"))
}

func restoreExperiment(s *Server, q *request) (any, error) {
	if err := q.check(field{name: "experiment_id", required: true}); err != nil {
		return nil, err
	}
	return nil, s.store.RestoreExperiment(q.Context(), q.text("experiment_id"))
}

func updateExperiment(s *Server, q *request) (any, error) {
	if err := q.check(field{name: "experiment_id", required: true}, field{name: "new_name", required: true}); err != nil {
		return nil, err
	}
	return nil, s.store.RenameExperiment(q.Context(), q.text("experiment_id"), q.text("new_name"))
}

func setExperimentTag(s *Server, q *request) (any, error) {
	if err := q.check(field{name: "experiment_id", required: true}, field{name: "key", required: true}, field{name: "value"}); err != nil {
		return nil, err
	}
	return nil, s.store.SetExperimentTag(q.Context(), q.text("experiment_id"), q.text("key"), q.text("value"))
}

func deleteExperimentTag(s *Server, q *request) (any, error) {
	if err := q.check(field{name: "experiment_id", required: true}, field{name: "key", required: true}); err != nil {
		return nil, err
	}
	return nil, s.store.DeleteExperimentTag(q.Context(), q.text("experiment_id"), q.text("key"))
}

func searchExperiments(s *Server, q *request) (any, error) {
	if err := q.check(field{name: "view_type", kind: enum}, field{name: "max_results", kind: integer}, field{name: "order_by", kind: texts},
		field{name: "filter"}, field{name: "page_token"}); err != nil {
		return nil, err
	}
	found, next, err := s.store.SearchExperiments(q.Context(), q.text("filter"), q.texts("order_by"), q.view("view_type"), q.page(0))
	if err != nil {
		return nil, err
	}
	var answer struct {
		Experiments []wireExperiment `json:"experiments,omitempty"`
		Next        string           `json:"next_page_token,omitempty"`
	}
	for _, e := range found {
		answer.Experiments = append(answer.Experiments, experiment(e))
	}
	answer.Next = next
	return answer, nil
}

// view is a field that chooses a lifecycle stage: by its name, or its number.
func (q *request) view(name string) tracking.View {
	if n, ok := toInt(q.get(name)); ok && n >= 1 && n <= 3 {
		return []tracking.View{tracking.ActiveOnly, tracking.DeletedOnly, tracking.All}[n-1]
	}
	switch v := tracking.View(q.text(name)); v {
	case tracking.DeletedOnly, tracking.All:
		return v
	}
	return tracking.ActiveOnly
}
