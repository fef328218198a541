package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"github.com/litterloop/litterloop/localcloud/storage/internal/store"
)

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
	if err := s.mayCreate(r, meta, &c); err != nil {
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
	have, err := f.Seek(0, io.SeekEnd)
	if err == nil && !span.query {
		have, err = u.receive(f, r.Body, have, span)
	}
	if err != nil {
		return err
	}
	if !span.ends(have) {
		answerIncomplete(w, r, have)
		return nil
	}
	if span.total >= 0 && have > span.total {
		return badRequest("invalid", "the upload holds %d bytes, its total was given as %d", have, span.total)
	}
	return s.endSession(w, r, u, have)
}

// answerIncomplete tells how much is there: 308, or what the Google Go client
// asks for in its stead.
func answerIncomplete(w http.ResponseWriter, r *request, have int64) {
	if have > 0 {
		w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", have-1))
	}
	if r.Header.Get("X-GUploader-No-308") == "yes" {
		w.Header().Set("X-Http-Status-Code-Override", "308")
		w.WriteHeader(http.StatusOK)
		return
	}
	w.WriteHeader(http.StatusPermanentRedirect)
}

// receive appends a chunk to the have bytes in f and returns how many there are
// then. A chunk cut short keeps what came; bytes sent again are skipped.
func (u *session) receive(f *os.File, chunk io.Reader, have int64, span contentRange) (int64, error) {
	if span.first > have {
		return 0, badRequest("invalid", "the chunk begins at %d, the session holds %d bytes", span.first, have)
	}
	if _, err := io.CopyN(io.Discard, chunk, have-span.first); err != nil && err != io.EOF {
		return 0, badRequest("invalid", "the chunk broke off: %v", err)
	}
	if span.last >= 0 {
		chunk = io.LimitReader(chunk, max(0, span.last+1-have))
	}
	var to io.Writer = f
	if u.summed == have {
		to = io.MultiWriter(f, u.sums)
	}
	n, err := io.Copy(to, chunk)
	if u.summed == have && err == nil {
		u.summed += n
	}
	have += n
	switch {
	case err != nil:
		u.summed = -1 // how much went into the sums is not known
		return 0, badRequest("invalid", "the chunk broke off at byte %d of the upload: %v", have, err)
	case span.last >= 0 && have < span.last+1:
		return 0, badRequest("invalid", "the chunk broke off: it was to reach byte %d, the session holds %d", span.last, have)
	}
	return have, nil
}

// endSession makes the object of the size bytes that the session received.
func (s *Server) endSession(w http.ResponseWriter, r *request, u *session, size int64) error {
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
	if err := s.mayCreate(r, meta, &c); err != nil {
		return err
	}
	path := s.uploads.data(u.id)
	if u.summed != size {
		if err := u.sumAgain(path); err != nil {
			return err
		}
	}
	content, err := s.store.Adopt(path, size, u.sums)
	if err != nil {
		return err
	}
	defer content.Discard()
	expect(&a, r.Header)
	if err := a.checkSums(content); err != nil {
		s.uploads.remove(u.id)
		return err
	}
	o, err := s.store.Put(meta, content, c, u.id)
	if errors.Is(err, store.ErrUnavailable) {
		return err // the session stays: asking again may succeed
	}
	s.uploads.remove(u.id)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, resource(o, r.base()))
	return nil
}

// sumAgain computes the sums from the file, after a restart or a broken chunk.
func (u *session) sumAgain(path string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	u.sums = store.NewSums()
	u.summed, err = io.Copy(u.sums, f)
	return err
}
