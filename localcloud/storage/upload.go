package storage

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"

	"github.com/litterloop/litterloop/localcloud/storage/internal/store"
)

// upload serves /upload/storage/v1/b/BUCKET/o.
func (s *Server) upload(w http.ResponseWriter, r *request) error {
	if id := r.query.Get("upload_id"); id != "" {
		return s.resume(w, r, id)
	}
	if r.Method != http.MethodPost && r.Method != http.MethodPut {
		return unknown(r.Request)
	}
	switch kind := r.query.Get("uploadType"); kind {
	case "media":
		a := attributes{Name: r.query.Get("name")}
		if ct := r.Header.Get("Content-Type"); ct != "" {
			a.ContentType = &ct
		}
		return s.insert(w, r, &a, r.Body)
	case "multipart":
		a, body, err := parseMultipart(r.Header.Get("Content-Type"), r.Body)
		if err != nil {
			return err
		}
		return s.insert(w, r, a, body)
	case "resumable":
		return s.startSession(w, r)
	default:
		return badRequest("invalidParameter", "uploadType=%q: media, multipart or resumable", kind)
	}
}

// parseMultipart takes a multipart/related body apart: the object's attributes
// as JSON, then its content, which is read from the returned reader.
func parseMultipart(contentType string, body io.Reader) (*attributes, io.Reader, error) {
	boundary := boundaryOf(contentType)
	if boundary == "" {
		return nil, nil, badRequest("invalid", "Content-Type %q: multipart/related with a boundary is needed", contentType)
	}
	mr := multipart.NewReader(body, boundary)
	// NextRawPart: NextPart would decode a content that calls itself quoted-printable.
	part, err := mr.NextRawPart()
	if err != nil {
		return nil, nil, badRequest("invalid", "multipart body, first part: %v", err)
	}
	a := new(attributes)
	if err := decode(part, a); err != nil {
		return nil, nil, err
	}
	if part, err = mr.NextRawPart(); err != nil {
		return nil, nil, badRequest("invalid", "multipart body, second part: %v", err)
	}
	if ct := part.Header.Get("Content-Type"); a.ContentType == nil && ct != "" {
		a.ContentType = &ct
	}
	return a, part, nil
}

// boundaryOf reads the boundary out of a Content-Type. gcloud writes it in single
// quotes, which no standard knows and package mime takes for a part of it.
func boundaryOf(contentType string) string {
	for parameter := range strings.SplitSeq(contentType, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if !strings.EqualFold(name, "boundary") {
			continue
		}
		for _, quote := range []string{`"`, "'"} {
			if len(value) >= 2 && strings.HasPrefix(value, quote) && strings.HasSuffix(value, quote) {
				return value[1 : len(value)-1]
			}
		}
		return value
	}
	return ""
}

// insert stores body as an object with the attributes a.
func (s *Server) insert(w http.ResponseWriter, r *request, a *attributes, body io.Reader) error {
	c, err := conditions(r.query.Get, "")
	if err != nil {
		return err
	}
	meta, err := newObject(r.bucket, r.query, a)
	if err != nil {
		return err
	}
	if err := s.mayCreate(r, meta, &c); err != nil {
		return err
	}
	content := s.store.NewContent()
	defer content.Discard()
	if err := receive(content, body); err != nil {
		return err
	}
	expect(a, r.Header)
	if err := a.checkSums(content); err != nil {
		return err
	}
	o, err := s.store.Put(meta, content, c, "")
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, resource(o, r.base()))
	return nil
}

// newObject is the object that a describes; its name may stand in the query.
func newObject(bucket string, query url.Values, a *attributes) (*store.Object, error) {
	name := a.Name
	if name == "" {
		name = query.Get("name")
	}
	if err := checkObjectName(name); err != nil {
		return nil, err
	}
	o := &store.Object{Bucket: bucket, Name: name}
	if enc := query.Get("contentEncoding"); enc != "" {
		o.ContentEncoding = enc
	}
	return o, a.applyTo(o)
}

// receive reads body to its end; a body cut short is the client's fault, a full
// disk ours.
func receive(content *store.Content, body io.Reader) error {
	_, err := content.ReadFrom(body)
	if err == nil {
		return nil
	}
	if errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return badRequest("invalid", "the upload broke off after %d bytes: %v", content.Size(), err)
}

// expect takes up checksums that came in headers.
func expect(a *attributes, h http.Header) {
	if v := h.Get("Content-MD5"); v != "" && a.MD5Hash == "" {
		a.MD5Hash = v
	}
	for _, line := range h.Values("X-Goog-Hash") {
		for sum := range strings.SplitSeq(line, ",") {
			if v, ok := strings.CutPrefix(strings.TrimSpace(sum), "crc32c="); ok {
				a.CRC32C = v
			} else if v, ok := strings.CutPrefix(strings.TrimSpace(sum), "md5="); ok {
				a.MD5Hash = v
			}
		}
	}
}

// sums is what received content can tell of itself.
type sums interface {
	CRC32C() uint32
	MD5() []byte
}

// checkSums compares the checksums that the client sent with the content's.
func (a *attributes) checkSums(c sums) error {
	if got := encodeCRC32C(c.CRC32C()); a.CRC32C != "" && a.CRC32C != got {
		return badRequest("invalid", "Provided CRC32C %q doesn't match calculated CRC32C %q.", a.CRC32C, got)
	}
	if a.MD5Hash == "" {
		return nil
	}
	want, err := base64.StdEncoding.DecodeString(a.MD5Hash)
	if got := c.MD5(); err != nil || !bytes.Equal(want, got) {
		return badRequest("invalid", "Provided MD5 hash %q doesn't match calculated MD5 hash %q.", a.MD5Hash, base64.StdEncoding.EncodeToString(got))
	}
	return nil
}
