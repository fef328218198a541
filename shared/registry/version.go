package registry

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/registry/gate"
	"github.com/litterloop/litterloop/shared/tracking/fault"
)

// Version is one version of a registered model. Its number never changes and is
// never given to another.
type Version struct {
	Model       string            `json:"model"`
	Version     int               `json:"version"` // 1, 2, …
	Run         string            `json:"run"`
	Package     string            `json:"package"` // object prefix in the models bucket, ends in /
	Dataset     string            `json:"dataset"` // data set version it was trained on
	SHA256      string            `json:"sha256"`  // of the package's model file
	Created     time.Time         `json:"created"`
	Updated     time.Time         `json:"updated,omitzero"`
	Description string            `json:"description,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	Gate        *gate.Verdict     `json:"gate,omitempty"`     // nil until it was judged
	Verdicts    []gate.Verdict    `json:"verdicts,omitempty"` // those before Gate, oldest first

	// Of versions that a client of MLflow registered: what it said that the
	// version is, where that lies, and links.
	Source      string `json:"source,omitempty"`
	Location    string `json:"location,omitempty"`
	LoggedModel string `json:"logged_model,omitempty"`
	RunLink     string `json:"run_link,omitempty"`

	Epoch int `json:"epoch,omitempty"` // of its model when it was registered
}

// URI is where a version's files lie, as MLflow's clients understand it.
func (v Version) URI(bucket string) string {
	switch {
	case v.Location != "":
		return v.Location
	case v.Source != "":
		return v.Source
	}
	if under, ok := strings.CutPrefix(v.Package, "artifacts/"); ok {
		return "mlflow-artifacts:/" + strings.TrimSuffix(under, "/")
	}
	return "gs://" + bucket + "/" + strings.TrimSuffix(v.Package, "/")
}

// Object metadata that tells of a version without reading it.
const (
	runKey   = "run" // of a version whose run has no other
	epochKey = "epoch"
)

func versionPrefix(folder string) string { return prefix(folder) + "versions/" }
func versionDocument(folder string, n int) string {
	return fmt.Sprintf("%s%08d.json", versionPrefix(folder), n)
}

// versionRef is a version as a listing tells of it.
type versionRef struct {
	number     int
	object     string
	generation int64
	run        string
	epoch      int
}

func refOf(folder string, a blob.Attrs) (versionRef, bool) {
	digits, ok := strings.CutSuffix(strings.TrimPrefix(a.Name, versionPrefix(folder)), ".json")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || a.Name != versionDocument(folder, n) {
		return versionRef{}, false
	}
	epoch, _ := strconv.Atoi(a.Metadata[epochKey]) // absent: 0
	return versionRef{n, a.Name, a.Generation, a.Metadata[runKey], epoch}, true
}

// refs lists every version that a folder ever had, by number.
func (r *Registry) refs(ctx context.Context, folder string) ([]versionRef, error) {
	var all []versionRef
	for a, err := range r.bucket.List(ctx, versionPrefix(folder)) {
		if err != nil {
			return nil, fmt.Errorf("list versions of %q: %w", folder, err)
		}
		if ref, ok := refOf(folder, a); ok {
			all = append(all, ref)
		}
	}
	return all, nil
}

// counts tells whether a version is one of the model's.
func (d *document) counts(ref versionRef) bool { return ref.epoch == d.Epoch && !d.removed(ref.number) }

// Create registers v under the next free number and returns it as stored. A run
// has one version of a model: creating it again returns the first. v.Version
// and v.Created are ignored.
func (r *Registry) Create(ctx context.Context, v Version) (Version, error) {
	if v.Run == "" {
		return Version{}, errs.Permanentf(CodeBadVersion, "register a version of %q: it names no run", v.Model)
	}
	d, err := r.ensureModel(ctx, v.Model)
	if err != nil {
		return Version{}, err
	}
	refs, err := r.refs(ctx, d.folder())
	if err != nil {
		return Version{}, err
	}
	return r.register(ctx, d, refs, v, true)
}

// Add registers a version of a model that is there, under the next free number,
// however often its run has versions already. describe says what the version is;
// it runs while the model is read, and its error goes first.
func (r *Registry) Add(ctx context.Context, model string, describe func(context.Context) (Version, error)) (Version, error) {
	var d *document
	var refs []versionRef
	var missing error
	var read sync.WaitGroup
	read.Go(func() { d, refs, missing = r.loadRefs(ctx, model) })
	v, err := describe(ctx)
	read.Wait()
	if err := cmp.Or(err, checkTags(v.Tags), missing); err != nil {
		return Version{}, err
	}
	v.Model = model
	return r.register(ctx, d, refs, v, false)
}

// register writes v under the number after those of refs, the versions that d's
// folder has.
func (r *Registry) register(ctx context.Context, d *document, refs []versionRef, v Version, once bool) (Version, error) {
	for {
		last := 0
		for _, ref := range refs {
			if once && ref.run == v.Run && d.counts(ref) {
				return r.Get(ctx, v.Model, ref.number)
			}
			last = max(last, ref.number)
		}
		v.Version, v.Created, v.Epoch = last+1, r.now().UTC(), d.Epoch
		v.Updated = v.Created
		// The number is taken by whoever writes its document first; the loser
		// looks again, because the winner may have registered the same run.
		err := r.writeVersion(ctx, d.folder(), v, once, blob.Absent)
		if err == nil {
			return v, nil
		}
		if !errors.Is(err, errs.Conflict) || ctx.Err() != nil {
			return Version{}, fmt.Errorf("register version %d of %q: %w", v.Version, v.Model, err)
		}
		if refs, err = r.refs(ctx, d.folder()); err != nil {
			return Version{}, err
		}
	}
}

// writeVersion stores v; once when it is its run's only one.
func (r *Registry) writeVersion(ctx context.Context, folder string, v Version, once bool, generation int64) error {
	p, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	metadata := map[string]string{epochKey: strconv.Itoa(v.Epoch)}
	if once {
		metadata[runKey] = v.Run
	}
	_, err = r.bucket.Write(ctx, versionDocument(folder, v.Version), bytes.NewReader(append(p, '\n')), blob.WriteOptions{
		IfGeneration: generation, ContentType: "application/json", Metadata: metadata,
	})
	return err
}

// noVersion says that there is no such version.
func noVersion(model string, n any) error {
	return fault.Missing("Model Version (name=%s, version=%v) not found", model, n)
}

// Get returns version n of a model; errs.NotFound when there is none.
func (r *Registry) Get(ctx context.Context, model string, n int) (Version, error) {
	v, _, _, err := r.get(ctx, model, n)
	return v, err
}

// get reads a version and its model at once; most models lie where their name
// says.
func (r *Registry) get(ctx context.Context, model string, n int) (v Version, generation int64, d *document, err error) {
	if err := checkModel(model); err != nil {
		return v, 0, nil, err
	}
	var guess error
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		d, err = r.load(gctx, model)
		return err
	})
	g.Go(func() error {
		generation, guess = blob.ReadJSON(gctx, r.bucket, versionDocument(model, n), &v)
		return nil
	})
	err = g.Wait()
	if errors.Is(err, errs.NotFound) {
		return v, 0, nil, fmt.Errorf("version %d of model %q: %w", n, model, noVersion(model, n))
	}
	if err != nil {
		return v, 0, nil, err
	}
	if d.folder() != model {
		v = Version{}
		generation, guess = blob.ReadJSON(ctx, r.bucket, versionDocument(d.folder(), n), &v)
	}
	if errors.Is(guess, errs.NotFound) || guess == nil && (v.Epoch != d.Epoch || d.removed(n)) {
		return Version{}, 0, nil, fmt.Errorf("version %d of model %q: %w", n, model, noVersion(model, n))
	}
	if guess != nil {
		return Version{}, 0, nil, fmt.Errorf("version %d of model %q: %w", n, model, guess)
	}
	v.Model = model
	return v, generation, d, nil
}

// List returns every version of a model, oldest first; none when the model is
// not registered.
func (r *Registry) List(ctx context.Context, model string) ([]Version, error) {
	_, versions, err := r.Versions(ctx, model)
	if errors.Is(err, errs.NotFound) {
		return nil, nil
	}
	return versions, err
}

// Versions returns a model and every version of it, oldest first; errs.NotFound
// when there is no such model.
func (r *Registry) Versions(ctx context.Context, model string) (Model, []Version, error) {
	d, refs, err := r.loadRefs(ctx, model)
	if err != nil {
		return Model{}, nil, err
	}
	versions, err := r.readVersions(ctx, d, refs)
	return d.Model, versions, err
}

// loadRefs reads a model and lists its versions at once; most models lie where
// their name says.
func (r *Registry) loadRefs(ctx context.Context, model string) (d *document, refs []versionRef, err error) {
	if err := checkModel(model); err != nil {
		return nil, nil, err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { d, err = r.load(gctx, model); return err })
	g.Go(func() (err error) { refs, err = r.refs(gctx, model); return err })
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	if d.folder() != model {
		refs, err = r.refs(ctx, d.folder())
	}
	return d, refs, err
}

// parallel bounds the requests that one call has under way.
const parallel = 64

// readVersions reads those of refs that are d's; what did not change since it
// was read last is not read again.
func (r *Registry) readVersions(ctx context.Context, d *document, refs []versionRef) ([]Version, error) {
	all := make([]Version, 0, len(refs))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, ref := range refs {
		if !d.counts(ref) {
			continue
		}
		all = append(all, Version{})
		v := &all[len(all)-1] // stays: all has room for every ref
		key := fmt.Sprintf("%s#%d", ref.object, ref.generation)
		if known, ok := r.versions.Get(key); ok {
			*v = known
			continue
		}
		g.Go(func() error {
			if _, err := blob.ReadJSON(ctx, r.bucket, ref.object, v); err != nil {
				return err
			}
			r.versions.Add(key, *v)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("read versions of %q: %w", d.Name, err)
	}
	for i := range all {
		all[i].Model = d.Name
	}
	return all, nil
}

// updateVersion changes version n until nobody interferes. blob.ErrUnchanged of
// change leaves it.
func (r *Registry) updateVersion(ctx context.Context, model string, n int, change func(*Version) error) (Version, *document, error) {
	for {
		v, generation, d, err := r.get(ctx, model, n)
		if err != nil {
			return Version{}, nil, err
		}
		if err := change(&v); errors.Is(err, blob.ErrUnchanged) {
			return v, d, nil
		} else if err != nil {
			return Version{}, nil, err
		}
		err = r.writeVersion(ctx, d.folder(), v, v.Source == "", generation)
		if err == nil {
			return v, d, nil
		}
		if !errors.Is(err, errs.Conflict) || ctx.Err() != nil {
			return Version{}, nil, fmt.Errorf("update version %d of %q: %w", n, model, err)
		}
	}
}

// SetGate records the verdict on version n; the newest verdict stands, and those
// before are kept.
func (r *Registry) SetGate(ctx context.Context, model string, n int, verdict gate.Verdict) (Version, error) {
	v, _, err := r.updateVersion(ctx, model, n, func(v *Version) error {
		if v.Gate != nil {
			v.Verdicts = append(v.Verdicts, *v.Gate)
		}
		v.Gate, v.Updated = &verdict, r.now().UTC()
		return nil
	})
	if err != nil {
		return Version{}, fmt.Errorf("record the gate's verdict: %w", err)
	}
	return v, nil
}

// DescribeVersion changes a version's description.
func (r *Registry) DescribeVersion(ctx context.Context, model string, n int, description string) (Model, Version, error) {
	v, d, err := r.updateVersion(ctx, model, n, func(v *Version) error {
		v.Description, v.Updated = description, r.now().UTC()
		return nil
	})
	if err != nil {
		return Model{}, Version{}, err
	}
	return d.Model, v, nil
}

// SetVersionTag adds a tag to a version or replaces it.
func (r *Registry) SetVersionTag(ctx context.Context, model string, n int, key, value string) error {
	if err := checkTag(key, value); err != nil {
		return err
	}
	_, _, err := r.updateVersion(ctx, model, n, func(v *Version) error {
		set(&v.Tags, key, value)
		return nil
	})
	return err
}

// DeleteVersionTag removes a tag; removing one that is not there changes
// nothing.
func (r *Registry) DeleteVersionTag(ctx context.Context, model string, n int, key string) error {
	_, _, err := r.updateVersion(ctx, model, n, func(v *Version) error {
		if _, ok := v.Tags[key]; !ok {
			return blob.ErrUnchanged
		}
		delete(v.Tags, key)
		return nil
	})
	return err
}

// DeleteVersion deletes version n, and with it the aliases that name it;
// RestoreVersion brings it back, until it is purged.
func (r *Registry) DeleteVersion(ctx context.Context, model string, n int, who string) error {
	if _, err := r.Get(ctx, model, n); err != nil {
		return err
	}
	_, err := r.update(ctx, model, func(d *document) error {
		if d.removed(n) {
			return noVersion(model, n)
		}
		t := tombstone{deletion: deletion{Who: who, Time: r.now().UTC()}, Aliases: d.AliasesOf(n)}
		if stage, ok := d.Stages[n]; ok {
			t.Stage = &stage
		}
		for _, alias := range t.Aliases {
			if err := r.moveAlias(ctx, d, Move{Alias: alias, Who: who, Why: fmt.Sprintf("version %d was deleted", n)}); err != nil {
				return err
			}
		}
		delete(d.Stages, n)
		d.Removed = append(d.Removed, n)
		if d.Tombstones == nil {
			d.Tombstones = map[int]tombstone{}
		}
		d.Tombstones[n] = t
		d.Updated = t.Time
		return nil
	})
	return err
}
