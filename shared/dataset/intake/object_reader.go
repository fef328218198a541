package intake

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

// blockBytes are fetched at a time: few requests, and little memory.
const blockBytes = 8 << 20

// objectReader reads an object at any place, by ranges, as it was at one
// generation. It keeps the last two blocks: an archive's directory and the
// stretch that is being unpacked. For one goroutine.
type objectReader struct {
	ctx    context.Context
	bucket blob.Bucket
	attrs  blob.Attrs
	blocks [2]block // the last used first
}

// errChanged: the object was written again, or deleted.
var errChanged = errors.New("the object has changed")

type block struct {
	index int64
	data  []byte
}

func newObjectReader(ctx context.Context, b blob.Bucket, a blob.Attrs) *objectReader {
	return &objectReader{ctx: ctx, bucket: b, attrs: a}
}

// ReadAt implements io.ReaderAt.
func (o *objectReader) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		if off >= o.attrs.Size {
			return n, io.EOF
		}
		data, err := o.block(off / blockBytes)
		if err != nil {
			return n, err
		}
		copied := copy(p[n:], data[min(off%blockBytes, int64(len(data))):])
		if copied == 0 {
			return n, io.ErrUnexpectedEOF
		}
		n += copied
		off += int64(copied)
	}
	return n, nil
}

func (o *objectReader) block(index int64) ([]byte, error) {
	if b := o.blocks[0]; b.data != nil && b.index == index {
		return b.data, nil
	}
	if b := o.blocks[1]; b.data != nil && b.index == index {
		o.blocks[0], o.blocks[1] = b, o.blocks[0]
		return b.data, nil
	}
	length := min(blockBytes, o.attrs.Size-index*blockBytes)
	r, a, err := o.bucket.Open(o.ctx, o.attrs.Name, index*blockBytes, length)
	if errors.Is(err, errs.NotFound) || err == nil && a.Generation != o.attrs.Generation {
		if err == nil {
			r.Close()
		}
		return nil, errChanged
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data := make([]byte, length)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("read %s from byte %d: %w: %v", o.attrs.Name, index*blockBytes, errs.Unavailable, err)
	}
	o.blocks[0], o.blocks[1] = block{index, data}, o.blocks[0]
	return data, nil
}
