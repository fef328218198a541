package imaging

import (
	"errors"
	"runtime"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
	"github.com/litterloop/litterloop/shared/errs"
)

// libjpegTurbo is the TurboJPEG API of libjpeg-turbo, loaded at run time so
// that a machine without it still builds and serves.
type libjpegTurbo struct {
	initialise func() uintptr
	destroy    func(handle uintptr) int32
	header     func(handle uintptr, photo unsafe.Pointer, size uintptr, width, height, subsampling, colorspace *int32) int32
	decompress func(handle uintptr, photo unsafe.Pointer, size uintptr, dst unsafe.Pointer, width, pitch, height, format, flags int32) int32
	message    func(handle uintptr) string
	code       func(handle uintptr) int32
}

// Constants of turbojpeg.h.
const (
	tjRGB     = 0     // TJPF_RGB
	tjCMYK    = 11    // TJPF_CMYK
	tjWarning = 0     // TJERR_WARNING: decoded, but something was off
	tjLimit   = 32768 // TJFLAG_LIMITSCANS: an attacker's scan costs a pass over the photo
	tjcsCMYK  = 3
	tjcsYCCK  = 4
)

// turbo returns the library, or nil where the system has none.
var turbo = sync.OnceValue(func() *libjpegTurbo {
	names := []string{"libturbojpeg.so.0", "libturbojpeg.so"}
	if runtime.GOOS == "darwin" {
		names = []string{"libturbojpeg.dylib", "/opt/homebrew/lib/libturbojpeg.dylib", "/usr/local/lib/libturbojpeg.dylib"}
	}
	for _, name := range names {
		lib, err := purego.Dlopen(name, purego.RTLD_NOW|purego.RTLD_LOCAL)
		if err != nil {
			continue
		}
		t := &libjpegTurbo{}
		if t.bind(lib) == nil {
			return t
		}
	}
	return nil
})

func (t *libjpegTurbo) bind(lib uintptr) error {
	for name, f := range map[string]any{
		"tjInitDecompress":    &t.initialise,
		"tjDestroy":           &t.destroy,
		"tjDecompressHeader3": &t.header,
		"tjDecompress2":       &t.decompress,
		"tjGetErrorStr2":      &t.message,
		"tjGetErrorCode":      &t.code,
	} {
		symbol, err := purego.Dlsym(lib, name)
		if err != nil {
			return err
		}
		purego.RegisterFunc(f, symbol)
	}
	return nil
}

// Backend says what decodes JPEG: "libjpeg-turbo" (exact, fast) or
// "image/jpeg" (about five times slower, colours of edges differ slightly).
func Backend() string {
	if turbo() != nil {
		return "libjpeg-turbo"
	}
	return "image/jpeg"
}

// decode takes a new decompressor for every photo. It costs microseconds, and
// one that is used again carries tables from photo to photo: a damaged photo
// would spoil those after it.
func (t *libjpegTurbo) decode(im *Image, photo []byte) error {
	runtime.LockOSThread() // the library keeps the text of a warning by thread
	defer runtime.UnlockOSThread()
	h := t.initialise()
	if h == 0 {
		return errors.New("libjpeg-turbo: no memory for a decompressor")
	}
	defer t.destroy(h)
	defer runtime.KeepAlive(photo)
	src := unsafe.Pointer(unsafe.SliceData(photo))
	var width, height, subsampling, colorspace int32
	if t.header(h, src, uintptr(len(photo)), &width, &height, &subsampling, &colorspace) != 0 {
		if err := t.fault(h, photo); err != nil {
			return err
		}
	}
	if width <= 0 || height <= 0 {
		return errs.Permanentf(Unreadable, "JPEG of %dx%d pixels", width, height)
	}
	if int(width)*int(height) > 4*DefaultMaxPixels {
		return errs.Permanentf(TooLarge, "JPEG of %dx%d pixels", width, height)
	}
	im.size(int(width), int(height))
	dst, format := im.Pix, int32(tjRGB)
	if colorspace == tjcsCMYK || colorspace == tjcsYCCK {
		dst, format = make([]byte, 4*im.W*im.H), tjCMYK
	}
	if t.decompress(h, src, uintptr(len(photo)), unsafe.Pointer(unsafe.SliceData(dst)), width, 0, height, format, tjLimit) != 0 {
		if err := t.fault(h, photo); err != nil {
			return err
		}
	}
	runtime.KeepAlive(dst)
	if format == tjCMYK {
		cmykToRGB(im.Pix, dst)
	}
	return nil
}

// fault says whether the last message of a handle matters. The library's own
// code for "only a warning" cannot tell: it stays set when a fatal error
// follows.
func (t *libjpegTurbo) fault(h uintptr, photo []byte) error {
	return jpegFault(t.message(h), t.code(h) == tjWarning, photo)
}
