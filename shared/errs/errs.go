// Package errs sorts errors by what their reader must do: a permanent error is
// bad input that no repetition mends; every other error is transient, and the
// event behind it is delivered again.
package errs

//lint:file-ignore ST1012 errs.NotFound says that it is an error; errs.ErrNotFound would say it twice.

import (
	"errors"
	"fmt"
	"net/http"
)

// Sentinels that ports translate their back end's errors into.
var (
	// NotFound: what was named does not exist. Repeating does not help.
	NotFound = errors.New("not found")
	// Conflict: a precondition (create-only, generation) failed. Read again,
	// decide again; repeating the same write does not help.
	Conflict = errors.New("precondition failed")
	// Unavailable: the other side is away or overloaded. Repeating helps.
	Unavailable = errors.New("unavailable")
)

// Code is a stable machine-readable reason such as "labels-not-json"; it is
// what a person searches the documentation for.
type Code string

// PermanentError is bad input: the reason, and what to do about it.
type PermanentError struct {
	Code Code
	Err  error
}

func (e *PermanentError) Error() string { return e.Err.Error() }
func (e *PermanentError) Unwrap() error { return e.Err }

// Permanent marks err as one that no repetition mends.
func Permanent(code Code, err error) error { return &PermanentError{Code: code, Err: err} }

// Permanentf is Permanent over fmt.Errorf.
func Permanentf(code Code, format string, args ...any) error {
	return Permanent(code, fmt.Errorf(format, args...))
}

// Reason returns the code of the outermost permanent error in err's chain;
// ok is false for a transient error.
func Reason(err error) (code Code, ok bool) {
	var p *PermanentError
	if errors.As(err, &p) {
		return p.Code, true
	}
	return "", false
}

// Status is the one table from errors to HTTP answers of an event handler: a
// permanent error is acknowledged (it was reported elsewhere), any other asks
// Pub/Sub to deliver again.
func Status(err error) int {
	if err == nil {
		return http.StatusNoContent
	}
	if _, permanent := Reason(err); permanent {
		return http.StatusOK
	}
	return http.StatusServiceUnavailable
}

// Wrap prefixes *err, when there is one, with what was being done:
//
//	defer errs.Wrap(&err, "convert %q", batch)
func Wrap(err *error, format string, args ...any) {
	if *err != nil {
		*err = fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), *err)
	}
}
