package blobgcs

import (
	"crypto/rand"
	"maps"

	"cloud.google.com/go/storage"

	"github.com/litterloop/litterloop/shared/blob"
)

// tokenKey is the metadata key of a write's token. It is the adapter's own and
// never shows in blob.Attrs.
const tokenKey = "litterloop-write"

// token identifies one conditional write over all its tries; an unconditional
// one needs none, since repeating it is harmless.
type token string

func newToken(o blob.WriteOptions) token {
	if o.IfGeneration == blob.Any {
		return ""
	}
	return token(rand.Text())
}

// addTo returns the metadata to write; another write's token does not come along.
func (t token) addTo(metadata map[string]string) map[string]string {
	metadata = withoutToken(metadata)
	if t == "" {
		return metadata
	}
	metadata = maps.Clone(metadata)
	if metadata == nil {
		metadata = map[string]string{}
	}
	metadata[tokenKey] = string(t)
	return metadata
}

// on says whether it was this write that made a.
func (t token) on(a *storage.ObjectAttrs) bool {
	return t != "" && a.Metadata[tokenKey] == string(t)
}

func withoutToken(metadata map[string]string) map[string]string {
	if _, ok := metadata[tokenKey]; !ok {
		return metadata
	}
	metadata = maps.Clone(metadata)
	delete(metadata, tokenKey)
	if len(metadata) == 0 {
		return nil
	}
	return metadata
}
