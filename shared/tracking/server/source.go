package server

import (
	"context"
	"errors"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/tracking/fault"
)

// locate finds where a version that a client registers lies, and refuses sources
// that the client has no claim to. hasRun and hasModel tell that the client gave
// a run or a logged model, be it an empty one. It returns the version's logged
// model if it had to read that.
func (s *Server) locate(ctx context.Context, v *registry.Version, hasRun, hasModel bool) (logged tracking.LoggedModel, err error) {
	u, err := url.Parse(v.Source)
	if err != nil {
		u = &url.URL{Path: v.Source}
	}
	if err := checkScheme(u.Scheme, "source"); err != nil {
		return logged, err
	}
	if local(u) {
		return logged, fault.Invalid("Invalid model version source: '%s'. To use a local path as a model version source, the run_id request parameter "+
			"has to be specified and the local path has to be contained within the artifact directory of the run specified by the run_id.", v.Source)
	}
	if err := absolute(v.Source); err != nil {
		return logged, err
	}
	v.Location = v.Source
	switch u.Scheme {
	case "models":
		if u.Host != "" {
			return logged, notContained(v.Source, "model_id")
		}
		return s.locateModel(ctx, v, strings.TrimLeft(u.Path, "/"), hasRun, hasModel)
	case "runs":
		run, _, _ := strings.Cut(strings.TrimLeft(u.Path, "/"), "/")
		if u.Host != "" || v.LoggedModel != "" || run == "" || run != v.Run {
			return logged, notContained(v.Source, map[bool]string{true: "model_id", false: "run_id"}[v.LoggedModel != ""])
		}
	case "mlflow-artifacts":
		return s.locateArtifacts(ctx, v)
	}
	return logged, nil
}

// locateModel resolves models:/m-ID, models:/NAME/VERSION and models:/NAME@ALIAS.
func (s *Server) locateModel(ctx context.Context, v *registry.Version, rest string, hasRun, hasModel bool) (logged tracking.LoggedModel, err error) {
	if strings.HasPrefix(rest, "m-") && !strings.ContainsAny(rest, "/@") {
		if v.LoggedModel != rest {
			return logged, notContained(v.Source, "model_id")
		}
		logged, err = s.store.LoggedModel(ctx, rest, false)
		if errors.Is(err, errs.NotFound) {
			return logged, notContained(v.Source, "model_id")
		}
		v.Location = logged.ArtifactURI
		if v.Run == "" {
			v.Run = logged.Run
		}
		return logged, err
	}
	from, err := s.models.Resolve(ctx, v.Source)
	if err != nil {
		if _, permanent := errs.Reason(err); permanent {
			return logged, notContained(v.Source, "model_id")
		}
		return logged, err
	}
	if hasRun && v.Run != from.Run || hasModel && v.LoggedModel != from.LoggedModel {
		return logged, fault.Invalid("Invalid model version source: '%s'. The run_id and model_id request parameters must match the referenced model version.", v.Source)
	}
	v.Source = "models:/" + from.Model + "/" + strconv.Itoa(from.Version)
	v.Location, v.Run, v.LoggedModel = from.URI(s.bucket.Name()), from.Run, from.LoggedModel
	return logged, nil
}

// locateArtifacts takes what lies in the server's own storage only from the run,
// or the logged model, that it belongs to.
func (s *Server) locateArtifacts(ctx context.Context, v *registry.Version) (logged tracking.LoggedModel, err error) {
	var root, name string
	if v.LoggedModel != "" {
		logged, err = s.store.LoggedModel(ctx, v.LoggedModel, false)
		root, name = logged.ArtifactURI, "model_id"
		if v.Run == "" {
			v.Run = logged.Run
		}
	} else {
		var r tracking.Run
		r, err = s.store.Run(ctx, v.Run)
		root, name = r.ArtifactURI, "run_id"
	}
	if err != nil && !errors.Is(err, errs.NotFound) {
		return logged, err
	}
	if err != nil || v.Source != root && !strings.HasPrefix(v.Source, root+"/") {
		return logged, notContained(v.Source, name)
	}
	return logged, nil
}

func notContained(source, name string) error {
	return fault.Invalid("Invalid model version source: '%s'. The %s request parameter must identify the resource that contains the source.", source, name)
}

// local tells whether a source names a file of the machine.
func local(u *url.URL) bool {
	return u.Scheme == "" || u.Scheme == "file" || len(u.Scheme) == 1
}

// absolute refuses sources that lead elsewhere than they seem to, however often
// they are encoded.
func absolute(source string) error {
	bad := fault.Invalid("Invalid model version source: '%s'. If supplying a source as an http, https, local file path, ftp, objectstore, or mlflow-artifacts uri, "+
		"an absolute path must be provided without relative path references present. Please provide an absolute path.", source)
	decoded := source
	for {
		next, err := url.QueryUnescape(decoded)
		if err != nil || next == decoded {
			break
		}
		decoded = next
	}
	for part := range strings.SplitSeq(decoded, "/") {
		if part == ".." {
			return bad
		}
	}
	u, err := url.Parse(strings.ReplaceAll(decoded, "\x00", "/../"))
	if err != nil {
		return bad
	}
	if p := slashes.ReplaceAllString(strings.TrimRight(u.Path, "/"), "/"); p != "" && path.Clean(p) != p {
		return bad
	}
	return nil
}

var slashes = regexp.MustCompile(`/+`)
