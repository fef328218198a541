package blobtest

import (
	"errors"
	"strings"
	"testing"

	"github.com/litterloop/litterloop/shared/blob"
)

func put(t *testing.T, b blob.Bucket, name, content string) blob.Attrs {
	t.Helper()
	a, err := b.Write(t.Context(), name, strings.NewReader(content), blob.WriteOptions{IfGeneration: blob.Any})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func get(t *testing.T, b blob.Bucket, name string) string {
	t.Helper()
	p, _, err := blob.ReadAll(t.Context(), b, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want one that is %q", err, want)
	}
}

func list(t *testing.T, b blob.Bucket, prefix string) []string {
	t.Helper()
	var found []string
	for a, err := range b.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, a.Name)
	}
	return found
}
