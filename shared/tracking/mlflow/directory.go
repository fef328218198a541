package mlflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
)

// Directory keeps what was exported as files: a Source and a Destination.
//
//	experiments/ID.json   an experiment
//	runs/RUN.json         a run with every point of its metrics, written after its files
//	models/NAME.json      a model with its versions and aliases
//	artifacts/…           files, as mlflow-artifacts:/… names them
type Directory struct{ root *os.Root }

// OpenDirectory opens an exported directory, or makes an empty one with create.
func OpenDirectory(dir string, create bool) (*Directory, error) {
	if create {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	d := &Directory{root}
	if _, err := root.Stat("experiments"); !create && err != nil {
		root.Close()
		return nil, fmt.Errorf("%s was not exported by this program: it has no experiments/", dir)
	}
	return d, root.MkdirAll("experiments", 0o755)
}

// Close gives the directory back.
func (d *Directory) Close() error { return d.root.Close() }

// storedModel is a model's file.
type storedModel struct {
	Model    Model     `json:"model"`
	Versions []Version `json:"versions"`
}

func (d *Directory) read(name string, into any) error {
	data, err := d.root.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", name, errMissing)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// write writes a document as a whole; changed is false when it is there as it is.
func (d *Directory) write(name string, v any) (changed bool, err error) {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return false, err
	}
	if old, err := d.root.ReadFile(name); err == nil && bytes.Equal(old, data) {
		return false, nil
	}
	return true, d.put(name, bytes.NewReader(data), int64(len(data)))
}

// put writes a file under another name and then gives it its own.
func (d *Directory) put(name string, r io.Reader, size int64) error {
	if err := d.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	part := path.Join(path.Dir(name), ".part")
	f, err := d.root.Create(part)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, r)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if n != size {
		return fmt.Errorf("%d of %d bytes came", n, size)
	}
	return d.root.Rename(part, name)
}

// documents are the names of the files in a directory.
func (d *Directory) documents(dir string) (names []string, err error) {
	entries, err := fs.ReadDir(d.root.FS(), dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".json") {
			names = append(names, path.Join(dir, e.Name()))
		}
	}
	return names, err
}

func all[T any](d *Directory, dir string) (docs []T, err error) {
	names, err := d.documents(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		var v T
		if err := d.read(name, &v); err != nil {
			return nil, err
		}
		docs = append(docs, v)
	}
	return docs, nil
}

// document is the name of a document; names of models may have any character.
func document(dir, name string) string { return dir + "/" + url.PathEscape(name) + ".json" }

// Experiments implements Source.
func (d *Directory) Experiments(context.Context) ([]Experiment, error) {
	return all[Experiment](d, "experiments")
}

// Runs implements Source; a directory holds what was chosen when it was exported.
func (d *Directory) Runs(_ context.Context, experiment, filter string) (ids []string, err error) {
	if filter != "" {
		return nil, errors.New("a directory cannot be searched: filter when exporting to it")
	}
	runs, err := all[Run](d, "runs")
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(runs, func(a, b Run) int { return int(a.Info.Start - b.Info.Start) })
	for _, r := range runs {
		if r.Info.Experiment == experiment {
			ids = append(ids, r.Info.ID)
		}
	}
	return ids, nil
}

// Run implements Source.
func (d *Directory) Run(_ context.Context, id string) (r Run, err error) {
	return r, d.read(document("runs", id), &r)
}

// Models implements Source.
func (d *Directory) Models(context.Context) (models []Model, err error) {
	stored, err := all[storedModel](d, "models")
	for _, m := range stored {
		models = append(models, m.Model)
	}
	return models, err
}

// Versions implements Source.
func (d *Directory) Versions(_ context.Context, model string) ([]Version, error) {
	var m storedModel
	err := d.read(document("models", model), &m)
	return m.Versions, err
}

// PutRun implements Destination.
func (d *Directory) PutRun(ctx context.Context, e Experiment, r Run, from Files) (changed bool, err error) {
	var old Experiment
	if err := d.read(document("experiments", e.ID), &old); err == nil && old.Name != e.Name {
		return false, clashf("the directory has experiment %s as %q, and the source as %q: export it to a directory of its own", e.ID, old.Name, e.Name)
	}
	if _, err := d.write(document("experiments", e.ID), e); err != nil {
		return false, err
	}
	n, err := copyFiles(ctx, from, r.Info.ArtifactURI, d, r.Info.ArtifactURI)
	if err != nil {
		return false, err
	}
	changed, err = d.write(document("runs", r.Info.ID), r)
	return changed || n > 0, err
}

// PutModel implements Destination.
func (d *Directory) PutModel(ctx context.Context, m Model, versions []Version, from Files) (changed int, notes []string, err error) {
	var old storedModel
	err = d.read(document("models", m.Name), &old)
	if err != nil && !errors.Is(err, errMissing) {
		return 0, nil, err
	}
	for _, v := range versions {
		i := slices.IndexFunc(old.Versions, func(o Version) bool { return o.Version == v.Version })
		if i >= 0 && old.Versions[i].origin() != v.origin() {
			return 0, nil, clashf("%s/%s in the directory is another: export it to a directory of its own", v.Name, v.Version)
		}
		if _, ok := held(v.Location); !ok {
			notes = append(notes, fmt.Sprintf("%s/%s: its files stay at %s", v.Name, v.Version, v.Location))
		}
		n, err := copyFiles(ctx, from, v.Location, d, v.Location)
		if err != nil {
			return changed, notes, err
		}
		if i < 0 || n > 0 {
			changed++
		}
	}
	_, err = d.write(document("models", m.Name), storedModel{m, versions})
	return changed, notes, err
}

func fileName(uri, file string) (string, error) {
	root, ok := held(uri)
	name := path.Join("artifacts", root, file)
	if !ok || !strings.HasPrefix(name, "artifacts/") {
		return "", fmt.Errorf("%s/%s lies elsewhere", uri, file)
	}
	return name, nil
}

// List implements Files.
func (d *Directory) List(_ context.Context, uri string) (files []File, err error) {
	root, err := fileName(uri, "")
	if err != nil {
		return nil, nil
	}
	err = fs.WalkDir(d.root.FS(), root, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == ".part" {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		files = append(files, File{strings.TrimPrefix(name, root+"/"), info.Size()})
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return files, err
}

// Open implements Files.
func (d *Directory) Open(_ context.Context, uri, file string) (io.ReadCloser, error) {
	name, err := fileName(uri, file)
	if err != nil {
		return nil, err
	}
	return d.root.Open(name)
}

// Put implements Files.
func (d *Directory) Put(_ context.Context, uri, file string, r io.Reader, size int64) error {
	name, err := fileName(uri, file)
	if err != nil {
		return err
	}
	return d.put(name, r, size)
}
