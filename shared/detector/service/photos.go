package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"strings"

	"github.com/litterloop/litterloop/shared/errs"
)

// maxPhotos of one request: more belong into several, so that others get a turn.
const maxPhotos = 64

// upload is the body of a detection request.
type upload struct {
	photos []photo
	list   bool // the client sent a list and gets one back
}

// photo is one of a request; one with a URI is fetched when its turn comes, so
// that a list of large ones is never in memory at once.
type photo struct {
	name string
	data []byte
	uri  string
}

// open fetches the photo where it was only named.
func (s *server) open(ctx context.Context, p *photo) (err error) {
	if p.uri != "" && p.data == nil {
		p.data, err = s.fetch(ctx, p.uri)
	}
	if err == nil && int64(len(p.data)) > s.c.MaxBody {
		err = s.oversize()
	}
	return err
}

// DetectBody is the JSON body of a detection request.
type DetectBody struct {
	PhotoBody
	Photos []PhotoBody `json:"photos,omitempty" doc:"Several photos; the answer is then a list"`
	DetectOptions
}

// PhotoBody is one photo in JSON.
type PhotoBody struct {
	Content []byte `json:"content,omitempty" doc:"The photo's bytes in base64"`
	URI     string `json:"uri,omitempty" doc:"Or where it lies: gs://BUCKET/OBJECT, or https:// where this service is allowed to read that" example:"gs://my-photos/street.jpg"`
}

// receive reads the body in whichever of its three forms it came. Options that
// came with it go before those of the URL.
func (s *server) receive(r *http.Request, o *DetectOptions) (upload, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil && r.Header.Get("Content-Type") != "" {
		return upload{}, errs.Permanentf(mediaType, "Content-Type %q: %w", r.Header.Get("Content-Type"), err)
	}
	if err := plain(r); err != nil {
		return upload{}, err
	}
	if r.ContentLength > s.c.MaxBody {
		return upload{}, s.oversize()
	}
	body := http.MaxBytesReader(nil, r.Body, s.c.MaxBody)
	switch {
	case kind == "multipart/form-data":
		u, err := s.form(multipart.NewReader(body, params["boundary"]), o)
		return u, s.readFault(err)
	case kind == "application/json":
		return s.document(body, o)
	case kind == "", kind == "application/octet-stream", kind == "application/x-www-form-urlencoded", strings.HasPrefix(kind, "image/"):
		p, err := readInto(s.desks.buffer, body, r.ContentLength) // curl --data-binary sends the last but one
		if err == nil && len(p) == 0 {
			err = errs.Permanentf(bodyEmpty, "the body is empty: send a photo")
		}
		return upload{photos: []photo{{data: p}}}, s.readFault(err)
	}
	return upload{}, errs.Permanentf(mediaType, "Content-Type %q is not supported: send the photo itself (image/jpeg, image/png, image/webp), multipart/form-data or application/json", kind)
}

// plain refuses a compressed body: photos do not shrink, and bombs grow.
func plain(r *http.Request) error {
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return errs.Permanentf(mediaType, "Content-Encoding %q is not supported: send the body as it is", e)
	}
	return nil
}

func (s *server) oversize() error {
	return errs.Permanentf(bodyTooLarge, "the body is above the limit of %d MB", s.c.MaxBody>>20)
}

// readFault says what a failed read of the body means.
func (s *server) readFault(err error) error {
	var large *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &large):
		return s.oversize()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errs.Permanentf(uploadSlow, "the body did not arrive within %v", s.c.Timeout)
	}
	if _, known := errs.Reason(err); known {
		return err
	}
	return errs.Permanentf(bodyUnreadable, "read the body: %w", err)
}

// readAll reads to the end; size is what the client promised, or negative.
func readAll(r io.Reader, size int64) ([]byte, error) {
	return readInto(func(n int64) []byte { return make([]byte, n) }, r, size)
}

// readInto is readAll into memory that buffer gives.
func readInto(buffer func(n int64) []byte, r io.Reader, size int64) ([]byte, error) {
	if size < 0 {
		return io.ReadAll(r)
	}
	p := buffer(size)
	n, err := io.ReadFull(r, p)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return p[:n], err
}

func (s *server) form(m *multipart.Reader, o *DetectOptions) (upload, error) {
	u := upload{}
	for {
		part, err := m.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return u, err
		}
		p, err := io.ReadAll(part)
		if err != nil {
			return u, err
		}
		if part.FileName() == "" && part.Header.Get("Content-Type") == "" {
			if err := o.set(part.FormName(), string(p)); err != nil {
				return u, err
			}
			continue
		}
		if len(u.photos) == maxPhotos {
			return u, errs.Permanentf(bodyTooLarge, "more than %d photos in one request", maxPhotos)
		}
		u.photos = append(u.photos, photo{name: part.FileName(), data: p})
	}
	if len(u.photos) == 0 {
		return u, errs.Permanentf(bodyEmpty, "the form holds no photo: add a part with a file")
	}
	u.list = len(u.photos) > 1
	return u, nil
}

func (s *server) document(body io.Reader, o *DetectOptions) (upload, error) {
	p, err := io.ReadAll(body)
	if err != nil {
		return upload{}, s.readFault(err)
	}
	doc := DetectBody{DetectOptions: *o}
	if err := strict(p, &doc); err != nil {
		return upload{}, err
	}
	*o = doc.DetectOptions
	u := upload{list: doc.Photos != nil}
	if len(doc.Content) > 0 || doc.URI != "" {
		doc.Photos = append([]PhotoBody{doc.PhotoBody}, doc.Photos...)
	}
	if len(doc.Photos) == 0 {
		return u, errs.Permanentf(bodyEmpty, `the JSON holds no photo: give "content" (base64) or "uri"`)
	}
	if len(doc.Photos) > maxPhotos {
		return u, errs.Permanentf(bodyTooLarge, "%d photos in one request, above %d", len(doc.Photos), maxPhotos)
	}
	for _, b := range doc.Photos {
		p, err := b.photo()
		if err != nil {
			return u, err
		}
		u.photos = append(u.photos, p)
	}
	return u, nil
}

// photo is what the JSON names or holds.
func (b PhotoBody) photo() (photo, error) {
	if (len(b.Content) > 0) == (b.URI != "") {
		return photo{}, errs.Permanentf(bodyEmpty, `a photo in JSON needs "content" (base64) or "uri", and not both`)
	}
	return photo{b.URI, b.Content, b.URI}, nil
}

// strict reads JSON that holds nothing unknown: an option with a slip in its
// name must not be passed over.
func strict(p []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(p))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil && d.More() {
		err = errors.New("something follows it")
	}
	if err != nil {
		return errs.Permanentf(bodyUnreadable, "the body is not the JSON that is expected: %w", err)
	}
	return nil
}
