package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"strconv"
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

type photo struct {
	name string
	data []byte
}

// DetectBody is the JSON body of a detection request.
type DetectBody struct {
	PhotoBody
	Photos []PhotoBody `json:"photos,omitempty" doc:"Several photos; the answer is then a list"`
	Options
}

// PhotoBody is one photo in JSON.
type PhotoBody struct {
	Content []byte `json:"content,omitempty" doc:"The photo's bytes in base64"`
	URI     string `json:"uri,omitempty" doc:"Or where it lies: gs://BUCKET/OBJECT" example:"gs://my-photos/street.jpg"`
}

// receive reads the body in whichever of its three forms it came. Options that
// came with it go before those of the URL.
func (s *server) receive(ctx context.Context, r *http.Request, o *Options) (upload, error) {
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
		return s.document(ctx, body, o)
	case kind == "", kind == "application/octet-stream", kind == "application/x-www-form-urlencoded", strings.HasPrefix(kind, "image/"):
		p, err := readAll(body, r.ContentLength) // curl --data-binary sends the last but one
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
	if size < 0 {
		return io.ReadAll(r)
	}
	p := make([]byte, size)
	n, err := io.ReadFull(r, p)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return p[:n], err
}

func (s *server) form(m *multipart.Reader, o *Options) (upload, error) {
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
		u.photos = append(u.photos, photo{part.FileName(), p})
	}
	if len(u.photos) == 0 {
		return u, errs.Permanentf(bodyEmpty, "the form holds no photo: add a part with a file")
	}
	u.list = len(u.photos) > 1
	return u, nil
}

func (s *server) document(ctx context.Context, body io.Reader, o *Options) (upload, error) {
	p, err := io.ReadAll(body)
	if err != nil {
		return upload{}, s.readFault(err)
	}
	doc := DetectBody{Options: *o}
	if err := json.Unmarshal(p, &doc); err != nil {
		return upload{}, errs.Permanentf(bodyUnreadable, "the body is not the JSON that is expected: %w", err)
	}
	*o = doc.Options
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
		if b.URI != "" {
			if b.Content, err = s.fetch(ctx, b.URI); err != nil {
				return u, fmt.Errorf("photo %s: %w", b.URI, err)
			}
		}
		u.photos = append(u.photos, photo{b.URI, b.Content})
	}
	return u, nil
}

// fetch reads a photo from a bucket, with the service's own rights.
func (s *server) fetch(ctx context.Context, uri string) ([]byte, error) {
	path, ok := strings.CutPrefix(uri, "gs://")
	bucket, name, ok2 := strings.Cut(path, "/")
	if !ok || !ok2 || bucket == "" || name == "" {
		return nil, errs.Permanentf(uriRefused, "only gs://BUCKET/OBJECT is read")
	}
	if s.d.Bucket == nil || !s.allows(bucket) {
		return nil, errs.Permanentf(uriRefused, "bucket %s is not among those that this service reads photos from (PHOTO_BUCKETS)", bucket)
	}
	b, err := s.d.Bucket(ctx, bucket)
	if err != nil {
		return nil, err
	}
	r, a, err := b.Open(ctx, name, 0, -1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if a.Size > s.c.MaxBody {
		return nil, s.oversize()
	}
	return readAll(r, a.Size)
}

func (s *server) allows(bucket string) bool {
	for _, b := range s.c.PhotoBuckets {
		if b == "*" || b == bucket {
			return true
		}
	}
	return false
}

// Options of a detection request, wherever they stand.
type Options struct {
	Conf        float64 `json:"conf,omitempty" query:"conf" default:"0.25" minimum:"0" maximum:"1" doc:"Return objects of a confidence above it"`
	IoU         float64 `json:"iou,omitempty" query:"iou" default:"0.7" minimum:"0" maximum:"1" doc:"Of two boxes of a class that overlap more, keep the better"`
	MaxDet      int     `json:"max_det,omitempty" query:"max_det" default:"300" minimum:"1" maximum:"30000" doc:"Return at most so many objects, the best"`
	Classes     []int   `json:"classes,omitempty" query:"classes" doc:"Return these class ids alone"`
	AgnosticNMS bool    `json:"agnostic_nms,omitempty" query:"agnostic_nms" doc:"Let boxes of different classes suppress each other"`
}

// set reads an option from a form's field.
func (o *Options) set(name, value string) (err error) {
	switch name {
	case "conf":
		o.Conf, err = strconv.ParseFloat(value, 64)
	case "iou":
		o.IoU, err = strconv.ParseFloat(value, 64)
	case "max_det":
		o.MaxDet, err = strconv.Atoi(value)
	case "agnostic_nms":
		o.AgnosticNMS, err = strconv.ParseBool(value)
	case "classes":
		o.Classes = nil
		for _, v := range strings.Split(value, ",") {
			id, bad := strconv.Atoi(strings.TrimSpace(v))
			if bad != nil {
				err = bad
				break
			}
			o.Classes = append(o.Classes, id)
		}
	default:
		return errs.Permanentf(bodyUnreadable, "form field %q is neither a photo nor an option (conf, iou, max_det, classes, agnostic_nms)", name)
	}
	if err != nil {
		return errs.Permanentf(bodyUnreadable, "form field %s=%q: %w", name, value, err)
	}
	return nil
}
