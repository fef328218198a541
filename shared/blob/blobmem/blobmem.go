// Package blobmem is a bucket in memory, for tests.
package blobmem

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type object struct {
	attrs blob.Attrs
	data  []byte
}

// Bucket keeps its objects in memory; the zero value is not usable, see New.
type Bucket struct {
	name string
	now  func() time.Time

	mu      sync.Mutex
	gen     int64
	objects map[string]object
}

// New returns an empty bucket.
func New(name string) *Bucket {
	return &Bucket{name: name, now: time.Now, objects: map[string]object{}}
}

// Name implements blob.Bucket.
func (b *Bucket) Name() string { return b.name }

func (b *Bucket) get(name string) (object, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o, ok := b.objects[name]
	if !ok {
		return o, fmt.Errorf("gs://%s/%s: %w", b.name, name, errs.NotFound)
	}
	return o, nil
}

// Open implements blob.Bucket.
func (b *Bucket) Open(_ context.Context, name string, offset, length int64) (io.ReadCloser, blob.Attrs, error) {
	o, err := b.get(name)
	if err != nil {
		return nil, blob.Attrs{}, err
	}
	offset = min(max(offset, 0), int64(len(o.data)))
	end := int64(len(o.data))
	if length >= 0 {
		end = min(end, offset+length)
	}
	return io.NopCloser(bytes.NewReader(o.data[offset:end])), o.attrs, nil
}

// Stat implements blob.Bucket.
func (b *Bucket) Stat(_ context.Context, name string) (blob.Attrs, error) {
	o, err := b.get(name)
	return o.attrs, err
}

// Write implements blob.Bucket.
func (b *Bucket) Write(_ context.Context, name string, r io.Reader, o blob.WriteOptions) (blob.Attrs, error) {
	p, err := io.ReadAll(r)
	if err != nil {
		return blob.Attrs{}, err
	}
	return b.put(name, p, o)
}

func (b *Bucket) put(name string, p []byte, o blob.WriteOptions) (blob.Attrs, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if live := b.objects[name].attrs.Generation; o.IfGeneration != blob.Any && o.IfGeneration != live {
		return blob.Attrs{}, fmt.Errorf("write gs://%s/%s if generation %d (is %d): %w", b.name, name, o.IfGeneration, live, errs.Conflict)
	}
	b.gen++
	sum := md5.Sum(p)
	a := blob.Attrs{Name: name, Size: int64(len(p)), Generation: b.gen, MD5: hex.EncodeToString(sum[:]), CRC32C: crc32.Checksum(p, castagnoli), ContentType: o.ContentType, Metadata: maps.Clone(o.Metadata), Updated: b.now()}
	b.objects[name] = object{a, p}
	return a, nil
}

// Copy implements blob.Bucket.
func (b *Bucket) Copy(ctx context.Context, dst string, from blob.Bucket, src string, o blob.WriteOptions) (blob.Attrs, error) {
	if from == nil {
		from = b
	}
	p, a, err := blob.ReadAll(ctx, from, src)
	if err != nil {
		return a, err
	}
	if o.ContentType == "" {
		o.ContentType = a.ContentType
	}
	if o.Metadata == nil {
		o.Metadata = a.Metadata
	}
	return b.put(dst, p, o)
}

// Delete implements blob.Bucket.
func (b *Bucket) Delete(_ context.Context, name string, ifGeneration int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	o, ok := b.objects[name]
	if !ok {
		return fmt.Errorf("delete gs://%s/%s: %w", b.name, name, errs.NotFound)
	}
	if ifGeneration != blob.Any && ifGeneration != o.attrs.Generation {
		return fmt.Errorf("delete gs://%s/%s: %w", b.name, name, errs.Conflict)
	}
	delete(b.objects, name)
	return nil
}

// List implements blob.Bucket.
func (b *Bucket) List(_ context.Context, prefix string) iter.Seq2[blob.Attrs, error] {
	b.mu.Lock()
	var found []blob.Attrs
	for name, o := range b.objects {
		if strings.HasPrefix(name, prefix) {
			found = append(found, o.attrs)
		}
	}
	b.mu.Unlock()
	slices.SortFunc(found, func(x, y blob.Attrs) int { return strings.Compare(x.Name, y.Name) })
	return func(yield func(blob.Attrs, error) bool) {
		for _, a := range found {
			if !yield(a, nil) {
				return
			}
		}
	}
}
