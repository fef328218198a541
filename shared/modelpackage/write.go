package modelpackage

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"path"
	"slices"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

// Content is what a trainer puts into a package; Write adds the rest.
type Content struct {
	Card       Card // Schema, SHA256 and Files are filled in
	Model      []byte
	Golden     Golden            // SHA256 of its photos is filled in
	Photos     map[string][]byte // golden photos by GoldenPhoto.File
	Reference  []byte
	Checkpoint []byte // may be empty
}

// CodeIncomplete is the reason of content that makes no package.
const CodeIncomplete errs.Code = "package-incomplete"

// Write stores a package under prefix, which ends in /, and returns its card.
// The card is written last and create-only, so a package with a card is
// complete and never changes: writing it again returns the card that is there.
// A write that died leaves files without a card, which the next one replaces.
func Write(ctx context.Context, b blob.Bucket, prefix string, c Content) (Card, error) {
	if p, err := Load(ctx, b, prefix); !errors.Is(err, errs.NotFound) {
		return p.Card, err
	}
	files, err := c.files()
	if err != nil {
		return Card{}, err
	}
	card := c.Card
	card.Schema = 1
	card.Files = map[string]string{}
	for name, data := range files {
		sum := sha256.Sum256(data)
		card.Files[name] = hex.EncodeToString(sum[:])
	}
	card.SHA256 = card.Files[ModelFile]
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := upload(ctx, b, prefix+name, files[name]); err != nil {
			return Card{}, fmt.Errorf("write model package: %w", err)
		}
	}
	_, err = blob.WriteJSON(ctx, b, prefix+CardFile, card, blob.Absent)
	if errors.Is(err, errs.Conflict) {
		p, err := Load(ctx, b, prefix)
		return p.Card, err
	}
	return card, err
}

// files returns the package's files but for the card.
func (c Content) files() (map[string][]byte, error) {
	switch {
	case len(c.Model) == 0:
		return nil, errs.Permanentf(CodeIncomplete, "model package of run %s: no model", c.Card.Run)
	case len(c.Golden.Photos) == 0:
		return nil, errs.Permanentf(CodeIncomplete, "model package of run %s: no golden photo", c.Card.Run)
	}
	files := map[string][]byte{ModelFile: c.Model, ReferenceFile: c.Reference}
	if len(c.Checkpoint) > 0 {
		files[CheckpointFile] = c.Checkpoint
	}
	golden := c.Golden
	golden.Photos = slices.Clone(golden.Photos)
	for i, g := range golden.Photos {
		data, ok := c.Photos[g.File]
		if !ok || path.Base(g.File) != g.File {
			return nil, errs.Permanentf(CodeIncomplete, "model package of run %s: golden photo %q is missing", c.Card.Run, g.File)
		}
		sum := sha256.Sum256(data)
		golden.Photos[i].SHA256 = hex.EncodeToString(sum[:])
		files[GoldenDir+g.File] = data
	}
	var err error
	if files[GoldenFile], err = json.MarshalIndent(golden, "", "  "); err != nil {
		return nil, fmt.Errorf("encode golden detections: %w", err)
	}
	maps.Copy(files, c.flavours())
	return files, nil
}

// upload stores data unless the object already holds it.
func upload(ctx context.Context, b blob.Bucket, name string, data []byte) error {
	a, err := b.Stat(ctx, name)
	if errors.Is(err, errs.NotFound) {
		a.Generation = blob.Absent
	} else if err != nil {
		return err
	}
	if sum := md5.Sum(data); err == nil && a.MD5 == hex.EncodeToString(sum[:]) {
		return nil
	}
	_, err = b.Write(ctx, name, bytes.NewReader(data), blob.WriteOptions{
		IfGeneration: a.Generation,
		ContentType:  mime.TypeByExtension(path.Ext(name)),
	})
	return err
}
