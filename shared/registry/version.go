package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/registry/gate"
)

// Version is one version of a registered model. Its number never changes and is
// never given to another.
type Version struct {
	Model   string            `json:"model"`
	Version int               `json:"version"` // 1, 2, …
	Run     string            `json:"run"`
	Package string            `json:"package"` // object prefix in the models bucket, ends in /
	Dataset string            `json:"dataset"` // data set version it was trained on
	SHA256  string            `json:"sha256"`  // of the package's model file
	Created time.Time         `json:"created"`
	Tags    map[string]string `json:"tags,omitempty"`
	Gate    *gate.Verdict     `json:"gate,omitempty"` // nil until it was judged
}

// runKey is the object metadata that tells a version's run without reading it.
const runKey = "run"

func versionPrefix(model string) string      { return prefix(model) + "versions/" }
func versionDocument(m string, n int) string { return fmt.Sprintf("%s%08d.json", versionPrefix(m), n) }

// Create registers v under the next free number and returns it as stored. A run
// has one version of a model: creating it again returns the first. v.Version
// and v.Created are ignored.
func (r *Registry) Create(ctx context.Context, v Version) (Version, error) {
	if v.Run == "" {
		return Version{}, errs.Permanentf(CodeBadVersion, "register a version of %q: it names no run", v.Model)
	}
	if err := r.ensureModel(ctx, v.Model); err != nil {
		return Version{}, err
	}
	for {
		last := 0
		for a, err := range r.bucket.List(ctx, versionPrefix(v.Model)) {
			if err != nil {
				return Version{}, fmt.Errorf("list versions of %q: %w", v.Model, err)
			}
			n, ok := versionNumber(v.Model, a.Name)
			if !ok {
				continue
			}
			if a.Metadata[runKey] == v.Run {
				return r.Get(ctx, v.Model, n)
			}
			last = max(last, n)
		}
		v.Version, v.Created = last+1, r.now().UTC()
		// The number is taken by whoever writes its document first; the loser
		// looks again, because the winner may have registered the same run.
		err := r.writeVersion(ctx, v, blob.Absent)
		if err == nil {
			return v, nil
		}
		if !errors.Is(err, errs.Conflict) || ctx.Err() != nil {
			return Version{}, fmt.Errorf("register version %d of %q: %w", v.Version, v.Model, err)
		}
	}
}

func versionNumber(model, object string) (n int, ok bool) {
	digits, ok := strings.CutSuffix(strings.TrimPrefix(object, versionPrefix(model)), ".json")
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && object == versionDocument(model, n)
}

func (r *Registry) writeVersion(ctx context.Context, v Version, generation int64) error {
	p, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = r.bucket.Write(ctx, versionDocument(v.Model, v.Version), bytes.NewReader(append(p, '\n')), blob.WriteOptions{
		IfGeneration: generation,
		ContentType:  "application/json",
		Metadata:     map[string]string{runKey: v.Run},
	})
	return err
}

// Get returns version n of a model; errs.NotFound when there is none.
func (r *Registry) Get(ctx context.Context, model string, n int) (Version, error) {
	v, _, err := r.get(ctx, model, n)
	return v, err
}

func (r *Registry) get(ctx context.Context, model string, n int) (v Version, generation int64, err error) {
	if err := checkModel(model); err != nil {
		return Version{}, 0, err
	}
	if generation, err = blob.ReadJSON(ctx, r.bucket, versionDocument(model, n), &v); err != nil {
		return Version{}, 0, fmt.Errorf("version %d of model %q: %w", n, model, err)
	}
	return v, generation, nil
}

// List returns every version of a model, oldest first; none when the model is
// not registered.
func (r *Registry) List(ctx context.Context, model string) ([]Version, error) {
	if err := checkModel(model); err != nil {
		return nil, err
	}
	var versions []Version
	for a, err := range r.bucket.List(ctx, versionPrefix(model)) {
		if err != nil {
			return nil, fmt.Errorf("list versions of %q: %w", model, err)
		}
		n, ok := versionNumber(model, a.Name)
		if !ok {
			continue
		}
		v, err := r.Get(ctx, model, n)
		if err != nil {
			return nil, err
		}
		versions = append(versions, v)
	}
	return versions, nil
}

// SetGate records the verdict on version n; the newest verdict stands.
func (r *Registry) SetGate(ctx context.Context, model string, n int, verdict gate.Verdict) (Version, error) {
	for {
		v, generation, err := r.get(ctx, model, n)
		if err != nil {
			return Version{}, err
		}
		v.Gate = &verdict
		if err = r.writeVersion(ctx, v, generation); err == nil {
			return v, nil
		}
		if !errors.Is(err, errs.Conflict) || ctx.Err() != nil {
			return Version{}, fmt.Errorf("record the gate's verdict on version %d of %q: %w", n, model, err)
		}
	}
}
