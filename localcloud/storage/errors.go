package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/litterloop/litterloop/localcloud/iam"
	"github.com/litterloop/litterloop/localcloud/storage/internal/store"
)

// apiError is an answer other than success, in the JSON API's terms.
type apiError struct {
	status  int
	reason  string
	message string
}

func (e *apiError) Error() string { return e.message }

func badRequest(reason, format string, args ...any) error {
	return &apiError{http.StatusBadRequest, reason, fmt.Sprintf(format, args...)}
}

// toAPI is the one table from the store's errors to answers. reading turns a
// failed ...NotMatch condition into 304, which only GET and HEAD know.
func toAPI(err error, reading bool) *apiError {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	if d, ok := errors.AsType[*iam.Denied](err); ok {
		return &apiError{http.StatusForbidden, "forbidden", d.Error()}
	}
	for _, t := range []struct {
		is     error
		status int
		reason string
	}{
		{store.ErrNoBucket, http.StatusNotFound, "notFound"},
		{store.ErrNoObject, http.StatusNotFound, "notFound"},
		{store.ErrNoNotification, http.StatusNotFound, "notFound"},
		{store.ErrBucketExists, http.StatusConflict, "conflict"},
		{store.ErrBucketNotEmpty, http.StatusConflict, "conflict"},
		{store.ErrPrecondition, http.StatusPreconditionFailed, "conditionNotMet"},
		{store.ErrUnavailable, http.StatusServiceUnavailable, "backendError"},
	} {
		if errors.Is(err, t.is) {
			return &apiError{t.status, t.reason, err.Error()}
		}
	}
	if errors.Is(err, store.ErrNotModified) {
		if reading {
			return &apiError{http.StatusNotModified, "notModified", err.Error()}
		}
		return &apiError{http.StatusPreconditionFailed, "conditionNotMet", err.Error()}
	}
	return &apiError{http.StatusInternalServerError, "internalError", err.Error()}
}

func writeError(w http.ResponseWriter, r *http.Request, err error) {
	e := toAPI(err, r.Method == http.MethodGet || r.Method == http.MethodHead)
	if e.status == http.StatusNotModified {
		w.WriteHeader(e.status)
		return
	}
	writeJSON(w, e.status, map[string]any{"error": map[string]any{
		"code": e.status, "message": e.message,
		"errors": []map[string]string{{"message": e.message, "domain": "global", "reason": e.reason}},
	}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}
