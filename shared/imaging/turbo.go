package imaging

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
	"github.com/litterloop/litterloop/shared/errs"
)

// libjpegTurbo is the TurboJPEG API of libjpeg-turbo, loaded at run time so
// that a machine without it still builds and serves.
type libjpegTurbo struct {
	path       string
	initialise func() uintptr
	destroy    func(handle uintptr) int32
	header     func(handle uintptr, photo unsafe.Pointer, size uintptr, width, height, subsampling, colorspace *int32) int32
	decompress func(handle uintptr, photo unsafe.Pointer, size uintptr, dst unsafe.Pointer, width, pitch, height, format, flags int32) int32
	message    func(handle uintptr) string
	code       func(handle uintptr) int32
	idle       chan uintptr // handles to use again
}

// Constants of turbojpeg.h.
const (
	tjRGB     = 0  // TJPF_RGB
	tjCMYK    = 11 // TJPF_CMYK
	tjWarning = 0  // TJERR_WARNING: decoded, but something was off
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
		t := &libjpegTurbo{path: name, idle: make(chan uintptr, runtime.GOMAXPROCS(0))}
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

// acquire hands out a decompressor; one serves one goroutine at a time.
func (t *libjpegTurbo) acquire() (uintptr, error) {
	select {
	case h := <-t.idle:
		return h, nil
	default:
	}
	if h := t.initialise(); h != 0 {
		return h, nil
	}
	return 0, fmt.Errorf("libjpeg-turbo: no memory for a decompressor")
}

func (t *libjpegTurbo) release(h uintptr) {
	select {
	case t.idle <- h:
	default:
		t.destroy(h)
	}
}

func (t *libjpegTurbo) decode(im *Image, photo []byte) error {
	h, err := t.acquire()
	if err != nil {
		return err
	}
	defer t.release(h)
	defer runtime.KeepAlive(photo)
	src := unsafe.Pointer(unsafe.SliceData(photo))
	var width, height, subsampling, colorspace int32
	if t.header(h, src, uintptr(len(photo)), &width, &height, &subsampling, &colorspace) != 0 {
		if err := t.fault(h); err != nil {
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
	if t.decompress(h, src, uintptr(len(photo)), unsafe.Pointer(unsafe.SliceData(dst)), width, 0, height, format, 0) != 0 {
		if err := t.fault(h); err != nil {
			return err
		}
	}
	runtime.KeepAlive(dst)
	if format == tjCMYK {
		cmykToRGB(im.Pix, dst)
	}
	return nil
}

// fault reports the last error of a handle, and passes over warnings: junk
// between segments is common in the wild and decodes well. A photo cut short is
// a warning to the library, which paints the rest grey; here it is an error,
// since boxes on half a photo mislead.
func (t *libjpegTurbo) fault(h uintptr) error {
	message := t.message(h)
	if t.code(h) == tjWarning && !strings.Contains(message, "Premature end") {
		return nil
	}
	if strings.Contains(message, "Unsupported") || strings.Contains(message, "not supported") {
		return errs.Permanentf(Unsupported, "decode JPEG: %s", message)
	}
	return errs.Permanentf(Unreadable, "decode JPEG: %s", message)
}
