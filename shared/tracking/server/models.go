package server

import (
	"strconv"
	"time"

	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/tracking/fault"
)

type wireRegistered struct {
	Name        string        `json:"name"`
	Created     int64         `json:"creation_timestamp"`
	Updated     int64         `json:"last_updated_timestamp"`
	Description string        `json:"description,omitempty"`
	Latest      []wireVersion `json:"latest_versions,omitempty"`
	Tags        []wireTag     `json:"tags,omitempty"`
	Aliases     []wireAlias   `json:"aliases,omitempty"`
}

type wireAlias struct {
	Alias   string `json:"alias"`
	Version string `json:"version"`
}

func (s *Server) registered(m registry.Model, latest []registry.Version) wireRegistered {
	updated := m.Updated
	w := wireRegistered{Name: m.Name, Created: m.Created.UnixMilli(), Description: m.Description, Tags: wireTags(m.Tags)}
	for _, v := range latest {
		updated = later(updated, v.Created)
		version := s.version(m, v)
		version.Aliases = nil
		w.Latest = append(w.Latest, version)
	}
	w.Updated = updated.UnixMilli()
	aliases := map[string]string{}
	for alias, n := range m.Aliases {
		aliases[alias] = strconv.Itoa(n)
	}
	for _, t := range wireTags(aliases) {
		w.Aliases = append(w.Aliases, wireAlias{t.Key, t.Value})
	}
	return w
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// who is the caller, as the front end or the client names itself; it goes into
// the history.
func (q *request) who() string {
	if user := q.Header.Get("X-Goog-Authenticated-User-Email"); user != "" {
		return user
	}
	if user, _, ok := q.BasicAuth(); ok && user != "" {
		return user
	}
	return "mlflow"
}

var modelName = field{name: "name", required: true}

func createModel(s *Server, q *request) (any, error) {
	if err := q.check(modelName, field{name: "tags", kind: objects}, field{name: "description"}); err != nil {
		return nil, err
	}
	if err := q.checkPairs("tags"); err != nil {
		return nil, err
	}
	m, err := s.models.CreateModel(q.Context(), q.text("name"), q.text("description"), pairs(q.objects("tags")))
	return map[string]any{"registered_model": s.registered(m, nil)}, err
}

func getModel(s *Server, q *request) (any, error) {
	if err := q.check(modelName); err != nil {
		return nil, err
	}
	m, latest, err := s.models.Latest(q.Context(), q.text("name"), nil)
	return map[string]any{"registered_model": s.registered(m, latest)}, err
}

func updateModel(s *Server, q *request) (any, error) {
	if err := q.check(modelName, field{name: "description"}); err != nil {
		return nil, err
	}
	m, latest, err := s.models.Describe(q.Context(), q.text("name"), q.text("description"))
	return map[string]any{"registered_model": s.registered(m, latest)}, err
}

func renameModel(s *Server, q *request) (any, error) {
	if err := q.check(modelName, field{name: "new_name", required: true}); err != nil {
		return nil, err
	}
	m, latest, err := s.models.RenameModel(q.Context(), q.text("name"), q.text("new_name"))
	return map[string]any{"registered_model": s.registered(m, latest)}, err
}

func deleteModel(s *Server, q *request) (any, error) {
	if err := q.check(modelName); err != nil {
		return nil, err
	}
	s.purge(q.Context())
	return nil, s.models.DeleteModel(q.Context(), q.text("name"), q.who())
}

func searchModels(s *Server, q *request) (any, error) {
	if err := q.check(field{name: "filter"}, field{name: "max_results", kind: integer, max: 1000}, field{name: "order_by", kind: texts}, field{name: "page_token"}); err != nil {
		return nil, err
	}
	p := q.page(100)
	if p.Max < 1 {
		return nil, fault.Invalid("Invalid value for max_results. It must be a positive integer, but got %d", p.Max)
	}
	found, next, err := s.models.SearchModels(q.Context(), q.text("filter"), q.texts("order_by"), p)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Models []wireRegistered `json:"registered_models,omitempty"`
		Next   string           `json:"next_page_token,omitempty"`
	}
	for _, f := range found {
		answer.Models = append(answer.Models, s.registered(f.Model, f.Latest))
	}
	answer.Next = next
	return answer, nil
}

func setRegisteredTag(s *Server, q *request) (any, error) {
	if err := q.check(modelName, field{name: "key", required: true}, field{name: "value"}); err != nil {
		return nil, err
	}
	return nil, s.models.SetModelTag(q.Context(), q.text("name"), q.text("key"), q.text("value"))
}

func deleteRegisteredTag(s *Server, q *request) (any, error) {
	if err := q.check(modelName, field{name: "key", required: true}); err != nil {
		return nil, err
	}
	return nil, s.models.DeleteModelTag(q.Context(), q.text("name"), q.text("key"))
}

func latestVersions(s *Server, q *request) (any, error) {
	if err := q.check(modelName, field{name: "stages", kind: texts}); err != nil {
		return nil, err
	}
	m, latest, err := s.models.Latest(q.Context(), q.text("name"), q.texts("stages"))
	if err != nil {
		return nil, err
	}
	var answer struct {
		Versions []wireVersion `json:"model_versions,omitempty"`
	}
	for _, v := range latest {
		answer.Versions = append(answer.Versions, s.version(m, v))
	}
	return answer, nil
}

func setAlias(s *Server, q *request) (any, error) {
	if err := q.check(modelName, field{name: "alias", required: true}, field{name: "version", required: true}); err != nil {
		return nil, err
	}
	n, err := q.version()
	if err != nil {
		return nil, err
	}
	return nil, s.models.SetAlias(q.Context(), q.text("name"), q.text("alias"), n, q.who(), "set by a client")
}

func deleteAlias(s *Server, q *request) (any, error) {
	if err := q.check(modelName, field{name: "alias", required: true}); err != nil {
		return nil, err
	}
	return nil, s.models.DeleteAlias(q.Context(), q.text("name"), q.text("alias"), q.who(), "deleted by a client")
}

func getByAlias(s *Server, q *request) (any, error) {
	if err := q.check(modelName, field{name: "alias", required: true}); err != nil {
		return nil, err
	}
	m, v, err := s.models.Named(q.Context(), q.text("name"), q.text("alias"))
	return map[string]any{"model_version": s.version(m, v)}, err
}
