package imaging

import (
	"errors"

	"github.com/litterloop/litterloop/shared/errs"
)

// RowReader reads a JPEG from the top downwards, in stored orientation. Its
// errors are the decoder's own words.
type RowReader interface {
	// ReadRow decodes row y, three bytes (R, G, B) a pixel, into dst. Rows above
	// the last one that was read are gone.
	ReadRow(dst []byte, y int) error
	// Finish decodes what is left. The warning, if any, is the first that the
	// decoder gave on the whole file.
	Finish() (warning string, err error)
	Close()
}

// Loader turns photos of any format into a model's input. It keeps its memory
// for the next photo, and serves one at a time.
type Loader struct {
	// MaxPixels of a photo; 0: DefaultMaxPixels.
	MaxPixels int
	// Rows opens a JPEG of w x h pixels, as stored, to be read row by row: only
	// the rows that the input needs are then decoded whole, and none is kept. An
	// error that wraps errors.ErrUnsupported leaves the photo to Decode's way, as
	// nil does with every photo.
	Rows func(photo []byte, w, h int) (RowReader, error)

	image   Image
	sampler sampler
	stream  stream
}

// Load writes a photo into dst, laid out as fit says for its displayed size.
// What it writes and its errors are those of Decode and Letterbox, to the bit.
func (l *Loader) Load(dst []float32, photo []byte, fit func(photoW, photoH int) Geometry) (Geometry, error) {
	info, err := header(photo, Options{MaxPixels: l.MaxPixels})
	if err != nil {
		return Geometry{}, err
	}
	g := fit(info.W, info.H)
	l.sampler.plan(g, info.Orientation)
	w, h := info.W, info.H
	if info.Orientation >= 5 {
		w, h = h, w
	}
	if info.Format == "jpeg" && l.Rows != nil {
		r, err := l.Rows(photo, w, h)
		switch {
		case err == nil:
			defer r.Close()
			return g, l.stream.load(&l.sampler, dst, photo, r, w)
		case !errors.Is(err, errors.ErrUnsupported):
			return g, jpegFault(err.Error(), false, photo)
		}
	}
	defer l.forget()
	if err := decode(&l.image, photo, info); err != nil {
		return g, err
	}
	if l.image.W != w || l.image.H != h {
		return g, errs.Permanentf(Unreadable, "photo decodes to %dx%d pixels where its header says %dx%d", l.image.W, l.image.H, w, h)
	}
	return g, l.sampler.write(dst, pixels{l.image.Pix, w})
}

// kept is the memory of pixels that waits for the next photo: 12 megapixels.
const kept = 36 << 20

// forget frees the memory of an unusually large photo.
func (l *Loader) forget() {
	if cap(l.image.Pix) > kept {
		l.image = Image{}
	}
}

// stream holds two rows of a photo that is read only once.
type stream struct {
	RowReader
	rows [2][]byte
	at   [2]int
}

func (s *stream) load(to *sampler, dst []float32, photo []byte, r RowReader, w int) error {
	s.RowReader = r
	for k := range s.rows {
		s.rows[k], s.at[k] = grow(s.rows[k], 3*w), -1
	}
	if err := to.write(dst, s); err != nil {
		return jpegFault(err.Error(), false, photo)
	}
	warning, err := r.Finish()
	switch {
	case err != nil:
		return jpegFault(err.Error(), false, photo)
	case warning != "":
		return jpegFault(warning, true, photo)
	}
	return nil
}

func (s *stream) pair(i, j int) (p, q []byte, err error) {
	if p, err = s.row(min(i, j), max(i, j)); err != nil {
		return nil, nil, err
	}
	if q, err = s.row(max(i, j), min(i, j)); err != nil {
		return nil, nil, err
	}
	if i > j {
		p, q = q, p
	}
	return p, q, nil
}

// row returns row y, where row keep must stay.
func (s *stream) row(y, keep int) ([]byte, error) {
	for k := range s.at {
		if s.at[k] == y {
			return s.rows[k], nil
		}
	}
	k := 0
	if s.at[0] == keep {
		k = 1
	}
	s.at[k] = y
	return s.rows[k], s.ReadRow(s.rows[k], y)
}
