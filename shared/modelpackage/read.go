package modelpackage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

// CodeDamaged is the reason of a file that is not what the card says.
const CodeDamaged errs.Code = "package-damaged"

// Package is a complete package on a bucket.
type Package struct {
	Card   Card
	Prefix string // ends in /
	bucket blob.Bucket
}

// Load returns the package under prefix, which ends in /; errs.NotFound when
// there is none or it is not complete.
func Load(ctx context.Context, b blob.Bucket, prefix string) (Package, error) {
	p := Package{Prefix: prefix, bucket: b}
	if _, err := blob.ReadJSON(ctx, b, prefix+CardFile, &p.Card); err != nil {
		return p, fmt.Errorf("model package gs://%s/%s: %w", b.Name(), prefix, err)
	}
	return p, nil
}

// Read returns a file of the package, proved to be what the trainer wrote;
// errs.NotFound when the package has no such file.
func (p Package) Read(ctx context.Context, name string) ([]byte, error) {
	want, ok := p.Card.Files[name]
	if !ok {
		return nil, fmt.Errorf("file %s of model package gs://%s/%s: %w", name, p.bucket.Name(), p.Prefix, errs.NotFound)
	}
	data, _, err := blob.ReadAll(ctx, p.bucket, p.Prefix+name)
	if err != nil {
		return nil, fmt.Errorf("read model package: %w", err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != want {
		return nil, errs.Permanentf(CodeDamaged, "gs://%s/%s%s is not the file that the package's card names (SHA-256 %x, not %s); restore it or train again",
			p.bucket.Name(), p.Prefix, name, sum, want)
	}
	return data, nil
}

// Golden returns the trainer's own detections on the golden photos.
func (p Package) Golden(ctx context.Context) (g Golden, err error) {
	data, err := p.Read(ctx, GoldenFile)
	if err != nil {
		return g, err
	}
	if err := json.Unmarshal(data, &g); err != nil {
		return g, errs.Permanentf(CodeDamaged, "decode gs://%s/%s%s: %w", p.bucket.Name(), p.Prefix, GoldenFile, err)
	}
	return g, nil
}

// Photo returns a golden photo's bytes.
func (p Package) Photo(ctx context.Context, g GoldenPhoto) ([]byte, error) {
	return p.Read(ctx, GoldenDir+g.File)
}

// Verify reads every file and returns the first that is missing or damaged.
func (p Package) Verify(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(p.Card.Files)) {
		if _, err := p.Read(ctx, name); err != nil {
			return err
		}
	}
	return nil
}
