package dataset

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

// ListingCorrupt: the object that lists a version's files is not what the
// version says it is.
const ListingCorrupt errs.Code = "listing-corrupt"

// ListingUnsafe: a listing names a file that no version has, which could land
// anywhere on the disk of whoever fetches it.
const ListingUnsafe errs.Code = "listing-unsafe"

// SizeUnknown is File.Size where nothing tells it.
const SizeUnknown int64 = -1

// ListingObject is the object that lists the files of a version.
func ListingObject(v Version) string { return ContentObject(v.DirMD5) + ".dir" }

// Listing returns every file of a version in Path order, checked to lie within
// images/ and labels/ or to be data.yaml. Sizes are SizeUnknown. A damaged or
// hostile listing is a permanent error, ListingCorrupt or ListingUnsafe.
func Listing(ctx context.Context, b blob.Bucket, v Version) (_ []File, err error) {
	defer errs.Wrap(&err, "files of data set version %q", v.ID)
	if !isMD5(v.DirMD5) {
		return nil, errs.Permanentf(ListingCorrupt, "dir_md5 is %q, which is no MD5: the version's %s is damaged", v.DirMD5, SummaryFile)
	}
	text, _, err := blob.ReadAll(ctx, b, ListingObject(v))
	if err != nil {
		return nil, err
	}
	if MD5Hex(text) != v.DirMD5 {
		return nil, errs.Permanentf(ListingCorrupt, "gs://%s/%s does not hold the bytes of its name: put the original back", b.Name(), ListingObject(v))
	}
	return parseListing(text)
}

// parseListing reads what DirListing wrote, or somebody else.
func parseListing(text []byte) ([]File, error) {
	var entries []struct {
		MD5  string `json:"md5"`
		Path string `json:"relpath"`
	}
	if err := json.Unmarshal(text, &entries); err != nil {
		return nil, errs.Permanentf(ListingCorrupt, "decode the listing: %w", err)
	}
	files := make([]File, len(entries))
	seen := make(map[string]bool, len(entries))
	for i, e := range entries {
		switch {
		case !isMD5(e.MD5):
			return nil, errs.Permanentf(ListingCorrupt, "the MD5 of %q is %q", e.Path, e.MD5)
		case !belongs(e.Path):
			return nil, errs.Permanentf(ListingUnsafe, "the listing names %q: a version has files in images/ and labels/ and a data.yaml, and none elsewhere", e.Path)
		case seen[e.Path]:
			return nil, errs.Permanentf(ListingCorrupt, "the listing names %q twice", e.Path)
		}
		seen[e.Path] = true
		files[i] = File{Path: e.Path, MD5: e.MD5, Size: SizeUnknown}
	}
	return files, nil
}

// belongs tells whether a version can have a file of this path.
func belongs(name string) bool {
	if name == DataYAMLFile {
		return true
	}
	return (strings.HasPrefix(name, "images/") || strings.HasPrefix(name, "labels/")) && path.Clean(name) == name &&
		filepath.IsLocal(filepath.FromSlash(name)) && !strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' })
}

func isMD5(s string) bool {
	p, err := hex.DecodeString(s)
	return err == nil && len(p) == 16 && strings.ToLower(s) == s
}

// Files is Listing with the sizes of the photos, which are known from
// PhotosFile.
func Files(ctx context.Context, b blob.Bucket, v Version) ([]File, error) {
	files, err := Listing(ctx, b, v)
	if err != nil {
		return nil, err
	}
	photos, err := Photos(ctx, b, v.ID)
	if err != nil {
		return nil, err
	}
	sizes := make(map[string]int64, len(photos))
	for _, p := range photos {
		sizes[p.MD5] = p.Size
	}
	for i, f := range files {
		if size, ok := sizes[f.MD5]; ok {
			files[i].Size = size
		}
	}
	return files, nil
}

// CheckID tells whether a version's id is the hash of its classes and its
// PhotosFile, as it was when the version was made.
func CheckID(ctx context.Context, b blob.Bucket, v Version) error {
	r, _, err := b.Open(ctx, VersionObject(v.ID, PhotosFile), 0, -1)
	if err != nil {
		return err
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if id := contentID(v, text); id != v.ID {
		return errs.Permanentf("version-altered", "the classes or %s are not those the version was made with: their hash is %s", PhotosFile, id)
	}
	return nil
}

// Find returns the version that a person names: by its id, by the beginning of
// it, by its sequence number, or, with "", the current one.
func Find(ctx context.Context, b blob.Bucket, name string) (Version, error) {
	if name == "" {
		v, err := Current(ctx, b)
		if errors.Is(err, errs.NotFound) {
			return v, fmt.Errorf("no data set version has passed validation yet: name one of `litterloop data list`: %w", errs.NotFound)
		}
		return v, err
	}
	if !strings.Contains(name, "/") {
		if v, err := Load(ctx, b, name); !errors.Is(err, errs.NotFound) {
			return v, err
		}
	}
	all, err := List(ctx, b)
	if err != nil {
		return Version{}, err
	}
	var found []Version
	for _, v := range all {
		if fmt.Sprint(v.Sequence) == name {
			return v, nil
		}
		if strings.HasPrefix(v.ID, name) {
			found = append(found, v)
		}
	}
	switch len(found) {
	case 0:
		return Version{}, fmt.Errorf("no data set version %q: `litterloop data list` shows them: %w", name, errs.NotFound)
	case 1:
		return found[0], nil
	}
	return Version{}, fmt.Errorf("%d data set versions begin with %q: give more of the id", len(found), name)
}
