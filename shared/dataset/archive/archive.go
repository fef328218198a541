// Package archive reads zip and tar archives of people's data sets: member by
// member, with bounded memory, and without believing anything that they say.
package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
)

// Codes of archives that are not read at all.
const (
	CodeUnreadable errs.Code = "archive-unreadable"
	CodeTooLarge   errs.Code = "archive-too-large"
)

// Format of an archive.
type Format string

// The formats.
const (
	Zip     Format = "zip"
	Tar     Format = "tar"
	TarGzip Format = "tar.gz"
	TarZstd Format = "tar.zst"
)

// FormatOf tells by its name whether a file is an archive.
func FormatOf(name string) (Format, bool) {
	lower := strings.ToLower(name)
	for suffix, f := range map[string]Format{".zip": Zip, ".tar": Tar, ".tar.gz": TarGzip, ".tgz": TarGzip, ".tar.zst": TarZstd, ".tzst": TarZstd} {
		if strings.HasSuffix(lower, suffix) {
			return f, true
		}
	}
	return "", false
}

// Member is a file in an archive. Its Name is clean: below the archive's root,
// with slashes, in one Unicode form.
type Member struct {
	Index int // place in the archive, links and directories counted too
	Name  string
}

// Limits bound what an archive may ask for.
type Limits struct {
	Members int     // files and all else in it
	Bytes   int64   // unpacked
	Ratio   float64 // unpacked to packed
	Used    int64   // bytes that were unpacked before, in another walk
}

// free bytes may be unpacked whatever the ratio: small texts pack well.
const free = 64 << 20

// Source is where an archive lies.
type Source struct {
	Format Format
	Reader io.ReaderAt
	Size   int64
}

// Visitor is shown each file of an archive in its order. What it does not read
// is passed over. An error ends the walk, unless reading the member caused it.
type Visitor func(m Member, r io.Reader) error

// Walk shows the members from an index on. What cannot be used of the archive is
// in findings. An archive that is damaged or beyond the limits is a permanent
// error; errors of the source's reader are passed on.
func Walk(ctx context.Context, s Source, from int, limits Limits, visit Visitor) (found []dataset.Finding, err error) {
	src := &source{ReaderAt: s.Reader, size: s.Size}
	w := &walk{ctx: ctx, from: from, limits: limits, visit: visit, src: src, room: min(limits.Bytes, int64(limits.Ratio*float64(s.Size))+free) - limits.Used}
	s.Reader = src
	if s.Format == Zip {
		err = w.zip(s)
	} else {
		err = w.tar(s)
	}
	if src.err != nil && !errors.Is(src.err, io.EOF) {
		return nil, src.err // what was made of a broken connection is no fault of the archive
	}
	return w.report.Findings(), err
}

type walk struct {
	ctx    context.Context
	from   int
	limits Limits
	visit  Visitor
	src    *source
	room   int64 // bytes that may still be unpacked
	report dataset.Report
}

// member shows one file to the visitor. unreadable is set when reading it failed.
func (w *walk) member(index int, name string, r io.Reader) (unreadable error, err error) {
	if err := w.ctx.Err(); err != nil {
		return nil, err
	}
	if index < w.from {
		return nil, nil
	}
	clean, ok := Clean(name)
	if !ok {
		w.report.Add(dataset.NameUnsafe, fmt.Sprintf("%.200q", name))
		return nil, nil
	}
	m := &metered{r: r, walk: w}
	err = w.visit(Member{Index: index, Name: clean}, m)
	switch {
	case m.full:
		return nil, errs.Permanentf(CodeTooLarge, "the archive unpacks to far more than its size, or above max_unpacked_bytes: drop it as several batches")
	case m.err != nil:
		return m.err, nil
	}
	return nil, err
}

// Clean is a member's name as dataset.CleanName has it; labels may be members.
func Clean(name string) (string, bool) {
	clean, ok := dataset.CleanName(name)
	return clean, ok || clean == dataset.LabelsFile
}

func (w *walk) unusable(name, why string) {
	w.report.Add(dataset.MemberUnreadable, fmt.Sprintf("%.200q: %s", name, why))
}

// metered counts what is unpacked, and remembers why reading failed.
type metered struct {
	r    io.Reader
	walk *walk
	err  error
	full bool
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.walk.room -= int64(n)
	if m.walk.room < 0 {
		m.full = true
		return 0, errFull
	}
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = err
	}
	return n, err
}

var errFull = errors.New("too much is unpacked")

// source remembers an error of where the archive lies.
type source struct {
	io.ReaderAt
	size int64
	err  error
}

var errOutside = errors.New("it lies outside the archive")

func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > s.size { // as a zip's directory may say
		return 0, errOutside
	}
	n, err := s.ReaderAt.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// LimitsOf are the limits that a policy sets.
func LimitsOf(p dataset.Policy) Limits {
	const perPhoto = 4 // a photo, its labels, and room for directories and what else lies about
	return Limits{Members: perPhoto*p.MaxImages + 1000, Bytes: p.MaxUnpackedBytes, Ratio: p.MaxUnpackRatio}
}

// IsText tells by its name whether a member may be labels, or say what they are.
func IsText(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".json", ".yaml", ".yml", ".txt", ".names", ".data":
		return true
	}
	return false
}

// MaxBytes that are read of a member: of one that is longer nothing can be used.
func MaxBytes(name string, p dataset.Policy) int64 {
	switch {
	case dataset.IsPhotoName(name):
		return p.MaxPhotoBytes
	case strings.EqualFold(path.Ext(name), ".json"):
		return p.MaxLabelBytes
	}
	return maxText
}

// maxText bytes of a text that is not COCO labels.
const maxText = 4 << 20
