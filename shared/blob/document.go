package blob

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/litterloop/litterloop/shared/errs"
)

// ReadAll returns an object's bytes and attributes.
func ReadAll(ctx context.Context, b Bucket, name string) ([]byte, Attrs, error) {
	r, a, err := b.Open(ctx, name, 0, -1)
	if err != nil {
		return nil, a, err
	}
	defer r.Close()
	p, err := io.ReadAll(r)
	return p, a, err
}

// Fetcher is a Bucket that reads a whole object and its generation in one
// request, where Open takes two.
type Fetcher interface {
	Fetch(ctx context.Context, name string) (data []byte, generation int64, err error)
}

// Fetch returns an object's bytes and generation, in one request where b can.
func Fetch(ctx context.Context, b Bucket, name string) (data []byte, generation int64, err error) {
	if f, ok := b.(Fetcher); ok {
		return f.Fetch(ctx, name)
	}
	data, a, err := ReadAll(ctx, b, name)
	return data, a.Generation, err
}

// ReadJSON decodes an object into v and returns the generation read, for a
// later compare-and-swap.
func ReadJSON(ctx context.Context, b Bucket, name string, v any) (generation int64, err error) {
	p, generation, err := Fetch(ctx, b, name)
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(p, v); err != nil {
		return 0, errs.Permanentf("document-not-json", "decode gs://%s/%s: %w", b.Name(), name, err)
	}
	return generation, nil
}

// WriteJSON stores v as indented JSON under the condition ifGeneration.
func WriteJSON(ctx context.Context, b Bucket, name string, v any, ifGeneration int64) (generation int64, err error) {
	p, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return 0, fmt.Errorf("encode %s: %w", name, err)
	}
	a, err := b.Write(ctx, name, bytes.NewReader(append(p, '\n')), WriteOptions{IfGeneration: ifGeneration, ContentType: "application/json"})
	return a.Generation, err
}

// Update changes the JSON document name by compare-and-swap until it succeeds
// or change fails: change sees the document (its zero value when there is none)
// and alters it in place. It may run several times, so it must not have other
// effects. Returning ErrUnchanged leaves the document and is no error.
func Update[T any](ctx context.Context, b Bucket, name string, change func(*T) error) (T, error) {
	for {
		var v T
		gen, err := ReadJSON(ctx, b, name, &v)
		if errors.Is(err, errs.NotFound) {
			gen = Absent
		} else if err != nil {
			return v, err
		}
		if err := change(&v); errors.Is(err, ErrUnchanged) {
			return v, nil
		} else if err != nil {
			return v, err
		}
		if _, err = WriteJSON(ctx, b, name, &v, gen); !errors.Is(err, errs.Conflict) {
			return v, err
		}
		if err := ctx.Err(); err != nil {
			return v, err
		}
	}
}

// ErrUnchanged tells Update that there is nothing to write.
var ErrUnchanged = errors.New("unchanged")
