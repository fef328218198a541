package tracking

import (
	"encoding/json"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/tracking/fault"
)

// Limits of names and values, in characters, as MLflow's server has them.
const (
	maxKey             = 250
	maxParamValue      = 6000 // longer ones are cut
	maxTagValue        = 8000 // longer ones are cut
	maxExperimentName  = 500
	maxExperimentValue = 20000
)

// MLflow's rules for ids and for the keys of parameters, tags and metrics.
var (
	runID = regexp.MustCompile(`^[a-zA-Z0-9][\w-]{0,255}$`)

	id  = regexp.MustCompile(`^[a-zA-Z0-9][\w-]{0,63}$`)
	key = regexp.MustCompile(`^[/\p{L}\p{N}\p{M}_.\- :]*$`)
)

func checkID(what, s string) error {
	if !id.MatchString(s) {
		return errs.Permanentf(CodeBadName, "%s id %q: use letters, digits, _ and -, at most 64", what, s)
	}
	return nil
}

// checkKey checks the key of a metric, parameter or tag; field is where the
// request had it.
func checkKey(what, field, s string) error {
	if err := CheckKey(field, s); err != nil {
		return err
	}
	if utf8.RuneCountInString(s) > maxKey {
		return errs.Permanentf(CodeBadName, "'%s' exceeds the maximum length of %d characters", what, maxKey)
	}
	return nil
}

// CheckKey refuses keys with characters that MLflow refuses, and those that
// would mean another file when taken as a path.
func CheckKey(field, s string) error {
	if !key.MatchString(s) {
		return errs.Permanentf(CodeBadName, "Invalid value %s for parameter '%s' supplied: Names may only contain alphanumerics, underscores (_), "+
			"dashes (-), periods (.), spaces ( ), colon(:) and slashes (/).", quote(s), field)
	}
	if norm := normal(s); notAPath(s, norm) {
		return errs.Permanentf(CodeBadName, "Invalid value %s for parameter '%s' supplied: Names may be treated as files in certain cases, "+
			"and must not resolve to other names when treated as such. This name would resolve to '%s'", quote(s), field, norm)
	}
	return nil
}

func notAPath(s, norm string) bool {
	return norm != s || norm == "." || strings.HasPrefix(norm, "..") || strings.HasPrefix(norm, "/")
}

// normal is Python's posixpath.normpath, which keeps two leading slashes.
func normal(s string) string {
	norm := path.Clean(s)
	if strings.HasPrefix(s, "//") && !strings.HasPrefix(s, "///") {
		return "/" + norm
	}
	return norm
}

// quote is a value as MLflow's messages show it.
func quote(v any) string {
	p, err := json.Marshal(v)
	if err != nil {
		return "null"
	}
	return string(p)
}

// cut shortens s to limit characters.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for i := range s {
		if limit == 0 {
			return s[:i]
		}
		limit--
	}
	return s
}

func tooLong(what string, limit int, s string) error {
	if utf8.RuneCountInString(s) > limit {
		return fault.Invalid("'%s' exceeds the maximum length of %d characters", what, limit)
	}
	return nil
}
