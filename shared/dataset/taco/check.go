package taco

import (
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/imaging"
)

// check looks whether what was received is the photo, whole. What is not is
// discarded.
func (d *download) check(p photo, t *part) (*fault, error) {
	d.decoding <- struct{}{}
	defer func() { <-d.decoding }()
	data, err := d.root.ReadFile(t.file)
	if err != nil {
		return nil, err
	}
	f := p.fits(data)
	if f == nil {
		if _, err := imaging.Decode(data); err != nil {
			code, _ := errs.Reason(err)
			f = faultf(code, "%v", err)
		}
	}
	if f != nil {
		return f, t.discard()
	}
	return nil, nil
}

// fits tells by the header whether data is a photo of the declared size, as it
// is or turned: cameras declare either.
func (p photo) fits(data []byte) *fault {
	info, err := imaging.Header(data)
	if err != nil {
		code, _ := errs.Reason(err)
		return faultf(code, "%v", err)
	}
	if p.width > 0 && p.height > 0 && (info.W != p.width || info.H != p.height) && (info.W != p.height || info.H != p.width) {
		return faultf(OtherSize, "it has %dx%d pixels, the annotations say %dx%d: it was replaced, perhaps by a picture that says it is gone", info.W, info.H, p.width, p.height)
	}
	return nil
}
