// Package fault makes the errors of tracking and registry that a client is to
// read: their text is the whole message, in MLflow's words, and what they are
// decides MLflow's error code.
package fault

import (
	"errors"
	"fmt"

	"github.com/litterloop/litterloop/shared/errs"
)

// Reason codes of requests that no repetition mends.
const (
	CodeInvalid errs.Code = "tracking-invalid"
	CodeExists  errs.Code = "tracking-exists"
)

// Invalid is a request that breaks a rule.
func Invalid(format string, args ...any) error {
	return errs.Permanent(CodeInvalid, fmt.Errorf(format, args...))
}

// Exists is the creation of what is there already.
func Exists(format string, args ...any) error {
	return errs.Permanent(CodeExists, fmt.Errorf(format, args...))
}

// Missing is what was named and does not exist; it is errs.NotFound.
func Missing(format string, args ...any) error {
	return &missing{fmt.Sprintf(format, args...)}
}

type missing struct{ message string }

func (m *missing) Error() string        { return m.message }
func (m *missing) Is(target error) bool { return target == errs.NotFound }

// Message returns the text that was meant for the client, without what was
// wrapped around it on the way; ok is false when err holds no such text.
func Message(err error) (message string, ok bool) {
	if m, ok := errors.AsType[*missing](err); ok {
		return m.message, true
	}
	if p, ok := errors.AsType[*errs.PermanentError](err); ok {
		return p.Error(), true
	}
	return "", false
}
