package dataset

import (
	"path"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// AnyEnding, at the end of a photo's name, stands for the ending of whichever
// photo has the name before it: YOLO labels do not say it.
const AnyEnding = ".*"

// Finder tells which photo of labels a file is. Files may lie under images/ (or
// another of the labels' Roots) although labels leave that out.
type Finder struct {
	named map[string]bool
	roots []string
}

// Finder returns the finder of the labels' photos.
func (l Labels) Finder() Finder {
	f := Finder{named: make(map[string]bool, len(l.Photos)), roots: l.Roots}
	for _, p := range l.Photos {
		f.named[p.Key()] = true
	}
	return f
}

// Key is how the file of a photo is looked for: its name, or where it lies when
// that is elsewhere.
func (p LabelledPhoto) Key() string {
	if p.Object != "" {
		return p.Object
	}
	return p.Name
}

// Find returns the Key of the photo that a file is; rank tells how well its name
// fits: 0 is best. ok is false for a file that is none of the photos.
func (f Finder) Find(file string) (key string, rank int, ok bool) {
	file = norm.NFC.String(file)
	if f.named[file] {
		return file, 0, true
	}
	if stem := strings.TrimSuffix(file, path.Ext(file)) + AnyEnding; IsPhotoName(file) && f.named[stem] {
		return stem, 1, true
	}
	for i, root := range f.roots {
		if rest, ok := strings.CutPrefix(file, root); ok && f.named[rest] {
			return rest, 2 + i, true
		}
	}
	return "", 0, false
}

// Candidates are the names under which the file of a photo may lie; those that
// end in "." are beginnings.
func (f Finder) Candidates(key string) []string {
	if stem, ok := strings.CutSuffix(key, AnyEnding); ok {
		return []string{stem + "."}
	}
	all := []string{key}
	for _, root := range f.roots {
		all = append(all, root+key)
	}
	return all
}

// IsPhotoName tells by its ending whether a file is a photo, be it of a format
// that is not read.
func IsPhotoName(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".bmp", ".dng", ".gif", ".heic", ".heif", ".jp2", ".mpo", ".pfm", ".tif", ".tiff":
		return true
	}
	return false
}
