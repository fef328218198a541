package archive

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/litterloop/litterloop/shared/errs"
)

// window bytes at most may an archive's compressor look back.
const window = 128 << 20

func (w *walk) tar(s Source) error {
	var stream io.Reader = io.NewSectionReader(s.Reader, 0, s.Size)
	switch s.Format {
	case TarGzip:
		z, err := gzip.NewReader(stream)
		if err != nil {
			return errs.Permanentf(CodeUnreadable, "the archive is no tar.gz: %w", err)
		}
		defer z.Close()
		stream = w.bound(z)
	case TarZstd:
		z, err := zstd.NewReader(stream, zstd.WithDecoderMaxWindow(window), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return errs.Permanentf(CodeUnreadable, "the archive is no tar.zst: %w", err)
		}
		defer z.Close()
		stream = w.bound(z)
	}
	t := tar.NewReader(stream)
	for i := 0; ; i++ {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF) && i == 0:
			return errs.Permanentf(CodeUnreadable, "the archive is empty")
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errFull):
			return errs.Permanentf(CodeTooLarge, "the archive unpacks to far more than its size, or above max_unpacked_bytes: drop it as several batches")
		case err != nil && !errors.Is(err, tar.ErrInsecurePath):
			return errs.Permanentf(CodeUnreadable, "the archive is no tar, is cut short or damaged after %d members: %w", i, err)
		case i >= w.limits.Members:
			return errs.Permanentf(CodeTooLarge, "the archive has more than %d members: drop it as several batches", w.limits.Members)
		}
		switch h.Typeflag {
		case tar.TypeReg:
		case tar.TypeDir, tar.TypeXGlobalHeader:
			continue
		default:
			if i >= w.from {
				w.unusable(h.Name, "it is a link or a device")
			}
			continue
		}
		unreadable, err := w.member(i, h.Name, t)
		if errors.Is(unreadable, errFull) {
			return errs.Permanentf(CodeTooLarge, "the archive unpacks to far more than its size: drop it as several batches")
		}
		if unreadable != nil { // what follows it is lost as well
			return errs.Permanentf(CodeUnreadable, "the archive is cut short or damaged after %d members: %w", i, unreadable)
		}
		if err != nil {
			return err
		}
	}
}

// bound fails when more is unpacked than the archive may: members that nobody
// reads are unpacked too.
func (w *walk) bound(r io.Reader) io.Reader {
	return &streamed{r: r, left: w.room + w.limits.Used + free}
}

type streamed struct {
	r    io.Reader
	left int64
}

func (s *streamed) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if s.left -= int64(n); s.left < 0 {
		return 0, errFull
	}
	return n, err
}
