package service

import (
	"context"
	"errors"
	"net/http"
	"os"

	"github.com/danielgtaylor/huma/v2"
	"github.com/litterloop/litterloop/shared/detector"
	"github.com/litterloop/litterloop/shared/detector/remote"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/imaging"
)

// Reasons of requests that are refused before a photo is looked at.
const (
	bodyTooLarge   errs.Code = "body-too-large"
	bodyUnreadable errs.Code = "body-unreadable"
	bodyEmpty      errs.Code = "body-empty"
	mediaType      errs.Code = "media-type-unsupported"
	uriRefused     errs.Code = remote.Refused
	overloaded     errs.Code = "overloaded"
	tooSlow        errs.Code = "timeout"
	uploadSlow     errs.Code = "upload-timeout"
	requestInvalid errs.Code = "request-invalid"
	feedbackOff    errs.Code = "feedback-off"
	feedbackBad    errs.Code = "feedback-invalid"
	adminOff       errs.Code = "admin-off"
	adminRefused   errs.Code = "admin-refused"
	swapBusy       errs.Code = "swap-in-progress"
)

// statuses of the reasons; a permanent error without one is 422.
var statuses = map[errs.Code]int{
	bodyTooLarge:              http.StatusRequestEntityTooLarge,
	imaging.TooLarge:          http.StatusRequestEntityTooLarge,
	bodyUnreadable:            http.StatusBadRequest,
	bodyEmpty:                 http.StatusBadRequest,
	mediaType:                 http.StatusUnsupportedMediaType,
	imaging.Unsupported:       http.StatusUnsupportedMediaType,
	imaging.Unreadable:        http.StatusUnprocessableEntity,
	detector.QueryInvalid:     http.StatusUnprocessableEntity,
	feedbackOff:               http.StatusConflict,
	adminOff:                  http.StatusForbidden,
	adminRefused:              http.StatusUnauthorized,
	swapBusy:                  http.StatusConflict,
	uriRefused:                http.StatusUnprocessableEntity,
	remote.TooLarge:           http.StatusRequestEntityTooLarge,
	overloaded:                http.StatusTooManyRequests,
	uploadSlow:                http.StatusRequestTimeout,
	detector.ModelUnreadable:  http.StatusInternalServerError,
	detector.ModelUnsupported: http.StatusInternalServerError,
}

// Problem is the answer to a request that failed (RFC 9457), with the reason's
// code.
type Problem struct {
	huma.ErrorModel
	Code string `json:"code" doc:"Stable reason, to be searched for in the documentation" example:"photo-unreadable"`
}

// faults are the codes of what huma refuses by itself.
var faults = map[int]errs.Code{
	http.StatusBadRequest:            bodyUnreadable,
	http.StatusRequestTimeout:        uploadSlow,
	http.StatusRequestEntityTooLarge: bodyTooLarge,
	http.StatusUnsupportedMediaType:  mediaType,
	http.StatusUnprocessableEntity:   requestInvalid,
}

func init() {
	// huma has this one place to say what all its errors look like.
	plain := huma.NewError
	huma.NewError = func(status int, message string, details ...error) huma.StatusError {
		p := &Problem{Code: string(faults[status])}
		if p.Code == "" && status != 0 { // 0 documents the type
			p.Code = "internal"
		}
		if e, ok := plain(status, message, details...).(*huma.ErrorModel); ok {
			p.ErrorModel = *e
		}
		return p
	}
}

// problem turns an error into its answer.
func problem(err error) *Problem {
	code, permanent := errs.Reason(err)
	status := http.StatusInternalServerError
	switch {
	case permanent:
		status = http.StatusUnprocessableEntity
		if s, ok := statuses[code]; ok {
			status = s
		}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		code, status = tooSlow, http.StatusGatewayTimeout
	case errors.Is(err, context.Canceled):
		code, status = "cancelled", 499 // the client went away; nobody reads this
	case errors.Is(err, errs.Unavailable):
		code, status = "unavailable", http.StatusServiceUnavailable
	case errors.Is(err, errs.NotFound):
		code, status = "not-found", http.StatusNotFound
	default:
		code = "internal"
	}
	return &Problem{
		ErrorModel: huma.ErrorModel{Title: http.StatusText(status), Status: status, Detail: err.Error()},
		Code:       string(code),
	}
}

// refusal is problem, with Retry-After where trying again soon may help.
func refusal(err error) error {
	p := problem(err)
	if p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable {
		return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {"1"}})
	}
	return p
}
