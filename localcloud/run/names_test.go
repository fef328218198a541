package run

import (
	"path/filepath"
	"strings"
	"testing"
)

// FuzzNames_pathTraversal: a name that is accepted is a path below the state
// directory, and is taken apart into what it was made of.
func FuzzNames_pathTraversal(f *testing.F) {
	for _, seed := range [][2]string{
		{"projects/demo/locations/here", "litter"}, {"projects/../locations/..", ".."}, {"projects/a.b:c/locations/x", "a/../../b"},
		{"projects/../../etc/locations/x", "passwd"}, {"projects/p/locations/l\n", "s\x00"},
	} {
		f.Add(seed[0], seed[1])
	}
	st := store{dir: "/state"}
	f.Fuzz(func(t *testing.T, parent, service string) {
		if checkParent(parent) != nil || checkID("id", service) != nil {
			return
		}
		name := parent + "/services/" + service
		path := st.path(name)
		if path != filepath.Clean(path) || !strings.HasPrefix(path, "/state/projects/") || strings.Count(path, "/") != 7 {
			t.Errorf("%q is kept at %q", name, path)
		}
		if id(name) != service || location(name) != parent || ownerOf(name) != parent {
			t.Errorf("%q came apart as %q, %q, %q", name, id(name), location(name), ownerOf(name))
		}
	})
}
