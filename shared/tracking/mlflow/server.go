package mlflow

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Server is a tracking server as a Destination.
type Server struct {
	*Client
	copies      map[string]wireRun // by origin; nil: not asked yet
	experiments map[string]string  // ids by name
	placed      map[string]wireRun // by the source's run id
}

// NewServer returns the server that c speaks to.
func NewServer(c *Client) *Server {
	return &Server{Client: c, experiments: map[string]string{}, placed: map[string]wireRun{}}
}

// find returns the copy of a run, or the run itself where it came from here.
func (s *Server) find(ctx context.Context, origin string) (w wireRun, ok bool, err error) {
	if s.copies == nil {
		if err := s.learn(ctx); err != nil {
			return w, false, fmt.Errorf("look for what was copied before: %w", err)
		}
	}
	if w, ok = s.copies[origin]; ok {
		return w, true, nil
	}
	w, err = s.run(ctx, origin)
	if errors.Is(err, errMissing) {
		return w, false, nil
	}
	return w, err == nil, err
}

// learn asks which runs are copies.
func (s *Server) learn(ctx context.Context) error {
	all, err := s.Experiments(ctx)
	if err != nil {
		return err
	}
	copies := map[string]wireRun{}
	for _, e := range all {
		runs, err := s.search(ctx, []string{e.ID}, "tags.`"+tagRun+"` != ''", "ALL")
		if err != nil {
			return err
		}
		for _, r := range runs {
			copies[valueOf(r.Data.Tags, tagRun)] = r
		}
	}
	s.copies = copies
	return nil
}

// experiment is the id of the experiment of that name, made when missing.
func (s *Server) experiment(ctx context.Context, e Experiment) (string, error) {
	if id, ok := s.experiments[e.Name]; ok {
		return id, nil
	}
	var a struct {
		Experiment Experiment
		ID         string `json:"experiment_id"`
	}
	err := s.get(ctx, "experiments/get-by-name", url.Values{"experiment_name": {e.Name}}, &a)
	switch {
	case errors.Is(err, errMissing):
		err = s.post(ctx, "experiments/create", map[string]any{"name": e.Name, "tags": e.Tags}, &a)
	case err == nil && a.Experiment.Lifecycle == "deleted":
		return "", clashf("the destination's experiment %q is deleted: restore it, or give it another name", e.Name)
	default:
		a.ID = a.Experiment.ID
	}
	if err != nil {
		return "", err
	}
	s.experiments[e.Name] = a.ID
	return a.ID, nil
}

// PutRun implements Destination.
func (s *Server) PutRun(ctx context.Context, e Experiment, r Run, from Files) (changed bool, err error) {
	w, there, err := s.find(ctx, r.origin())
	if err != nil {
		return false, err
	}
	if there && w.Info.Lifecycle == "deleted" {
		return false, clashf("the destination has it as %s, deleted: restore that", w.Info.ID)
	}
	if there && w.Info.ID == r.origin() {
		s.placed[r.Info.ID] = w
		return false, nil // it came from here
	}
	digest, err := r.digest()
	if err != nil {
		return false, err
	}
	if !there {
		id, err := s.experiment(ctx, e)
		if err != nil {
			return false, err
		}
		var a struct{ Run wireRun }
		if err := s.post(ctx, "runs/create", map[string]any{
			"experiment_id": id, "run_name": r.Info.Name, "user_id": r.Info.User, "start_time": r.Info.Start, "tags": []Tag{{tagRun, r.origin()}},
		}, &a); err != nil {
			return false, err
		}
		w = a.Run
		s.copies[r.origin()] = w
	}
	s.placed[r.Info.ID] = w
	files, err := copyFiles(ctx, from, r.Info.ArtifactURI, s, w.Info.ArtifactURI)
	if err != nil {
		return false, err
	}
	if valueOf(w.Data.Tags, tagDigest) == digest {
		return files > 0, nil
	}
	if err := s.log(ctx, w.Info.ID, r); err != nil {
		return false, refused(err)
	}
	end := map[string]any{"run_id": w.Info.ID, "status": r.Info.Status, "run_name": r.Info.Name}
	if r.Info.End != 0 {
		end["end_time"] = r.Info.End
	}
	if err := s.post(ctx, "runs/update", end, nil); err != nil {
		return false, err
	}
	return true, s.post(ctx, "runs/set-tag", map[string]any{"run_id": w.Info.ID, "key": tagDigest, "value": digest}, nil)
}

// log logs all that a run has; what is there already is kept once.
func (s *Server) log(ctx context.Context, id string, r Run) error {
	batch := func(kind string, part any) error {
		return s.post(ctx, "runs/log-batch", map[string]any{"run_id": id, kind: part}, nil)
	}
	for part := range slices.Chunk(r.Params, 100) {
		if err := batch("params", part); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(r.Metrics, 1000) {
		if err := batch("metrics", part); err != nil {
			return err
		}
	}
	var tags []Tag
	for _, t := range r.Tags {
		switch t.Key {
		case tagRun, tagDigest, "mlflow.runName":
			continue
		case tagParent:
			if parent, ok := s.placed[t.Value]; ok {
				t.Value = parent.Info.ID
			}
		}
		tags = append(tags, t)
	}
	for part := range slices.Chunk(tags, 100) {
		if err := batch("tags", part); err != nil {
			return err
		}
	}
	if len(r.Inputs) > 0 {
		return s.post(ctx, "runs/log-inputs", map[string]any{"run_id": id, "datasets": r.Inputs}, nil)
	}
	return nil
}

// refused makes a clash of what the destination will not have.
func refused(err error) error {
	if no := new(refusal); errors.As(err, &no) && no.status == http.StatusBadRequest {
		return &Clash{"the destination refuses it: " + no.Message}
	}
	return err
}

// PutModel implements Destination.
func (s *Server) PutModel(ctx context.Context, m Model, versions []Version, from Files) (changed int, notes []string, err error) {
	there, err := s.model(ctx, m.Name)
	if errors.Is(err, errMissing) {
		err = s.post(ctx, "registered-models/create", map[string]any{"name": m.Name, "description": m.Description, "tags": m.Tags}, nil)
	}
	if err != nil {
		return 0, nil, refused(err)
	}
	copied, err := s.Versions(ctx, m.Name)
	if err != nil {
		return 0, nil, err
	}
	numbers := map[string]string{} // of the destination's versions, by origin
	for _, v := range copied {
		numbers[v.origin()] = v.Version
	}
	var clashes []error
	target := map[string]string{} // the destination's number, by the source's
	for _, v := range versions {
		n, ok := numbers[v.origin()]
		if !ok {
			n, err = s.putVersion(ctx, v, from)
			if c := new(Clash); errors.As(err, &c) {
				clashes = append(clashes, clashf("%s/%s: %s", v.Name, v.Version, c.What))
				continue
			}
			if err != nil {
				return changed, notes, err
			}
			changed++
			numbers[v.origin()] = n
			if _, ok := held(v.Location); !ok {
				notes = append(notes, fmt.Sprintf("%s/%s: its files stay at %s", v.Name, v.Version, v.Location))
			}
		}
		if target[v.Version] = n; n != v.Version {
			notes = append(notes, fmt.Sprintf("%s/%s is %s/%s in the destination", v.Name, v.Version, v.Name, n))
		}
	}
	ours := map[string]bool{}
	for _, n := range target {
		ours[n] = true
	}
	for _, a := range m.Aliases {
		n, ok := target[a.Version]
		i := slices.IndexFunc(there.Aliases, func(b Alias) bool { return b.Alias == a.Alias })
		switch {
		case !ok || i >= 0 && there.Aliases[i].Version == n:
			continue
		case i >= 0 && !ours[there.Aliases[i].Version]:
			clashes = append(clashes, clashf("%s@%s names version %s of the destination's own: it was left there", m.Name, a.Alias, there.Aliases[i].Version))
			continue
		}
		if err := s.post(ctx, "registered-models/alias", map[string]any{"name": m.Name, "alias": a.Alias, "version": n}, nil); err != nil {
			return changed, notes, err
		}
	}
	return changed, notes, errors.Join(clashes...)
}

// putVersion registers a copy of v and returns its number.
func (s *Server) putVersion(ctx context.Context, v Version, from Files) (string, error) {
	run, ok := s.placed[v.Run]
	if v.Run != "" && !ok {
		return "", clashf("the run that it came from was not copied")
	}
	source, err := s.place(ctx, v, run, from)
	if err != nil {
		return "", err
	}
	tags := append(slices.DeleteFunc(slices.Clone(v.Tags), func(t Tag) bool { return t.Key == tagVersion }), Tag{tagVersion, v.origin()})
	var a struct {
		Version Version `json:"model_version"`
	}
	body := map[string]any{"name": v.Name, "source": source, "description": v.Description, "tags": tags}
	if run.Info.ID != "" {
		body["run_id"] = run.Info.ID
	}
	if err := s.post(ctx, "model-versions/create", body, &a); err != nil {
		return "", refused(err)
	}
	if v.Stage != "" && v.Stage != "None" {
		return a.Version.Version, s.post(ctx, "model-versions/transition-stage", map[string]any{"name": v.Name, "version": a.Version.Version, "stage": v.Stage, "archive_existing_versions": false}, nil)
	}
	return a.Version.Version, nil
}

// place puts a version's files where the destination lets a version of that run
// lie, and returns the URI.
func (s *Server) place(ctx context.Context, v Version, run wireRun, from Files) (string, error) {
	at, ok := held(v.Location)
	if !ok {
		return v.Location, nil
	}
	if run.Info.ID == "" {
		return "", clashf("it has no run, and so no place for its files")
	}
	// A run's own files were copied with it.
	if _, inside, ok := strings.Cut("/"+at+"/", "/"+v.Run+"/artifacts/"); ok {
		return strings.TrimRight(run.Info.ArtifactURI+"/"+inside, "/"), nil
	}
	uri := run.Info.ArtifactURI + "/registered/" + v.Name + "/" + v.Version
	_, err := copyFiles(ctx, from, v.Location, s, uri)
	return uri, err
}
