package journal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2"
)

// A frame on disk: length and CRC-32C of the payload, four bytes each, little
// endian, then the payload.
const headerSize = 8

// maxFrame bounds what a damaged length can make us allocate. The largest
// frame holds one publish request (10 MB) or one administrative record.
const maxFrame = 64 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendFrame(dst, payload []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(payload, castagnoli))
	return append(dst, payload...)
}

// tornError: the file ends in something that is not a whole frame.
type tornError struct {
	path      string
	at, size  int64
	wrongness string
}

func (e *tornError) Error() string {
	return fmt.Sprintf("journal: %s: %s at byte %d of %d", e.path, e.wrongness, e.at, e.size)
}

// readFile replays one file and returns how many bytes of it are whole frames.
// The frame given to replay is valid only during the call.
func readFile(path string, replay func([]byte) error) (good int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("journal: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("journal: %w", err)
	}
	torn := func(why string) error { return &tornError{path, good, info.Size(), why} }
	r := bufio.NewReaderSize(f, 256<<10)
	var header [headerSize]byte
	var payload []byte
	for {
		if _, err := io.ReadFull(r, header[:]); errors.Is(err, io.EOF) {
			return good, nil
		} else if errors.Is(err, io.ErrUnexpectedEOF) {
			return good, torn("half a frame header")
		} else if err != nil {
			return good, fmt.Errorf("journal: read %s: %w", path, err)
		}
		n := int64(binary.LittleEndian.Uint32(header[:4]))
		if n > maxFrame || n > info.Size()-good-headerSize {
			return good, torn("a frame longer than the file")
		}
		payload = slices.Grow(payload[:0], int(n))[:n]
		if _, err := io.ReadFull(r, payload); err != nil {
			return good, fmt.Errorf("journal: read %s: %w", path, err)
		}
		if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(header[4:]) {
			return good, torn("a frame with a wrong checksum")
		}
		if err := replay(payload); err != nil {
			return good, fmt.Errorf("journal: replay %s at byte %d: %w", path, good, err)
		}
		good += headerSize + n
	}
}

func writeSnapshot(dir string, n uint64, frames iter.Seq2[[]byte, error]) (size int64, err error) {
	f, err := renameio.NewPendingFile(snapshotPath(dir, n), renameio.WithTempDir(dir), renameio.WithPermissions(0o644))
	if err != nil {
		return 0, fmt.Errorf("journal: %w", err)
	}
	defer f.Cleanup()
	w := bufio.NewWriterSize(f, 256<<10)
	var buf []byte
	for frame, err := range frames {
		if err != nil {
			return 0, fmt.Errorf("journal: snapshot: %w", err)
		}
		buf = appendFrame(buf[:0], frame)
		size += int64(len(buf))
		if _, err := w.Write(buf); err != nil {
			return 0, fmt.Errorf("journal: write %s: %w", f.Name(), err)
		}
	}
	if err := w.Flush(); err != nil {
		return 0, fmt.Errorf("journal: write %s: %w", f.Name(), err)
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return 0, fmt.Errorf("journal: %w", err)
	}
	return size, syncDir(dir)
}

func segmentPath(dir string, n uint64) string {
	return filepath.Join(dir, fmt.Sprintf("segment-%016d", n))
}

func snapshotPath(dir string, n uint64) string {
	return filepath.Join(dir, fmt.Sprintf("snapshot-%016d", n))
}

// fileSet is what a directory holds: the newest snapshot, the segments that
// follow it, and what it replaced.
type fileSet struct {
	snapshot uint64
	segments []uint64
	stale    []string
}

func list(dir string) (fileSet, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fileSet{}, fmt.Errorf("journal: %w", err)
	}
	var set fileSet
	var snapshots, segments []uint64
	for _, e := range entries {
		var n uint64
		switch {
		case scan(e.Name(), "segment-%016d", &n):
			segments = append(segments, n)
		case scan(e.Name(), "snapshot-%016d", &n):
			snapshots = append(snapshots, n)
			set.snapshot = max(set.snapshot, n)
		case e.Name()[0] == '.': // a snapshot whose writing was interrupted
			set.stale = append(set.stale, filepath.Join(dir, e.Name()))
		}
	}
	for _, n := range snapshots {
		if n < set.snapshot {
			set.stale = append(set.stale, snapshotPath(dir, n))
		}
	}
	for _, n := range segments {
		if n < set.snapshot {
			set.stale = append(set.stale, segmentPath(dir, n))
		} else {
			set.segments = append(set.segments, n)
		}
	}
	slices.Sort(set.segments)
	return set, nil
}

// scan parses a name of exactly the given form.
func scan(name, format string, n *uint64) bool {
	_, err := fmt.Sscanf(name, format, n)
	return err == nil && name == fmt.Sprintf(format, *n)
}
