// Package jpegrows reads a JPEG row by row with libjpeg-turbo, whose rows that
// are not asked for cost no colour conversion and no memory. It links C, so
// functions must not import it; package imaging decodes whole photos without.
//
// jpeglib.h and jmorecfg.h are libjpeg-turbo 2.1.5's own (licence: README.md).
// The library is looked for when it is first needed.
package jpegrows

// #cgo linux LDFLAGS: -ldl
// #include <stdlib.h>
// #include "rows.h"
//
// static void *rows_open(const rows_abi *a, const unsigned char *photo, unsigned long size, int w, int h, int *status) { return a->open(photo, size, w, h, status); }
// static int rows_read(const rows_abi *a, void *s, int y, unsigned char *dst) { return a->read(s, y, dst); }
// static int rows_finish(const rows_abi *a, void *s) { return a->finish(s); }
// static const char *rows_message(const rows_abi *a, void *s) { return a->message(s); }
// static void rows_close(const rows_abi *a, void *s) { a->close(s); }
// static int rows_load(const rows_abi *a, const char *path) { return a->load(path); }
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"github.com/litterloop/litterloop/shared/imaging"
)

// library is the ABI of the libjpeg-turbo that this machine has; nil: none.
var library = sync.OnceValue(func() *C.rows_abi {
	type candidate struct {
		name string
		abi  *C.rows_abi
	}
	candidates := []candidate{{"libjpeg.so.62", &C.rows_abi62}, {"libjpeg.so.8", &C.rows_abi80}}
	if runtime.GOOS == "darwin" {
		candidates = nil
		for _, dir := range []string{"", "/opt/homebrew/lib/", "/usr/local/lib/"} {
			candidates = append(candidates, candidate{dir + "libjpeg.8.dylib", &C.rows_abi80}, candidate{dir + "libjpeg.62.dylib", &C.rows_abi62})
		}
	}
	for _, c := range candidates {
		name := C.CString(c.name)
		found := C.rows_load(c.abi, name)
		C.free(unsafe.Pointer(name))
		if found != 0 {
			return c.abi
		}
	}
	return nil
})

// Available reports whether this machine has the library.
func Available() bool { return library() != nil }

// reader is one photo being read.
type reader struct {
	abi   *C.rows_abi
	state unsafe.Pointer
	photo runtime.Pinner // libjpeg keeps a pointer to it
	w, h  int
	next  int
}

var _ imaging.RowReader = (*reader)(nil)

// Open begins with a photo of w x h pixels. The error wraps
// errors.ErrUnsupported where the photo must be decoded another way: the machine
// has no library, the size is not the file's, or the colours are CMYK.
func Open(photo []byte, w, h int) (imaging.RowReader, error) {
	abi := library()
	if abi == nil || len(photo) == 0 {
		return nil, errors.ErrUnsupported
	}
	r := &reader{abi: abi, w: w, h: h}
	r.photo.Pin(&photo[0])
	var status C.int
	r.state = C.rows_open(abi, (*C.uchar)(&photo[0]), C.ulong(len(photo)), C.int(w), C.int(h), &status)
	if r.state == nil {
		r.photo.Unpin()
		return nil, errors.New("no memory for a decompressor")
	}
	switch status {
	case C.ROWS_OK:
		return r, nil
	case C.ROWS_UNSUPPORTED:
		r.Close()
		return nil, errors.ErrUnsupported
	}
	err := r.fault()
	r.Close()
	return nil, err
}

func (r *reader) fault() error { return errors.New(r.message()) }

func (r *reader) message() string { return C.GoString(C.rows_message(r.abi, r.state)) }

// ReadRow decodes row y into dst.
func (r *reader) ReadRow(dst []byte, y int) error {
	if y < r.next || y >= r.h || len(dst) < 3*r.w {
		return fmt.Errorf("row %d of %d after row %d, into %d bytes", y, r.h, r.next-1, len(dst))
	}
	r.next = y + 1
	if C.rows_read(r.abi, r.state, C.int(y), (*C.uchar)(&dst[0])) != C.ROWS_OK {
		return r.fault()
	}
	return nil
}

// Finish decodes the rest.
func (r *reader) Finish() (warning string, err error) {
	if C.rows_finish(r.abi, r.state) != C.ROWS_OK {
		return "", r.fault()
	}
	return r.message(), nil
}

// Close frees the photo.
func (r *reader) Close() {
	C.rows_close(r.abi, r.state)
	r.photo.Unpin()
}
