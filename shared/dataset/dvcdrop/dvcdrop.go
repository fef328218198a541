// Package dvcdrop reads what DVC 3 writes about data that it pushed: the .dvc
// file that points to it, and the .dir object that lists a directory's files.
package dvcdrop

import (
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/internal/yamltree"
	"github.com/litterloop/litterloop/shared/errs"
)

// Codes of what cannot be used.
const (
	CodePointerBad errs.Code = "dvc-file-bad"
	CodeListingBad errs.Code = "dvc-listing-bad"
)

// ParsePointer reads a .dvc file and returns the MD5 of the listing of its one
// directory. The error is permanent, CodePointerBad.
func ParsePointer(text []byte) (dirMD5 string, err error) {
	root, err := yamltree.Parse(text)
	if err != nil {
		return "", errs.Permanentf(CodePointerBad, "the .dvc file: %w", err)
	}
	entries, _ := root.Entries()
	for _, e := range entries {
		if e.Key != "outs" {
			continue
		}
		outs, _ := e.Value.List()
		if len(outs) != 1 {
			return "", errs.Permanentf(CodePointerBad, "the .dvc file: line %d: it needs one entry under outs, the directory of the data set", e.Line)
		}
		fields, _ := outs[0].Entries()
		of := map[string]string{}
		for _, f := range fields {
			of[f.Key], _ = f.Value.Text()
		}
		md5, isDir := strings.CutSuffix(of["md5"], ".dir")
		switch {
		case !isMD5(md5):
			return "", errs.Permanentf(CodePointerBad, "the .dvc file: line %d: md5 %q is none", outs[0].Line, of["md5"])
		case !isDir:
			return "", errs.Permanentf(CodePointerBad, "the .dvc file: line %d: it points to a single file: add the directory with photos and labels", outs[0].Line)
		case of["hash"] != "md5":
			return "", errs.Permanentf(CodePointerBad, "the .dvc file: line %d: it is of DVC 2, whose remote is laid out in another way: run `dvc commit` and `dvc push` with DVC 3", outs[0].Line)
		}
		return md5, nil
	}
	return "", errs.Permanentf(CodePointerBad, "the .dvc file has no outs")
}

// ListingObject is where a remote has the listing of this MD5.
func ListingObject(dirMD5 string) string { return dataset.ContentObject(dirMD5) + ".dir" }

// ParseListing returns the files that a listing names, with their MD5. Names
// that leave the data set are in unsafe. The error is permanent, CodeListingBad.
func ParseListing(text []byte, dirMD5 string) (files map[string]string, unsafe []string, err error) {
	if dataset.MD5Hex(text) != dirMD5 {
		return nil, nil, errs.Permanentf(CodeListingBad, "%s does not hold the bytes of its name: push it again", ListingObject(dirMD5))
	}
	var entries []struct {
		MD5  string `json:"md5"`
		Path string `json:"relpath"`
	}
	if err := json.Unmarshal(text, &entries); err != nil {
		return nil, nil, errs.Permanentf(CodeListingBad, "%s is no listing of DVC's: %w", ListingObject(dirMD5), err)
	}
	files = make(map[string]string, len(entries))
	for _, e := range entries {
		name, ok := dataset.CleanName(e.Path)
		if !ok && name != dataset.LabelsFile || !isMD5(e.MD5) {
			unsafe = append(unsafe, e.Path)
			continue
		}
		files[name] = e.MD5
	}
	return files, unsafe, nil
}

func isMD5(s string) bool {
	p, err := hex.DecodeString(s)
	return err == nil && len(p) == 16 && strings.ToLower(s) == s
}
