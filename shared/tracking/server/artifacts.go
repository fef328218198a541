package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/tracking/fault"
)

// errNotImplemented is answered by routes that MLflow has for other storage; its
// client then uses the plain ones.
var errNotImplemented = errors.New("Multipart upload is not supported for the current artifact repository") //lint:ignore ST1005 MLflow's words

// errNoExperiment is MLflow's refusal of a run without an experiment.
var errNoExperiment = fault.Invalid("Missing value for required parameter 'experiment_id'. See the API docs for more information about request parameters.")

func multipart(*Server, *request) (any, error) { return nil, errNotImplemented }

func presigned(*Server, *request) (any, error) {
	return nil, fmt.Errorf("Presigned URLs are not supported: %w", errNotImplemented) //lint:ignore ST1005 as above
}

// maxName is the longest object name that Cloud Storage takes, in bytes.
const maxName = 1024

// artifactObject is the object of an artifact's path. Whatever the path says, in
// whatever encoding, the object lies under artifacts/.
func artifactObject(p string) (string, error) {
	bad := fault.Invalid("Invalid path")
	for decoded := p; ; {
		if strings.ContainsAny(decoded, "#\\\x00") || strings.HasPrefix(decoded, "/") || strings.HasPrefix(strings.ToLower(decoded), "file:") {
			return "", bad
		}
		for part := range strings.SplitSeq(decoded, "/") {
			if part == ".." {
				return "", bad
			}
		}
		next, err := url.PathUnescape(decoded)
		if err != nil || next == decoded {
			break
		}
		decoded = next
	}
	clean := strings.TrimPrefix(path.Clean("/"+p), "/")
	object, _ := tracking.ArtifactObject(tracking.ArtifactScheme + clean)
	if len(object) > maxName || strings.ContainsAny(clean, "\r\n") {
		return "", bad
	}
	return object, nil
}

// mediaType guesses by the name, as MLflow does.
func mediaType(name string) string {
	switch ext := strings.ToLower(path.Ext(name)); ext {
	case ".yaml", ".yml", ".txt", ".log", ".csv", ".md", ".py", ".cfg", ".ini", "":
		if ext == "" && path.Base(name) != "MLmodel" {
			break
		}
		return "text/plain"
	default:
		if t, _, _ := strings.Cut(mime.TypeByExtension(ext), ";"); t != "" {
			return t
		}
	}
	return "application/octet-stream"
}

func putArtifact(s *Server, w http.ResponseWriter, r *http.Request, params map[string]string) error {
	object, err := artifactObject(params["artifact_path"])
	if err != nil {
		return err
	}
	body := &source{r: r.Body}
	_, err = s.bucket.Write(r.Context(), object, body, blob.WriteOptions{IfGeneration: blob.Any, ContentType: mediaType(object)})
	if body.err != nil {
		return fault.Invalid("Bad Request. The body ended before its time: %v", body.err)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// source remembers that reading a request failed, which is the client's fault.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

func getArtifact(s *Server, w http.ResponseWriter, r *http.Request, params map[string]string) error {
	object, err := artifactObject(params["artifact_path"])
	if err != nil {
		return err
	}
	return s.serve(w, r, object, params["artifact_path"])
}

// serve answers with an object: whole, or the range that is asked for.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, object, name string) error {
	noArtifact := fault.Missing("No such artifact: '%s'", name)
	a, err := s.bucket.Stat(r.Context(), object)
	if errors.Is(err, errs.NotFound) {
		return noArtifact
	}
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", mediaType(object))
	if t := mediaType(object); strings.HasPrefix(t, "text/") {
		h.Set("Content-Type", t+"; charset=utf-8")
	}
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": path.Base(object)}))
	h.Set("ETag", fmt.Sprintf(`"%s-%d"`, a.MD5, a.Generation))
	content := &content{ctx: r.Context(), bucket: s.bucket, attrs: a}
	defer content.Close()
	answer := &late{ResponseWriter: w, status: http.StatusOK}
	http.ServeContent(answer, r, "", a.Updated, content)
	return answer.end(content.err)
}

// late keeps the head of an answer back until its body begins: an object that
// cannot be read after all is answered by an error that the client understands.
type late struct {
	http.ResponseWriter
	status int
	begun  bool
}

// WriteHeader implements http.ResponseWriter.
func (l *late) WriteHeader(status int) { l.status = status }

// Write implements http.ResponseWriter.
func (l *late) Write(p []byte) (int, error) {
	if !l.begun {
		l.begun = true
		l.ResponseWriter.WriteHeader(l.status)
	}
	return l.ResponseWriter.Write(p)
}

// end returns err where that can still be answered. Where the body has begun,
// the client sees that it is cut short: its length was told.
func (l *late) end(err error) error {
	switch {
	case l.begun:
		return nil
	case err != nil:
		clear(l.Header())
		return err
	}
	l.ResponseWriter.WriteHeader(l.status)
	return nil
}

// content reads an object from wherever it is asked to, and never holds more of
// it than a buffer.
type content struct {
	ctx    context.Context
	bucket blob.Bucket
	attrs  blob.Attrs

	offset int64
	open   io.ReadCloser
	buffer *bufio.Reader
	err    error // that reading ended with
}

// Seek implements io.Seeker.
func (c *content) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += c.offset
	case io.SeekEnd:
		offset += c.attrs.Size
	}
	if offset < 0 {
		return 0, errors.New("before the start of the object")
	}
	if offset != c.offset {
		c.Close()
	}
	c.offset = offset
	return offset, nil
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	n, err := c.read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

func (c *content) read(p []byte) (int, error) {
	if c.offset >= c.attrs.Size {
		return 0, io.EOF
	}
	if c.open == nil {
		r, a, err := c.bucket.Open(c.ctx, c.attrs.Name, c.offset, -1)
		if err != nil {
			return 0, err
		}
		if a.Generation != c.attrs.Generation {
			r.Close()
			return 0, fmt.Errorf("%s changed while it was read", c.attrs.Name)
		}
		c.open, c.buffer = r, bufio.NewReaderSize(r, 64<<10)
	}
	n, err := c.buffer.Read(p)
	c.offset += int64(n)
	return n, err
}

// Close ends the reading; another Read begins anew.
func (c *content) Close() error {
	if c.open == nil {
		return nil
	}
	err := c.open.Close()
	c.open, c.buffer = nil, nil
	return err
}

func deleteArtifact(s *Server, w http.ResponseWriter, r *http.Request, params map[string]string) error {
	object, err := artifactObject(params["artifact_path"])
	if err != nil {
		return err
	}
	var objects []string
	if _, err := s.bucket.Stat(r.Context(), object); err == nil {
		objects = append(objects, object)
	} else if !errors.Is(err, errs.NotFound) {
		return err
	}
	for a, err := range s.bucket.List(r.Context(), strings.TrimSuffix(object, "/")+"/") {
		if err != nil {
			return err
		}
		objects = append(objects, a.Name)
	}
	g, ctx := errgroup.WithContext(r.Context())
	g.SetLimit(32)
	for _, object := range objects {
		g.Go(func() error {
			if err := s.bucket.Delete(ctx, object, blob.Any); !errors.Is(err, errs.NotFound) {
				return err
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	s.answer(w, http.StatusOK, nil)
	return nil
}

type wireFile struct {
	Path string `json:"path"`
	Dir  bool   `json:"is_dir"`
	Size *int64 `json:"file_size,omitempty"`
}

// list is one level of what lies under a prefix, in the order of names. before
// is put before each name.
func (s *Server) list(ctx context.Context, object, before string) ([]wireFile, error) {
	prefix := strings.TrimSuffix(object, "/") + "/"
	var files []wireFile
	for a, err := range s.bucket.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		name, _, dir := strings.Cut(strings.TrimPrefix(a.Name, prefix), "/")
		if name == "" {
			continue
		}
		name = before + name
		if n := len(files); n > 0 && files[n-1].Path == name && files[n-1].Dir && dir {
			continue
		}
		f := wireFile{Path: name, Dir: dir}
		if !dir {
			f.Size = &a.Size
		}
		files = append(files, f)
	}
	return files, nil
}

type wireFiles struct {
	Root  string     `json:"root_uri,omitempty"`
	Files []wireFile `json:"files,omitempty"`
}

func listArtifacts(s *Server, q *request) (any, error) {
	object, err := artifactObject(q.text("path"))
	if err != nil {
		return nil, err
	}
	files, err := s.list(q.Context(), object, "")
	return wireFiles{Files: files}, err
}

// under is the object of a path below an artifact URI.
func under(uri, p string) (string, error) {
	if _, err := artifactObject(p); err != nil {
		return "", err
	}
	rest, ok := strings.CutPrefix(uri, tracking.ArtifactScheme)
	if !ok {
		return "", fault.Invalid("The artifacts at '%s' are not this server's: use the storage's own tools.", uri)
	}
	return artifactObject(path.Join(strings.TrimPrefix(rest, "/"), p))
}

func (s *Server) listUnder(ctx context.Context, uri, p string) (any, error) {
	object, err := under(uri, p)
	if err != nil {
		return nil, err
	}
	before := strings.Trim(path.Clean("/"+p), "/") + "/"
	files, err := s.list(ctx, object, strings.TrimPrefix(before, "/"))
	return wireFiles{uri, files}, err
}

func listRunArtifacts(s *Server, q *request) (any, error) {
	if err := q.check(runID, field{name: "path"}, field{name: "page_token"}); err != nil {
		return nil, err
	}
	r, err := s.store.Run(q.Context(), q.text("run_id"))
	if err != nil {
		return nil, err
	}
	return s.listUnder(q.Context(), r.ArtifactURI, q.text("path"))
}

func listModelArtifacts(s *Server, q *request) (any, error) {
	m, err := s.store.LoggedModel(q.Context(), q.path["model_id"], false)
	if err != nil {
		return nil, err
	}
	return s.listUnder(q.Context(), m.ArtifactURI, q.text("artifact_directory_path"))
}

func getRunArtifact(s *Server, w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	q, err := parse(r, nil)
	if err != nil {
		return err
	}
	id := q.text("run_id")
	if id == "" {
		return fault.Invalid("Request must specify run_id or run_uuid.")
	}
	found, err := s.store.Run(r.Context(), id)
	if err != nil {
		return err
	}
	return s.serveUnder(w, r, found.ArtifactURI, q.text("path"))
}

func getModelArtifact(s *Server, w http.ResponseWriter, r *http.Request, params map[string]string) error {
	m, err := s.store.LoggedModel(r.Context(), params["model_id"], false)
	if err != nil {
		return err
	}
	return s.serveUnder(w, r, m.ArtifactURI, r.URL.Query().Get("artifact_file_path"))
}

func (s *Server) serveUnder(w http.ResponseWriter, r *http.Request, uri, p string) error {
	object, err := under(uri, p)
	if err != nil {
		return err
	}
	return s.serve(w, r, object, p)
}

// maxUpload bounds what pages upload.
const maxUpload = 10 << 20

func uploadArtifact(s *Server, w http.ResponseWriter, r *http.Request, _ map[string]string) error {
	query := r.URL.Query()
	_, bad := artifactObject(query.Get("path"))
	switch {
	case query.Get("run_uuid") == "":
		return fault.Invalid("Request must specify run_uuid.")
	case query.Get("path") == "":
		return fault.Invalid("Request must specify path.")
	case bad != nil:
		return bad
	case r.ContentLength > maxUpload:
		return fault.Invalid("Artifact size is too large. Max size is 10MB.")
	case r.ContentLength == 0:
		return fault.Invalid("Request must specify data.")
	}
	found, err := s.store.Run(r.Context(), query.Get("run_uuid"))
	if err != nil {
		return err
	}
	object, err := under(found.ArtifactURI, query.Get("path"))
	if err != nil {
		return err
	}
	body := &source{r: http.MaxBytesReader(w, r.Body, maxUpload)}
	_, err = s.bucket.Write(r.Context(), object, body, blob.WriteOptions{IfGeneration: blob.Any, ContentType: mediaType(object)})
	if body.err != nil {
		return fault.Invalid("Artifact size is too large. Max size is 10MB.")
	}
	if err != nil {
		return err
	}
	s.answer(w, http.StatusOK, nil)
	return nil
}
