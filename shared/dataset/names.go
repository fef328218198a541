package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxSegment bytes of one name in a version: file systems end at 255, and the
// labels' name and a suffix that tells two names apart must fit as well.
const maxSegment = 200

// maxNameBytes of a photo's name: with a batch before it, what an object's name
// may have.
const maxNameBytes = 1000

// CleanName turns a file_name of labels into a photo's name below its batch:
// slashes for backslashes, no "./", accents as NFC composes them, because labels
// and uploads of one photo may differ in that. ok is false for a name that leaves the
// batch, names nothing, or is longer than an object's name may be.
func CleanName(name string) (clean string, ok bool) {
	name = strings.ReplaceAll(name, `\`, "/")
	if name == "" || len(name) > maxNameBytes || strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/") || !utf8.ValidString(name) {
		return "", false
	}
	for s := range strings.SplitSeq(name, "/") {
		if s == ".." {
			return "", false
		}
	}
	clean = norm.NFC.String(path.Clean(name))
	return clean, clean != "." && clean != LabelsFile
}

// portable is a name that any file system takes and any trainer understands:
// no control characters, no segment that is too long, and none called "images",
// because trainers find a photo's labels by replacing the last "/images/" of
// its path; directories of that name are left out.
func portable(name string) string {
	if plain(name) {
		return name
	}
	segments := strings.Split(withoutImages(name), "/")
	for i, s := range segments {
		safe := strings.Map(func(r rune) rune {
			if r < 0x20 || r == 0x7f || strings.ContainsRune(`\:*?"<>|`, r) {
				return '_'
			}
			return r
		}, s)
		if safe == "images" || safe == "labels" {
			safe += "_"
		}
		if len(safe) > maxSegment {
			ext := ""
			if i == len(segments)-1 {
				ext = path.Ext(safe)
			}
			if len(ext) > 10 {
				ext = ""
			}
			cut := maxSegment - len(ext) - 10
			for !utf8.RuneStart(safe[cut]) {
				cut--
			}
			safe = safe[:cut] + "-" + shortHash(s) + ext
		}
		segments[i] = safe
	}
	return strings.Join(segments, "/")
}

// plain tells of most names, quickly, that they are portable as they are.
func plain(name string) bool {
	if len(name) > maxSegment || strings.Contains(name, "images") || strings.Contains(name, "labels") {
		return false
	}
	for i := range len(name) {
		if c := name[i]; c < 0x20 || c >= 0x7f || strings.IndexByte(`\:*?"<>|`, c) >= 0 {
			return false
		}
	}
	return true
}

// withoutImages leaves out directories called images, which only tell photos
// from labels.
func withoutImages(name string) string {
	for strings.HasPrefix(name, "images/") {
		name = strings.TrimPrefix(name, "images/")
	}
	for strings.Contains(name, "/images/") {
		name = strings.ReplaceAll(name, "/images/", "/")
	}
	return name
}

// Distinct gives each name, in order, a portable one whose labels are its own:
// where two would share labels (x.jpg and x.png, A.jpg and a.JPG on a file
// system that ignores case), the later gets a suffix made of its name.
func Distinct(names []string) []string {
	taken := make(map[string]bool, len(names))
	out := make([]string, len(names))
	for i, name := range names {
		p := portable(name)
		ext := path.Ext(p)
		stem := strings.TrimSuffix(p, ext)
		if taken[strings.ToLower(stem)] {
			stem += "-" + shortHash(name)
			p = stem + ext
		}
		taken[strings.ToLower(stem)] = true
		out[i] = p
	}
	return out
}

func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:4])
}
