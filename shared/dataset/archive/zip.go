package archive

import (
	"archive/zip"
	"errors"
	"io"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"github.com/litterloop/litterloop/shared/errs"
)

// entryBytes is more than a member's entry in a zip's directory usually takes.
const entryBytes = 400

func (w *walk) zip(s Source) error {
	directory := &bounded{ReaderAt: s.Reader, left: int64(w.limits.Members)*entryBytes + free}
	z, err := zip.NewReader(directory, s.Size)
	if directory.left < 0 {
		return errs.Permanentf(CodeTooLarge, "the archive has more than %d members: drop it as several batches", w.limits.Members)
	}
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return errs.Permanentf(CodeUnreadable, "the archive is no zip, or is cut short: %w", err)
	}
	directory.left = 1 << 62
	if len(z.File) > w.limits.Members {
		return errs.Permanentf(CodeTooLarge, "the archive has %d members, at most %d are read: drop it as several batches", len(z.File), w.limits.Members)
	}
	var packed uint64
	for _, f := range z.File {
		if packed += f.CompressedSize64; packed > uint64(s.Size) {
			return errs.Permanentf(CodeTooLarge, "the archive's members overlap, as those of a zip bomb do")
		}
	}
	for i, f := range z.File {
		if i < w.from || f.Mode().IsDir() {
			continue
		}
		name := zipName(f)
		const encrypted = 1
		switch {
		case !f.Mode().IsRegular():
			w.unusable(name, "it is a link or a device")
			continue
		case f.Flags&encrypted != 0:
			w.unusable(name, "it is encrypted")
			continue
		}
		r := &opened{file: f}
		unreadable, err := w.member(i, name, r)
		r.close()
		if err != nil {
			return err
		}
		if w.src.err != nil {
			return w.src.err
		}
		if unreadable != nil {
			w.unusable(name, unreadable.Error())
		}
	}
	return nil
}

// zipName is a member's name in Unicode: old programs write that of DOS.
func zipName(f *zip.File) string {
	if utf8.ValidString(f.Name) {
		return f.Name
	}
	if name, err := charmap.CodePage437.NewDecoder().String(f.Name); err == nil {
		return name
	}
	return f.Name
}

// opened opens a member when it is first read.
type opened struct {
	file *zip.File
	r    io.ReadCloser
	err  error
}

func (o *opened) Read(p []byte) (int, error) {
	if o.r == nil && o.err == nil {
		o.r, o.err = o.file.Open()
	}
	if o.err != nil {
		return 0, o.err
	}
	return o.r.Read(p)
}

func (o *opened) close() {
	if o.r != nil {
		o.r.Close()
	}
}

// bounded fails when more than its bytes are read.
type bounded struct {
	io.ReaderAt
	left int64
}

func (b *bounded) ReadAt(p []byte, off int64) (int, error) {
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, errFull
	}
	return b.ReaderAt.ReadAt(p, off)
}
