package storage

import (
	"encoding/base64"
	"net/http"

	"github.com/litterloop/litterloop/localcloud/storage/internal/store"
)

// maxPage is the most a page of a listing holds, objects and prefixes together.
const maxPage = 1000

func (s *Server) list(w http.ResponseWriter, r *request) error {
	if err := s.may(r, "storage.objects.list", onBucket(r.bucket)); err != nil {
		return err
	}
	q := store.Query{
		Prefix: r.query.Get("prefix"), Delimiter: r.query.Get("delimiter"),
		Start: r.query.Get("startOffset"), End: r.query.Get("endOffset"),
		TrailingDelimiter: r.query.Get("includeTrailingDelimiter") == "true",
		Limit:             maxPage,
	}
	if v := r.query.Get("maxResults"); v != "" {
		n, err := parseInt64("maxResults", v)
		if err != nil {
			return err
		}
		if n > 0 {
			q.Limit = int(min(n, maxPage))
		}
	}
	if v := r.query.Get("pageToken"); v != "" {
		after, err := base64.URLEncoding.DecodeString(v)
		if err != nil {
			return badRequest("invalid", "pageToken %q is not one of ours", v)
		}
		q.After = string(after)
	}
	if v := r.query.Get("matchGlob"); v != "" {
		match, err := compileGlob(v)
		if err != nil {
			return err
		}
		q.Match = match
	}
	page, err := s.store.List(r.bucket, q)
	if err != nil {
		return err
	}
	answer := struct {
		Kind          string    `json:"kind"`
		NextPageToken string    `json:"nextPageToken,omitempty"`
		Prefixes      []string  `json:"prefixes,omitempty"`
		Items         []*object `json:"items,omitempty"`
	}{Kind: "storage#objects", Prefixes: page.Prefixes}
	if page.Next != "" {
		answer.NextPageToken = base64.URLEncoding.EncodeToString([]byte(page.Next))
	}
	for _, o := range page.Objects {
		answer.Items = append(answer.Items, resource(o, r.base()))
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}
