package storage

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"

	"github.com/litterloop/litterloop/localcloud/storage/internal/store"
)

// download answers with an object's bytes. get looks a parameter up, for the
// JSON API in the query and for the XML API in the headers.
func (s *Server) download(w http.ResponseWriter, r *request, get func(string) string) error {
	if err := s.may(r, "storage.objects.get", onObject(r.bucket, r.object)); err != nil {
		return err
	}
	g, err := generation(get, "generation")
	if err != nil {
		return err
	}
	c, err := conditions(get, "")
	if err != nil {
		return err
	}
	o, content, err := s.store.Open(r.bucket, r.object, g, c)
	if err != nil {
		return s.concealed(r, err)
	}
	defer content.Close()
	describe(w.Header(), o)
	// ServeContent knows Range, 416, and If-None-Match by the ETag just set.
	http.ServeContent(w, r.Request, "", o.Updated, content)
	return nil
}

// describe sets the headers that go with an object's bytes.
func describe(h http.Header, o *store.Object) {
	h.Set("X-Goog-Generation", strconv.FormatInt(o.Generation, 10))
	h.Set("X-Goog-Metageneration", strconv.FormatInt(o.Metageneration, 10))
	h.Set("X-Goog-Stored-Content-Length", strconv.FormatInt(o.Size, 10))
	h.Set("X-Goog-Stored-Content-Encoding", "identity")
	h.Set("X-Goog-Storage-Class", "STANDARD")
	h.Add("X-Goog-Hash", "crc32c="+encodeCRC32C(o.CRC32C))
	if len(o.MD5) > 0 {
		h.Add("X-Goog-Hash", "md5="+base64.StdEncoding.EncodeToString(o.MD5))
	}
	for k, v := range o.Metadata {
		if validHeader(k) {
			h.Set("X-Goog-Meta-"+k, strings.NewReplacer("\r", " ", "\n", " ").Replace(v))
		}
	}
	h.Set("Content-Type", "application/octet-stream")
	for k, v := range map[string]string{
		"Content-Type": o.ContentType, "Content-Encoding": o.ContentEncoding, "Content-Disposition": o.ContentDisposition,
		"Content-Language": o.ContentLanguage, "Cache-Control": o.CacheControl,
	} {
		if v != "" {
			h.Set(k, v)
		}
	}
	h.Set("ETag", `"`+etag(o)+`"`)
	// What was uploaded is data: no browser may take it for a page of ours.
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox")
}

func validHeader(name string) bool {
	for _, c := range []byte(name) {
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return name != ""
}
