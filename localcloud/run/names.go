package run

import (
	"regexp"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A resource's name is also its path below the state directory, so every part
// is held to these alphabets: no name can leave the directory.
var (
	parentName = regexp.MustCompile(`^projects/[a-z0-9][-a-z0-9:.]{0,62}/locations/[a-z0-9][-a-z0-9]{0,62}$`)
	resourceID = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)
)

func checkParent(parent string) error {
	if !parentName.MatchString(parent) {
		return status.Errorf(codes.InvalidArgument, "parent %q is not projects/PROJECT/locations/LOCATION", parent)
	}
	return nil
}

func checkID(what, id string) error {
	if !resourceID.MatchString(id) {
		return status.Errorf(codes.InvalidArgument, "%s %q: use lower-case letters, digits and dashes, starting with a letter, at most 63", what, id)
	}
	return nil
}

// id is the last part of a resource's name.
func id(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// location is the projects/P/locations/L that a resource's name starts with.
func location(name string) string {
	parts := strings.SplitN(name, "/", 5)
	return strings.Join(parts[:min(4, len(parts))], "/")
}

// ownerOf is the job's name in an execution's, and the service's in a revision's.
func ownerOf(name string) string {
	parts := strings.Split(name, "/")
	return strings.Join(parts[:max(0, len(parts)-2)], "/")
}

// page cuts one page out of items that are sorted by name; the token of a page
// is the last name of the page before. A size of 0 is 100.
func page[T interface{ GetName() string }](items []T, size int32, token string) (out []T, next string) {
	if size <= 0 {
		size = 100
	}
	for _, it := range items {
		if it.GetName() <= token {
			continue
		}
		if len(out) == int(size) {
			return out, out[len(out)-1].GetName()
		}
		out = append(out, it)
	}
	return out, ""
}
