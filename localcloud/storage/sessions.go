package storage

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// sessionLife is how long an upload session lives, as on Cloud Storage.
const sessionLife = 7 * 24 * time.Hour

// session is a resumable upload. What the server confirmed of it (308 and Range)
// lies in a file and survives a restart.
type session struct {
	Bucket     string          `json:"bucket"`
	Query      string          `json:"query"` // of the request that began it
	Attributes json.RawMessage `json:"attributes"`

	mu sync.Mutex // one request at a time
	id string
}

// sessions keeps the upload sessions under way, in dir/ID.json and dir/ID.data.
type sessions struct {
	dir string
	mu  sync.Mutex
	all map[string]*session
}

// sessionID is the form of the ids that rand.Text makes. Nothing else is ever
// looked up, so an id cannot name a file elsewhere.
var sessionID = regexp.MustCompile(`^[A-Z2-7]{26}$`)

func openSessions(dir string, now func() time.Time) (*sessions, error) {
	if err := mkdir(dir); err != nil {
		return nil, err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if info, err := f.Info(); err == nil && now().Sub(info.ModTime()) > sessionLife {
			os.Remove(filepath.Join(dir, f.Name()))
		}
	}
	return &sessions{dir: dir, all: map[string]*session{}}, nil
}

func (ss *sessions) data(id string) string { return filepath.Join(ss.dir, id+".data") }
func (ss *sessions) doc(id string) string  { return filepath.Join(ss.dir, id+".json") }

func (ss *sessions) create(s *session) error {
	s.id = rand.Text()
	p, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(ss.data(s.id), nil, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(ss.doc(s.id), p, 0o600); err != nil {
		return err
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.all[s.id] = s
	return nil
}

func (ss *sessions) get(id string) (*session, error) {
	if !sessionID.MatchString(id) {
		return nil, errNoSession
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if s := ss.all[id]; s != nil {
		return s, nil
	}
	p, err := os.ReadFile(ss.doc(id))
	if err != nil {
		return nil, errNoSession
	}
	s := &session{id: id}
	if err := json.Unmarshal(p, s); err != nil {
		return nil, errNoSession
	}
	ss.all[id] = s
	return s, nil
}

func (ss *sessions) remove(id string) {
	ss.mu.Lock()
	delete(ss.all, id)
	ss.mu.Unlock()
	os.Remove(ss.doc(id))
	os.Remove(ss.data(id))
}

// 410 tells a client to begin again.
var errNoSession = &apiError{http.StatusGone, "gone", "no such upload session: begin the upload again"}

func (s *Server) startSession(w http.ResponseWriter, r *request) error {
	c, err := conditions(r.query.Get, "")
	if err != nil {
		return err
	}
	var a attributes
	if err := decode(r.Body, &a); err != nil {
		return err
	}
	if ct := r.Header.Get("X-Upload-Content-Type"); ct != "" && a.ContentType == nil {
		a.ContentType = &ct
	}
	meta, err := newObject(r.bucket, r.query, &a)
	if err != nil {
		return err
	}
	if _, err := s.store.Bucket(r.bucket); err != nil {
		return err
	}
	// The conditions count when the upload ends; what fails already fails now.
	live, _ := s.store.Stat(r.bucket, meta.Name, 0)
	if err := c.Check(live); err != nil {
		return err
	}
	said, err := json.Marshal(a)
	if err != nil {
		return err
	}
	u := &session{Bucket: r.bucket, Query: r.query.Encode(), Attributes: said}
	if err := s.uploads.create(u); err != nil {
		return err
	}
	w.Header().Set("Location", fmt.Sprintf("%s/upload/storage/v1/b/%s/o?uploadType=resumable&upload_id=%s", r.base(), url.PathEscape(r.bucket), u.id))
	w.Header().Set("X-GUploader-UploadID", u.id)
	w.WriteHeader(http.StatusOK)
	return nil
}

// resume serves a chunk, a question for the state, or the end of a session.
func (s *Server) resume(w http.ResponseWriter, r *request, id string) error {
	if o := s.store.Upload(id); o != nil { // it ended; the answer may have been lost
		s.uploads.remove(id)
		writeJSON(w, http.StatusOK, resource(o, r.base()))
		return nil
	}
	u, err := s.uploads.get(id)
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if r.Method == http.MethodDelete {
		s.uploads.remove(id)
		return &apiError{499, "cancelled", "the upload was cancelled"}
	}
	span, err := parseContentRange(r.Header.Get("Content-Range"))
	if err != nil {
		return err
	}
	f, err := os.OpenFile(s.uploads.data(id), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return errNoSession
	} else if err != nil {
		return err
	}
	defer f.Close()
	have, err := s.receiveChunk(f, r, span)
	if err != nil {
		return err
	}
	if span.total < 0 && !span.whole || span.total > have {
		if have > 0 {
			w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", have-1))
		}
		if r.Header.Get("X-GUploader-No-308") == "yes" {
			w.Header().Set("X-Http-Status-Code-Override", "308")
			w.WriteHeader(http.StatusOK)
			return nil
		}
		w.WriteHeader(http.StatusPermanentRedirect)
		return nil
	}
	if span.total >= 0 && have > span.total {
		return badRequest("invalid", "the upload holds %d bytes, its total was given as %d", have, span.total)
	}
	return s.endSession(w, r, u, f)
}

// receiveChunk appends a chunk and returns how much the session holds. A chunk
// cut short keeps what came; bytes sent again are skipped.
func (s *Server) receiveChunk(f *os.File, r *request, span contentRange) (have int64, err error) {
	if have, err = f.Seek(0, io.SeekEnd); err != nil {
		return 0, err
	}
	if span.query {
		return have, nil
	}
	if span.first > have {
		return 0, badRequest("invalid", "the chunk begins at %d, the session holds %d bytes", span.first, have)
	}
	if _, err := io.CopyN(io.Discard, r.Body, have-span.first); err != nil && err != io.EOF {
		return 0, badRequest("invalid", "the chunk broke off: %v", err)
	}
	var body io.Reader = r.Body
	if span.last >= 0 {
		body = io.LimitReader(r.Body, span.last+1-have)
	}
	n, err := io.Copy(f, body)
	have += n
	if err == nil && s.opts.Fsync {
		err = f.Sync()
	}
	if err != nil {
		return 0, badRequest("invalid", "the chunk broke off after %d bytes of the upload: %v", have, err)
	}
	if span.last >= 0 && have < span.last+1 {
		return 0, badRequest("invalid", "the chunk broke off: it was to reach byte %d, the session holds %d", span.last, have)
	}
	return have, nil
}

// endSession makes the object of what the session received.
func (s *Server) endSession(w http.ResponseWriter, r *request, u *session, f *os.File) error {
	var a attributes
	if err := json.Unmarshal(u.Attributes, &a); err != nil {
		return err
	}
	query, err := url.ParseQuery(u.Query)
	if err != nil {
		return err
	}
	c, err := conditions(query.Get, "")
	if err != nil {
		return err
	}
	meta, err := newObject(u.Bucket, query, &a)
	if err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	content := s.store.NewContent()
	defer content.Discard()
	if _, err := content.ReadFrom(f); err != nil {
		return err
	}
	expect(&a, r.Header)
	if err := a.checkSums(content); err != nil {
		s.uploads.remove(u.id)
		return err
	}
	o, err := s.store.Put(meta, content, c, u.id)
	if err != nil {
		return err
	}
	s.uploads.remove(u.id)
	writeJSON(w, http.StatusOK, resource(o, r.base()))
	return nil
}

// contentRange is a chunk's place: "bytes 0-99/200", "bytes 0-99/*",
// "bytes */200", "bytes */*", or no header at all for a whole upload.
type contentRange struct {
	first, last int64 // last is -1 when unknown
	total       int64 // -1 when unknown
	query       bool  // no content, only a question
	whole       bool  // no header: all of it
}

func parseContentRange(h string) (contentRange, error) {
	if h == "" {
		return contentRange{last: -1, total: -1, whole: true}, nil
	}
	bad := badRequest("invalid", "Content-Range %q", h)
	span, total, ok := strings.Cut(strings.TrimPrefix(h, "bytes "), "/")
	if !ok {
		return contentRange{}, bad
	}
	c := contentRange{last: -1, total: -1}
	var err error
	if total != "*" {
		if c.total, err = strconv.ParseInt(total, 10, 64); err != nil || c.total < 0 {
			return c, bad
		}
	}
	if span == "*" {
		c.query = true
		return c, nil
	}
	first, last, ok := strings.Cut(span, "-")
	if !ok {
		return c, bad
	}
	if c.first, err = strconv.ParseInt(first, 10, 64); err != nil || c.first < 0 {
		return c, bad
	}
	if last == "*" {
		return c, nil
	}
	if c.last, err = strconv.ParseInt(last, 10, 64); err != nil || c.last < c.first-1 || c.total >= 0 && c.last >= c.total {
		return c, bad
	}
	return c, nil
}
