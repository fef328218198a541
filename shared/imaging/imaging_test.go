package imaging

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/litterloop/litterloop/shared/errs"
)

// reason is the code of a refusal; the test fails when there is none.
func reason(t testing.TB, err error) errs.Code {
	t.Helper()
	code, ok := errs.Reason(err)
	if !ok {
		t.Fatalf("error %v carries no reason", err)
	}
	return code
}

func TestDecode_refusals(t *testing.T) {
	bomb := append([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 60_000), 60_000), 8, 2, 0, 0, 0))...)
	for name, c := range map[string]struct {
		photo []byte
		want  errs.Code
	}{
		"nothing":            {nil, Unreadable},
		"text":               {[]byte("annotations.json"), Unreadable},
		"an animated GIF":    {[]byte("GIF89a\x01\x00\x01\x00"), Unsupported},
		"HEIC from a phone":  {[]byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00"), Unsupported},
		"AVIF":               {[]byte("\x00\x00\x00\x18ftypavif\x00\x00\x00\x00"), Unsupported},
		"TIFF":               {[]byte("II*\x00\x08\x00\x00\x00"), Unsupported},
		"decompression bomb": {bomb, TooLarge},
		"only a JPEG marker": {[]byte("\xff\xd8\xff\xd9"), Unreadable},
		"WebP without image": {[]byte("RIFF\x04\x00\x00\x00WEBP"), Unreadable},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode(c.photo)
			if got := reason(t, err); got != c.want {
				t.Errorf("reason %s, want %s: %v", got, c.want, err)
			}
			if _, err := Header(c.photo); err == nil {
				t.Error("Header accepts it")
			}
		})
	}
}

func TestDecodeInto_limit(t *testing.T) {
	photo := read(t, "420.jpg") // 150 x 100
	if err := DecodeInto(new(Image), photo, Options{MaxPixels: 15_000}); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	err := DecodeInto(new(Image), photo, Options{MaxPixels: 14_999})
	if got := reason(t, err); got != TooLarge {
		t.Errorf("reason %s, want %s", got, TooLarge)
	}
}

func TestDecodeInto_usesMemoryAgain(t *testing.T) {
	im := new(Image)
	for _, name := range []string{"420.jpg", "odd.jpg", "rgb.png"} {
		if err := DecodeInto(im, read(t, name), Options{}); err != nil {
			t.Fatal(err)
		}
		fresh, err := Decode(read(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(im.Pix, fresh.Pix) {
			t.Errorf("%s differs when its memory held another photo", name)
		}
	}
}

// A damaged photo leaves nothing behind that changes how the next one decodes.
func TestDecode_damagedPhotoDoesNotSpoilTheNext(t *testing.T) {
	photo := read(t, "444.jpg")
	want, err := Decode(photo)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		damaged := bytes.Clone(photo)
		for range 3 {
			damaged[r.IntN(len(damaged))] ^= byte(1 + r.IntN(255))
		}
		Decode(damaged)
		got, err := Decode(photo)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Pix, want.Pix) {
			t.Fatal("the photo decodes differently after a damaged one")
		}
	}
}

// A photo cut anywhere is an error, never a crash nor half a photo.
func TestDecode_everyPrefixIsRefused(t *testing.T) {
	for _, name := range []string{"420.jpg", "progressive.jpg", "restarts.jpg", "orientation6.jpg", "rgba.png", "lossy.webp", "oriented.webp"} {
		photo := read(t, name)
		for n := 0; n < len(photo); n += 1 + n/800*6 { // every header byte, every seventh of the pixels
			_, err := Decode(photo[:n:n])
			if err == nil {
				// Metadata after the pixels may be missing.
				if filepath.Ext(name) == ".webp" && n > len(photo)-50 {
					continue
				}
				t.Fatalf("the first %d of %d bytes of %s are accepted", n, len(photo), name)
			}
			reason(t, err)
		}
	}
}

func TestDecodeJPEGPlain_everyPrefixIsRefused(t *testing.T) {
	photo := read(t, "420.jpg")
	for n := range len(photo) - 2 { // image/jpeg does not mind a missing end marker
		if err := decodeJPEGPlain(new(Image), photo[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes are accepted", n, len(photo))
		}
	}
}

func TestDecode_awkwardPhotos(t *testing.T) {
	dir := "../../../shared/data/awkward"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Skip("no collection of awkward photos: ", err)
	}
	refused := map[string]errs.Code{
		"truncated_jpeg.jpg": Unreadable, "ultrahdr.jpg": Unreadable, // cut short
		"truncated_image.png": Unreadable, "broken_data_stream.png": Unreadable,
		"iss634.webp": Unreadable, // an animation
		"hopper.avif": Unsupported, "zero_width.gif": Unsupported, "empty.heic": Unreadable,
		"zPug_3.heic": Unsupported, "arrow.heic": Unsupported, "L_exif_xmp_iptc.heic": Unsupported,
		"corrupted.heic": Unsupported, "truncated.heic": Unsupported,
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "LICENSE") || filepath.Ext(e.Name()) == ".tsv" {
			continue
		}
		photo, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		_, err = Decode(photo)
		switch want, bad := refused[e.Name()]; {
		case bad && err == nil:
			t.Errorf("%s is accepted, want %s", e.Name(), want)
		case bad && reason(t, err) != want:
			t.Errorf("%s: %v, want %s", e.Name(), err, want)
		case !bad && err != nil:
			t.Errorf("%s: %v", e.Name(), err)
		}
	}
}

// The eight orientations show the same scene.
func TestDecode_orientationsShowTheSamePlace(t *testing.T) {
	upright, err := Decode(read(t, "orientation1.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	for o := 2; o <= 8; o++ {
		base, dx, dy := steps(o, upright.W, upright.H)
		got := &Image{Pix: bytes.Clone(upright.Pix), W: upright.W, H: upright.H}
		orient(got, o)
		for y := range got.H {
			for x := range got.W {
				k := base + x*dx + y*dy
				if k < 0 || k+3 > len(upright.Pix) || !bytes.Equal(got.Pix[3*(y*got.W+x):][:3], upright.Pix[k:k+3]) {
					t.Fatalf("orientation %d: pixel %d,%d", o, x, y)
				}
			}
		}
		inverse := map[int]int{6: 8, 8: 6}[o]
		if inverse == 0 {
			inverse = o // a mirror undoes itself
		}
		if orient(got, inverse); !bytes.Equal(got.Pix, upright.Pix) || got.W != upright.W {
			t.Errorf("orientation %d then %d is not the photo itself", o, inverse)
		}
	}
}

// Unmap undoes the placement to within the rounding of the photo's scale.
func TestGeometry_unmapUndoesFit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		w, h := 1+r.IntN(5000), 1+r.IntN(5000)
		g := FitRect(w, h, 640, 640, 32)
		if r.IntN(2) == 0 {
			g = Fit(w, h, 640, 640)
		}
		if g.InputW > 640 || g.InputH > 640 || g.Left+g.ScaledW > g.InputW || g.Top+g.ScaledH > g.InputH {
			t.Fatalf("%dx%d lies outside its input: %+v", w, h, g)
		}
		x, y := r.Float32()*float32(w), r.Float32()*float32(h)
		ix := x*float32(g.ScaledW)/float32(w) + float32(g.Left)
		iy := y*float32(g.ScaledH)/float32(h) + float32(g.Top)
		ux, uy, _, _ := g.Unmap(ix, iy, ix, iy)
		if math.Abs(float64(ux-x)) > 0.01 || math.Abs(float64(uy-y)) > 0.01 {
			t.Fatalf("%dx%d: %v,%v comes back as %v,%v", w, h, x, y, ux, uy)
		}
	}
}

func TestGeometry_unmapClips(t *testing.T) {
	x1, y1, x2, y2 := Fit(100, 50, 640, 640).Unmap(-50, -50, 9999, 9999)
	if x1 != 0 || y1 != 0 || x2 != 100 || y2 != 50 {
		t.Errorf("clipped to %v %v %v %v", x1, y1, x2, y2)
	}
}

func TestMeasure_knownPictures(t *testing.T) {
	fill := func(f func(x, y int) byte) *Image {
		im := new(Image)
		im.size(640, 480)
		for i := range 640 * 480 {
			v := f(i%640, i/640)
			im.Pix[3*i], im.Pix[3*i+1], im.Pix[3*i+2] = v, v, v
		}
		return im
	}
	near := func(what string, got, want float32) {
		t.Helper()
		if math.Abs(float64(got-want)) > 1e-3*math.Max(1, float64(want)) {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	flat := Measure(fill(func(x, y int) byte { return 100 }))
	near("brightness of grey", flat.Brightness, 100)
	near("contrast of grey", flat.Contrast, 0)
	near("sharpness of grey", flat.Sharpness, 0)
	board := Measure(fill(func(x, y int) byte { return byte((x + y) % 2 * 200) }))
	near("brightness of a chessboard", board.Brightness, 100)
	near("contrast of a chessboard", board.Contrast, 100)
	near("sharpness of a chessboard", board.Sharpness, 640_000) // every Laplacian is ±4·200
	ramp := Measure(fill(func(x, y int) byte { return byte(y / 2) }))
	if ramp.Sharpness > 1 { // its steps are one grey level
		t.Errorf("sharpness of a ramp is %v, want next to nothing", ramp.Sharpness)
	}
}

func TestStrip_keepsPixelsAndForgetsTheRest(t *testing.T) {
	for name := range fixtures(t) {
		photo := read(t, name)
		if filepath.Ext(name) == ".jpg" { // with a comment and a made-up GPS block
			secret := []byte("Exif\x00\x00II*\x00GPS 52.5200 N")
			segment := append([]byte{0xff, 0xe1, 0, byte(len(secret) + 2)}, secret...)
			photo = append(append(bytes.Clone(photo[:2]), photo[2:]...), "trailing secret"...)
			photo = append(photo[:2:2], append(append(jpegWithOrientation(photo), segment...), photo[2:]...)...)
		}
		if filepath.Ext(name) == ".png" {
			i := bytes.Index(photo, []byte("IDAT")) - 4
			photo = append(photo[:i:i], append(pngChunk("tEXt", []byte("Comment\x00GPS secret")), photo[i:]...)...)
		}
		before, err := Decode(photo)
		if err != nil {
			t.Fatal(name, err)
		}
		stripped, err := Strip(photo)
		if err != nil {
			t.Fatal(name, err)
		}
		after, err := Decode(stripped)
		if err != nil {
			t.Fatal(name, err)
		}
		if after.W != before.W || after.H != before.H || !bytes.Equal(after.Pix, before.Pix) {
			t.Errorf("%s looks different once stripped", name)
		}
		if bytes.Contains(stripped, []byte("GPS")) || bytes.Contains(stripped, []byte("secret")) {
			t.Errorf("%s still tells", name)
		}
	}
}

// jpegWithOrientation returns the EXIF segment of a photo that has one, so that
// what Strip must keep comes before what it must not.
func jpegWithOrientation(photo []byte) []byte {
	o := jpegOrientation(photo)
	if o == 1 {
		return nil
	}
	body := append([]byte("Exif\x00\x00"), orientationEXIF(o)...)
	return append([]byte{0xff, 0xe1, 0, byte(len(body) + 2)}, body...)
}

func TestStrip_realPhotosLoseTheirPosition(t *testing.T) {
	photos, _ := filepath.Glob("../../../shared/data/taco_subset/batch_12/*")
	if len(photos) == 0 {
		t.Skip("no photos with a GPS position here")
	}
	for _, path := range photos {
		photo, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		stripped, err := Strip(photo)
		if err != nil {
			t.Fatal(err)
		}
		for s := range jpegSegments(stripped) {
			if s.marker == 0xe1 && len(s.body) > 6+26 {
				t.Errorf("%s keeps an EXIF block of %d bytes", path, len(s.body))
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, name := range []string{"420.jpg", "progressive.jpg", "gray.jpg", "cmyk.jpg", "orientation6.jpg", "rgba.png", "palette.png", "gray16.png", "lossy.webp", "alpha.webp", "oriented.webp"} {
		f.Add(read(f, name))
	}
	f.Fuzz(func(t *testing.T, photo []byte) {
		info, headerErr := header(photo, Options{MaxPixels: 1 << 20})
		im := new(Image)
		err := DecodeInto(im, photo, Options{MaxPixels: 1 << 20})
		if err != nil {
			reason(t, err)
		} else {
			if headerErr != nil || info.W != im.W || info.H != im.H || len(im.Pix) != 3*im.W*im.H {
				t.Fatalf("header says %+v (%v), decoded %dx%d in %d bytes", info, headerErr, im.W, im.H, len(im.Pix))
			}
			if s := Measure(im); math.IsNaN(float64(s.Sharpness + s.Contrast + s.Brightness)) {
				t.Fatalf("statistics %+v", s)
			}
		}
		stripped, stripErr := Strip(photo)
		if err != nil || stripErr != nil {
			return
		}
		again := new(Image)
		if err := DecodeInto(again, photo, Options{MaxPixels: 1 << 20}); err != nil || !bytes.Equal(again.Pix, im.Pix) {
			return // libjpeg reads memory it never set where pixels are damaged: not the same twice
		}
		if err := DecodeInto(again, stripped, Options{MaxPixels: 1 << 20}); err != nil || again.W != im.W || !bytes.Equal(again.Pix, im.Pix) {
			t.Fatalf("looks different once stripped (%v)", err)
		}
	})
}

func TestPNGChunk_checksum(t *testing.T) {
	c := pngChunk("IEND", nil)
	if got := binary.BigEndian.Uint32(c[8:]); got != crc32.ChecksumIEEE([]byte("IEND")) {
		t.Errorf("checksum %x", got)
	}
}
