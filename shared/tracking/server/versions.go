package server

import (
	"context"
	"net/http"
	"strconv"

	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/tracking/fault"
)

type wireVersion struct {
	Name        string    `json:"name"`
	Version     string    `json:"version"`
	Created     int64     `json:"creation_timestamp"`
	Updated     int64     `json:"last_updated_timestamp"`
	Stage       string    `json:"current_stage"`
	Description string    `json:"description"`
	Source      string    `json:"source"`
	Run         string    `json:"run_id"`
	Status      string    `json:"status"`
	Tags        []wireTag `json:"tags,omitempty"`
	RunLink     string    `json:"run_link"`
	Aliases     []string  `json:"aliases,omitempty"`
}

func (s *Server) version(m registry.Model, v registry.Version) wireVersion {
	stage, set := m.StageOf(v.Version)
	source := v.Source
	if source == "" {
		source = v.URI(s.bucket.Name())
	}
	return wireVersion{
		Name: v.Model, Version: strconv.Itoa(v.Version), Created: v.Created.UnixMilli(), Updated: later(later(v.Created, v.Updated), set).UnixMilli(),
		Stage: stage, Description: v.Description, Source: source, Run: v.Run, Status: "READY", Tags: wireTags(v.Tags), RunLink: v.RunLink,
		Aliases: m.AliasesOf(v.Version),
	}
}

// version is the number of a version, which the protocol has as a string.
func (q *request) version() (int, error) {
	n, err := strconv.Atoi(q.text("version"))
	if err != nil {
		return 0, fault.Invalid("Parameter 'version' must be an integer, got '%s'.", q.text("version"))
	}
	return n, nil
}

// named checks that a request names a version, and more.
func (q *request) named(more ...field) (name string, n int, err error) {
	if err := q.check(append([]field{modelName, {name: "version", required: true}}, more...)...); err != nil {
		return "", 0, err
	}
	n, err = q.version()
	return q.text("name"), n, err
}

func (s *Server) describeVersion(q *request, name string, n int) (any, error) {
	m, v, err := s.models.Find(q.Context(), name, n)
	return map[string]any{"model_version": s.version(m, v)}, err
}

func createVersion(s *Server, q *request) (any, error) {
	if err := q.check(modelName, field{name: "source", required: true}, field{name: "run_id"}, field{name: "tags", kind: objects},
		field{name: "run_link"}, field{name: "description"}, field{name: "model_id"}); err != nil {
		return nil, err
	}
	if err := q.checkPairs("tags"); err != nil {
		return nil, err
	}
	v := registry.Version{
		Source: q.text("source"), Run: q.text("run_id"), LoggedModel: q.text("model_id"),
		RunLink: q.text("run_link"), Description: q.text("description"), Tags: pairs(q.objects("tags")),
	}
	var logged tracking.LoggedModel
	v, err := s.models.Add(q.Context(), q.text("name"), func(ctx context.Context) (_ registry.Version, err error) {
		if logged, err = s.locate(ctx, &v, q.get("run_id") != nil, q.get("model_id") != nil); err == nil && logged.ID != v.LoggedModel {
			logged, err = s.store.LoggedModel(ctx, v.LoggedModel, true)
		}
		return v, err
	})
	if err != nil {
		return nil, err
	}
	if v.LoggedModel != "" {
		if err := s.store.NoteVersion(q.Context(), logged, v.Model, v.Version); err != nil {
			return nil, err
		}
	}
	return map[string]any{"model_version": s.version(registry.Model{Name: v.Model}, v)}, nil
}

func getVersion(s *Server, q *request) (any, error) {
	name, n, err := q.named()
	if err != nil {
		return nil, err
	}
	return s.describeVersion(q, name, n)
}

func updateVersion(s *Server, q *request) (any, error) {
	name, n, err := q.named(field{name: "description"})
	if err != nil {
		return nil, err
	}
	m, v, err := s.models.DescribeVersion(q.Context(), name, n, q.text("description"))
	return map[string]any{"model_version": s.version(m, v)}, err
}

func transitionStage(s *Server, q *request) (any, error) {
	name, n, err := q.named(field{name: "stage", required: true}, field{name: "archive_existing_versions", kind: boolean})
	if err != nil {
		return nil, err
	}
	m, v, err := s.models.Transition(q.Context(), name, n, q.text("stage"), q.bool("archive_existing_versions"))
	return map[string]any{"model_version": s.version(m, v)}, err
}

func deleteVersion(s *Server, q *request) (any, error) {
	name, n, err := q.named()
	if err != nil {
		return nil, err
	}
	s.purge(q.Context())
	return nil, s.models.DeleteVersion(q.Context(), name, n, q.who())
}

func downloadURI(s *Server, q *request) (any, error) {
	name, n, err := q.named()
	if err != nil {
		return nil, err
	}
	_, v, err := s.models.Find(q.Context(), name, n)
	return map[string]string{"artifact_uri": v.URI(s.bucket.Name())}, err
}

func searchVersions(s *Server, q *request) (any, error) {
	if err := q.check(field{name: "filter"}, field{name: "max_results", kind: integer, max: 200_000}, field{name: "order_by", kind: texts}, field{name: "page_token"}); err != nil {
		return nil, err
	}
	p := q.page(10_000)
	if p.Max < 1 {
		return nil, fault.Invalid("Invalid value for max_results. It must be a positive integer, but got %d", p.Max)
	}
	found, next, err := s.models.SearchVersions(q.Context(), q.text("filter"), q.texts("order_by"), p)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Versions []wireVersion `json:"model_versions,omitempty"`
		Next     string        `json:"next_page_token,omitempty"`
	}
	for _, f := range found {
		answer.Versions = append(answer.Versions, s.version(*f.Of, f.Version))
	}
	answer.Next = next
	return answer, nil
}

func setVersionTag(s *Server, q *request) (any, error) {
	name, n, err := q.named(field{name: "key", required: true}, field{name: "value"})
	if err != nil {
		return nil, err
	}
	return nil, s.models.SetVersionTag(q.Context(), name, n, q.text("key"), q.text("value"))
}

func deleteVersionTag(s *Server, q *request) (any, error) {
	name, n, err := q.named(field{name: "key", required: true})
	if err != nil {
		return nil, err
	}
	return nil, s.models.DeleteVersionTag(q.Context(), name, n, q.text("key"))
}

// getVersionArtifact serves a file of a registered version.
func getVersionArtifact(s *Server, w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	q, err := parse(r, nil)
	if err != nil {
		return err
	}
	name, n, err := q.named(field{name: "path", required: true})
	if err != nil {
		return err
	}
	_, v, err := s.models.Find(r.Context(), name, n)
	if err != nil {
		return err
	}
	return s.serveUnder(w, r, v.URI(s.bucket.Name()), q.text("path"))
}
