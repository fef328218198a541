// Package source loads the model that a detector serves, wherever MODEL_URI
// points: the registry, a bucket, a directory, a file.
package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/registry"
)

// Reasons why a model cannot be loaded.
const (
	BadURI     errs.Code = "model-uri"
	BadPackage errs.Code = "model-package-damaged"
)

// Registry finds the version that a models:/ URI names.
type Registry interface {
	Resolve(ctx context.Context, uri string) (registry.Version, error)
}

// Places are where models may lie. Models and Registry serve models:/ URIs,
// Bucket gs:// URIs; each may be nil when it is not asked for.
type Places struct {
	Models   blob.Bucket
	Registry Registry
	Bucket   func(ctx context.Context, name string) (blob.Bucket, error)
}

// Model is a loaded model. Card and Golden are nil for a lone file.
type Model struct {
	Name    string // registered name, or the card's, or the file's
	Version string // registered version; empty when it has none
	SHA256  string // of ONNX, lower-case hex
	Dataset string
	ONNX    []byte
	Card    *modelpackage.Card
	Golden  *modelpackage.Golden

	files reader
}

// Photo reads a golden photo.
func (m *Model) Photo(ctx context.Context, file string) ([]byte, error) {
	if file != path.Base(file) || file == "." || file == ".." {
		return nil, errs.Permanentf(BadPackage, "golden photo %q is no plain file name", file)
	}
	return m.files.read(ctx, modelpackage.GoldenDir+file)
}

// Load reads the model that uri names:
//
//	models:/NAME/3, models:/NAME@ALIAS, models:/NAME/latest
//	gs://BUCKET/PACKAGE/ or gs://BUCKET/FILE.onnx
//	DIRECTORY or FILE.onnx
//
// The model's bytes are checked against the registry's and the card's SHA-256.
func Load(ctx context.Context, uri string, p Places) (m *Model, err error) {
	defer errs.Wrap(&err, "load model %s", uri)
	switch {
	case strings.HasPrefix(uri, "models:/"):
		return registered(ctx, uri, p)
	case strings.HasPrefix(uri, "gs://"):
		bucket, name, _ := strings.Cut(strings.TrimPrefix(uri, "gs://"), "/")
		if bucket == "" || p.Bucket == nil {
			return nil, errs.Permanentf(BadURI, "no bucket to read from")
		}
		b, err := p.Bucket(ctx, bucket)
		if err != nil {
			return nil, err
		}
		if path.Ext(name) == ".onnx" {
			return lone(ctx, bucketReader{b, path.Dir(name) + "/"}, path.Base(name))
		}
		return packaged(ctx, bucketReader{b, strings.TrimSuffix(name, "/") + "/"}, path.Base(name))
	case uri == "":
		return nil, errs.Permanentf(BadURI, "MODEL_URI is not set: give models:/NAME@ALIAS, gs://BUCKET/PACKAGE/, a directory or a file")
	case strings.Contains(uri, "://"):
		return nil, errs.Permanentf(BadURI, "unknown scheme: give models:/NAME@ALIAS, gs://BUCKET/PACKAGE/, a directory or a file")
	}
	info, err := os.Stat(uri)
	if err != nil {
		return nil, errs.Permanent(BadURI, err)
	}
	if info.IsDir() {
		return packaged(ctx, dirReader(uri), filepath.Base(uri))
	}
	return lone(ctx, dirReader(filepath.Dir(uri)), filepath.Base(uri))
}

func registered(ctx context.Context, uri string, p Places) (*Model, error) {
	if p.Registry == nil || p.Models == nil {
		return nil, errs.Permanentf(BadURI, "no registry: set MODELS_BUCKET")
	}
	v, err := p.Registry.Resolve(ctx, uri)
	if err != nil {
		return nil, err
	}
	m, err := packaged(ctx, bucketReader{p.Models, v.Package}, v.Model)
	if err != nil {
		return nil, err
	}
	if v.SHA256 != "" && m.SHA256 != v.SHA256 {
		return nil, errs.Permanentf(BadPackage, "%s has SHA-256 %s where the registry says %s", modelpackage.ModelFile, m.SHA256, v.SHA256)
	}
	m.Name, m.Version, m.Dataset = v.Model, fmt.Sprint(v.Version), v.Dataset
	return m, nil
}

func lone(ctx context.Context, files reader, name string) (*Model, error) {
	m := &Model{Name: strings.TrimSuffix(name, path.Ext(name)), files: files}
	return m, m.readONNX(ctx, name)
}

// packaged reads a model package; a directory that holds only model.onnx is
// served too.
func packaged(ctx context.Context, files reader, name string) (*Model, error) {
	m := &Model{Name: name, files: files}
	if err := m.readONNX(ctx, modelpackage.ModelFile); err != nil {
		return nil, err
	}
	if err := readJSON(ctx, files, modelpackage.CardFile, &m.Card); err != nil {
		return nil, err
	}
	if err := readJSON(ctx, files, modelpackage.GoldenFile, &m.Golden); err != nil {
		return nil, err
	}
	if m.Card != nil {
		if m.Card.SHA256 != "" && m.Card.SHA256 != m.SHA256 {
			return nil, errs.Permanentf(BadPackage, "%s has SHA-256 %s where %s says %s", modelpackage.ModelFile, m.SHA256, modelpackage.CardFile, m.Card.SHA256)
		}
		if m.Card.Name != "" {
			m.Name = m.Card.Name
		}
		m.Dataset = m.Card.Dataset
	}
	return m, nil
}

func (m *Model) readONNX(ctx context.Context, file string) (err error) {
	if m.ONNX, err = m.files.read(ctx, file); err != nil {
		return err
	}
	sum := sha256.Sum256(m.ONNX)
	m.SHA256 = hex.EncodeToString(sum[:])
	return nil
}

// readJSON leaves v nil when there is no such file.
func readJSON[T any](ctx context.Context, files reader, file string, v **T) error {
	p, err := files.read(ctx, file)
	if errors.Is(err, errs.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	*v = new(T)
	if err := json.Unmarshal(p, *v); err != nil {
		return errs.Permanentf(BadPackage, "read %s: %w", file, err)
	}
	return nil
}

// reader reads the files of one package; a missing file wraps errs.NotFound.
type reader interface {
	read(ctx context.Context, file string) ([]byte, error)
}

type dirReader string

func (d dirReader) read(_ context.Context, file string) ([]byte, error) {
	p, err := os.ReadFile(filepath.Join(string(d), filepath.FromSlash(file)))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", errs.NotFound, err)
	}
	return p, err
}

type bucketReader struct {
	bucket blob.Bucket
	prefix string // ends in /
}

func (b bucketReader) read(ctx context.Context, file string) ([]byte, error) {
	name := path.Clean(b.prefix + file)
	p, _, err := blob.ReadAll(ctx, b.bucket, name)
	if err != nil {
		return nil, fmt.Errorf("read gs://%s/%s: %w", b.bucket.Name(), name, err)
	}
	return p, nil
}
