package dataset

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// File is one file of a version: its path in the working copy and its content.
type File struct {
	Path string
	MD5  string
	Size int64
}

// MD5Hex is the content address of data.
func MD5Hex(data []byte) string {
	sum := md5.Sum(data)
	return hex.EncodeToString(sum[:])
}

// DirListing is DVC's .dir object for files: Python's json.dumps of
// [{"md5", "relpath"}] in code point order of the paths, which is byte order of
// their UTF-8. Its MD5 is the version's Version.DirMD5.
func DirListing(files []File) []byte {
	files = slices.SortedFunc(slices.Values(files), func(x, y File) int { return strings.Compare(x.Path, y.Path) })
	var out bytes.Buffer
	out.Grow(len(files) * 100)
	out.WriteByte('[')
	for i, f := range files {
		if i > 0 {
			out.WriteString(", ")
		}
		out.WriteString(`{"md5": "` + f.MD5 + `", "relpath": "`)
		writePythonString(&out, f.Path)
		out.WriteString(`"}`)
	}
	out.WriteByte(']')
	return out.Bytes()
}

// writePythonString escapes s as Python's json does with ensure_ascii: all but
// printable ASCII as \uXXXX, and <, > and & as they are.
func writePythonString(out *bytes.Buffer, s string) {
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			out.WriteByte('\\')
			out.WriteRune(r)
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\r':
			out.WriteString(`\r`)
		case r == '\t':
			out.WriteString(`\t`)
		case r == '\b':
			out.WriteString(`\b`)
		case r == '\f':
			out.WriteString(`\f`)
		case r >= 0x20 && r < 0x7f:
			out.WriteByte(byte(r))
		case r >= utf8.RuneSelf && utf16.RuneLen(r) == 2:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(out, `\u%04x`, r)
		}
	}
}

// DVCPointer is the .dvc file that makes `dvc pull` fetch a version into the
// directory path.
func DVCPointer(dirMD5 string, bytes int64, files int, path string) []byte {
	return fmt.Appendf(nil, "outs:\n- md5: %s.dir\n  size: %d\n  nfiles: %d\n  hash: md5\n  path: %s\n", dirMD5, bytes, files, path)
}

// DataYAML is the file that trainers read a data set from; its paths are
// relative to itself. Names are JSON strings, which YAML's quoted strings are a
// superset of, so that the file depends on no library's style.
func DataYAML(classes []string) ([]byte, error) {
	var out bytes.Buffer
	fmt.Fprintf(&out, "train: images/train\nval: images/val\nnc: %d\nnames:\n", len(classes))
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	for i, c := range classes {
		fmt.Fprintf(&out, "  %d: ", i)
		if err := e.Encode(c); err != nil {
			return nil, fmt.Errorf("class %d: %w", i, err)
		}
	}
	return out.Bytes(), nil
}
