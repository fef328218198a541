package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/registry"
)

const weights = "pretend to be a network"

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// files of a whole package.
func files(t *testing.T) map[string]string {
	t.Helper()
	text := func(v any) string {
		p, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(p)
	}
	return map[string]string{
		modelpackage.ModelFile:           weights,
		modelpackage.CardFile:            text(modelpackage.Card{Name: "litter", Dataset: "d1", SHA256: sum(weights)}),
		modelpackage.GoldenFile:          text(modelpackage.Golden{Conf: 0.25, Photos: []modelpackage.GoldenPhoto{{File: "a.jpg"}}}),
		modelpackage.GoldenDir + "a.jpg": "pretend to be a photo",
	}
}

func dir(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func bucket(t *testing.T, prefix string, files map[string]string) blob.Bucket {
	t.Helper()
	b := blobmem.New("models")
	for name, content := range files {
		if _, err := b.Write(t.Context(), prefix+name, strings.NewReader(content), blob.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// one is a registry of one version.
type one registry.Version

func (o one) Resolve(_ context.Context, uri string) (registry.Version, error) {
	if uri != "models:/litter@staging" {
		return registry.Version{}, errs.NotFound
	}
	return registry.Version(o), nil
}

func TestLoad_everyPlace(t *testing.T) {
	b := bucket(t, "runs/r1/", files(t))
	places := Places{
		Models: b, Registry: one{Model: "litter", Version: 3, Package: "runs/r1/", Dataset: "d7", SHA256: sum(weights)},
		Bucket: func(context.Context, string) (blob.Bucket, error) { return b, nil },
	}
	root := dir(t, files(t))
	for uri, want := range map[string]Model{
		"models:/litter@staging":          {Name: "litter", Version: "3", Dataset: "d7"},
		"gs://models/runs/r1/":            {Name: "litter", Dataset: "d1"},
		"gs://models/runs/r1":             {Name: "litter", Dataset: "d1"},
		"gs://models/runs/r1/model.onnx":  {Name: "model"},
		root:                              {Name: "litter", Dataset: "d1"},
		filepath.Join(root, "model.onnx"): {Name: "model"},
	} {
		m, err := Load(t.Context(), uri, places)
		if err != nil {
			t.Error(err)
			continue
		}
		if m.Name != want.Name || m.Version != want.Version || m.Dataset != want.Dataset || m.SHA256 != sum(weights) || string(m.ONNX) != weights {
			t.Errorf("%s loads as %s %s of %s with %s", uri, m.Name, m.Version, m.Dataset, m.SHA256)
		}
		lone := strings.HasSuffix(uri, ".onnx")
		if (m.Golden == nil) != lone || (m.Card == nil) != lone {
			t.Errorf("%s: card %v, golden %v", uri, m.Card, m.Golden)
		}
		if !lone {
			if p, err := m.Photo(t.Context(), "a.jpg"); err != nil || !bytes.HasPrefix(p, []byte("pretend")) {
				t.Errorf("%s: golden photo %q, %v", uri, p, err)
			}
		}
	}
}

func TestLoad_refusals(t *testing.T) {
	changed := func(name, content string) map[string]string {
		f := files(t)
		f[name] = content
		return f
	}
	bare := files(t)
	delete(bare, modelpackage.ModelFile)
	b := bucket(t, "runs/r1/", files(t))
	for name, c := range map[string]struct {
		uri    string
		places Places
		code   errs.Code // "" for errs.NotFound
	}{
		"nothing":                  {"", Places{}, BadURI},
		"another scheme":           {"s3://bucket/key", Places{}, BadURI},
		"no such file":             {"/no/such/file.onnx", Places{}, BadURI},
		"no registry":              {"models:/litter@staging", Places{}, BadURI},
		"no bucket":                {"gs://models/x", Places{}, BadURI},
		"package without model":    {dir(t, bare), Places{}, ""},
		"no such object":           {"gs://models/runs/r2/", Places{Bucket: func(context.Context, string) (blob.Bucket, error) { return b, nil }}, ""},
		"unknown alias":            {"models:/litter@best", Places{Models: b, Registry: one{}}, ""},
		"card that is no JSON":     {dir(t, changed(modelpackage.CardFile, "{")), Places{}, BadPackage},
		"golden that is no JSON":   {dir(t, changed(modelpackage.GoldenFile, "[]")), Places{}, BadPackage},
		"model changed afterwards": {dir(t, changed(modelpackage.ModelFile, "another")), Places{}, BadPackage},
		"registry knows another":   {"models:/litter@staging", Places{Models: b, Registry: one{Package: "runs/r1/", SHA256: sum("another")}}, BadPackage},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(t.Context(), c.uri, c.places)
			code, _ := errs.Reason(err)
			if code != c.code || c.code == "" && !errors.Is(err, errs.NotFound) {
				t.Errorf("error %v (%s), want %q", err, code, c.code)
			}
		})
	}
}

func TestPhoto_pathTraversal(t *testing.T) {
	m, err := Load(t.Context(), dir(t, files(t)), Places{})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"../card.json", "/etc/passwd", "a/b.jpg", ".."} {
		if p, err := m.Photo(t.Context(), file); err == nil {
			t.Errorf("%s reads as %q", file, p)
		}
	}
}
