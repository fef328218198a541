package jpegrows

import (
	"runtime"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"
)

// encoder writes JPEGs of kinds that image/jpeg cannot, with TurboJPEG.
type encoder struct {
	compress func(handle uintptr, src unsafe.Pointer, width, pitch, height, format int32, jpeg *unsafe.Pointer, size *uintptr, subsampling, quality, flags int32) int32
	free     func(unsafe.Pointer)
	handle   uintptr
}

// Constants of turbojpeg.h.
const (
	tjRGB         = 0
	tjProgressive = 16384
)

var subsamplings = []string{"4:4:4", "4:2:2", "4:2:0", "grayscale", "4:4:0", "4:1:1"} // by their number

func newEncoder(t testing.TB) *encoder {
	t.Helper()
	name := "libturbojpeg.so.0"
	if runtime.GOOS == "darwin" {
		name = "/opt/homebrew/lib/libturbojpeg.dylib"
	}
	lib, err := purego.Dlopen(name, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		t.Skip("nothing here writes such JPEGs: ", err)
	}
	var initialise func() uintptr
	var destroy func(uintptr) int32
	e := new(encoder)
	purego.RegisterLibFunc(&initialise, lib, "tjInitCompress")
	purego.RegisterLibFunc(&destroy, lib, "tjDestroy")
	purego.RegisterLibFunc(&e.compress, lib, "tjCompress2")
	purego.RegisterLibFunc(&e.free, lib, "tjFree")
	e.handle = initialise()
	t.Cleanup(func() { destroy(e.handle) })
	return e
}

func (e *encoder) encode(t testing.TB, pix []byte, w, h, subsampling, quality int, progressive bool) []byte {
	t.Helper()
	var out unsafe.Pointer
	var size uintptr
	var flags int32
	if progressive {
		flags = tjProgressive
	}
	if e.compress(e.handle, unsafe.Pointer(&pix[0]), int32(w), 0, int32(h), tjRGB, &out, &size, int32(subsampling), int32(quality), flags) != 0 {
		t.Fatal("TurboJPEG does not compress")
	}
	defer e.free(out)
	return append([]byte(nil), unsafe.Slice((*byte)(out), size)...)
}
