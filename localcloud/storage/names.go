package storage

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$`)

func checkBucketName(name string) error {
	if !bucketName.MatchString(name) {
		return badRequest("invalid", "bucket name %q: 3 or more lower-case letters, digits, '-', '_', '.', beginning and ending with a letter or digit", name)
	}
	return nil
}

// checkObjectName holds Cloud Storage's own rules. What a name holds besides
// (slashes, "..") is harmless here: no path is ever made from it.
func checkObjectName(name string) error {
	switch {
	case name == "":
		return badRequest("required", "an object needs a name")
	case len(name) > 1024:
		return badRequest("invalid", "object name of %d bytes: 1024 at most", len(name))
	case !utf8.ValidString(name):
		return badRequest("invalid", "object name %q is not UTF-8", name)
	case strings.ContainsAny(name, "\r\n"):
		return badRequest("invalid", "object name %q holds a line break", name)
	case name == "." || name == ".." || strings.HasPrefix(name, ".well-known/acme-challenge/"):
		return badRequest("invalid", "object name %q is reserved", name)
	}
	return nil
}
