package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/tracking/fault"
)

// problem is the body of an error's answer.
type problem struct {
	Code    string `json:"error_code"`
	Message string `json:"message"`
	State   string `json:"sqlstate,omitempty"`
	Class   string `json:"error_class,omitempty"`
}

// describe is the one table from errors to MLflow's codes and to statuses.
func describe(err error) (int, problem) {
	code, permanent := errs.Reason(err)
	message, ok := fault.Message(err)
	if !ok {
		message = err.Error()
	}
	switch {
	case errors.Is(err, errNotImplemented):
		return http.StatusNotImplemented, problem{"NOT_IMPLEMENTED", err.Error(), "", ""}
	case errors.Is(err, errNoExperiment):
		return http.StatusBadRequest, problem{"BAD_REQUEST", message, "KAM00", "INVALID_PARAMETER_VALUE"}
	case code == fault.CodeExists:
		return http.StatusBadRequest, problem{"RESOURCE_ALREADY_EXISTS", message, "KAM00", "RESOURCE_ALREADY_EXISTS"}
	case permanent:
		return http.StatusBadRequest, problem{"INVALID_PARAMETER_VALUE", message, "KAM00", "INVALID_PARAMETER_VALUE"}
	case errors.Is(err, errs.NotFound):
		return http.StatusNotFound, problem{"RESOURCE_DOES_NOT_EXIST", message, "KAM00", "RESOURCE_NOT_FOUND"}
	}
	// What is left is the bucket's: the client asks again.
	return http.StatusServiceUnavailable, problem{"TEMPORARILY_UNAVAILABLE", message, "KAM00", "TEMPORARILY_UNAVAILABLE"}
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, p := describe(err)
	if status >= 500 && status != http.StatusNotImplemented {
		if r.Context().Err() != nil && errors.Is(err, context.Canceled) {
			return // nobody waits for the answer
		}
		s.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		w.Header().Set("Retry-After", "1")
	}
	s.answer(w, status, p)
}

// answer writes v as JSON; nil as an empty object.
func (s *Server) answer(w http.ResponseWriter, status int, v any) {
	if v == nil {
		v = struct{}{}
	}
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		s.log.Error("encode an answer", "error", err)
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	w.Write(body.Bytes())
}

// Answers of a server that does not know a path or a method, as MLflow's own.
const (
	notFoundPage = "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n<p>The requested URL was not found on the server. " +
		"If you entered the URL manually please check your spelling and try again.</p>\n"
	notAllowedPage = "<!doctype html>\n<html lang=en>\n<title>405 Method Not Allowed</title>\n<h1>Method Not Allowed</h1>\n" +
		"<p>The method is not allowed for the requested URL.</p>\n"
)

func page(w http.ResponseWriter, status int, media, body string) {
	w.Header().Set("Content-Type", media+"; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write([]byte(body))
}
