package predictionlog

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

// Keys of a file's Parquet metadata.
const (
	keySequence = "litterloop.sequence"
	keyAccepted = "litterloop.accepted"
	keyDropped  = "litterloop.dropped"
	keySketch   = "litterloop.sketch" // base64
)

// Sketch sums up rows, so that what is asked of millions need not read them. A
// file holds the sketch of all rows that its instance logged in the file's hour,
// up to and with the file: of an instance's files in an hour the last one tells
// of all.
type Sketch interface {
	Add(r Row)
	MarshalBinary() ([]byte, error)
}

// File is a file of the log, as its name tells.
type File struct {
	Name     string
	Size     int64
	Instance string
	Sequence int // 1, 2, … of the instance
}

// Files lists the log of an hour (UTC), by instance and sequence.
func Files(ctx context.Context, b blob.Bucket, hour time.Time) ([]File, error) {
	var files []File
	for a, err := range b.List(ctx, Dir(hour)) {
		if err != nil {
			return nil, fmt.Errorf("list prediction log of %s: %w", hour.UTC().Format("2006-01-02 15h"), err)
		}
		if f, ok := parseFile(a); ok {
			files = append(files, f)
		}
	}
	return files, nil
}

func parseFile(a blob.Attrs) (File, bool) {
	base, ok := strings.CutSuffix(path.Base(a.Name), ".parquet")
	i := strings.LastIndexByte(base, '-')
	if !ok || i < 0 {
		return File{}, false
	}
	n, err := strconv.Atoi(base[i+1:])
	return File{a.Name, a.Size, base[:i], n}, err == nil
}

// Footer is what a file says of itself at its end.
type Footer struct {
	Rows     int64
	Accepted uint64 // photos that the instance had been given by then
	Dropped  uint64 // of them, those that are in no file
	Sketch   []byte // of the instance's hour; nil in files without one
}

// tail is how much of a file's end is read at first: footers with a sketch are
// some 4 to 9 KB.
const tail = 10 << 10

// ReadFooter reads the end of a file, and no more. What is no prediction log is
// a permanent error with reason Damaged.
func ReadFooter(ctx context.Context, b blob.Bucket, f File) (_ Footer, err error) {
	defer errs.Wrap(&err, "read the end of gs://%s/%s", b.Name(), f.Name)
	defer func() { // parquet-go panics on some damaged footers
		if p := recover(); p != nil {
			err = errs.Permanentf(Damaged, "prediction log: %v", p)
		}
	}()
	end, err := readEnd(ctx, b, f, tail)
	if err != nil {
		return Footer{}, err
	}
	if len(end) < 12 {
		return Footer{}, errs.Permanentf(Damaged, "a file of %d bytes is no prediction log", f.Size)
	}
	const trailer = 8 // the footer's length, and PAR1
	if need := int64(binary.LittleEndian.Uint32(end[len(end)-trailer:])) + trailer; need > int64(len(end)) && need <= f.Size {
		if end, err = readEnd(ctx, b, f, need); err != nil {
			return Footer{}, err
		}
	}
	p, err := parquet.OpenFile(ending{end, f.Size}, f.Size, parquet.SkipMagicBytes(true), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return Footer{}, errs.Permanentf(Damaged, "prediction log: %w", err)
	}
	footer := Footer{Rows: p.NumRows()}
	for key, into := range map[string]*uint64{keyAccepted: &footer.Accepted, keyDropped: &footer.Dropped} {
		if v, ok := p.Lookup(key); ok {
			if *into, err = strconv.ParseUint(v, 10, 64); err != nil {
				return Footer{}, errs.Permanentf(Damaged, "prediction log: %s: %w", key, err)
			}
		}
	}
	if v, ok := p.Lookup(keySketch); ok {
		if footer.Sketch, err = base64.StdEncoding.DecodeString(v); err != nil {
			return Footer{}, errs.Permanentf(Damaged, "prediction log: %s: %w", keySketch, err)
		}
	}
	return footer, nil
}

func readEnd(ctx context.Context, b blob.Bucket, f File, n int64) ([]byte, error) {
	n = min(n, f.Size)
	r, _, err := b.Open(ctx, f.Name, f.Size-n, n)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// ending is a file of which only the end is known.
type ending struct {
	data []byte
	size int64
}

// ReadAt implements io.ReaderAt.
func (e ending) ReadAt(p []byte, offset int64) (int, error) {
	from := offset - (e.size - int64(len(e.data)))
	if from < 0 || from > int64(len(e.data)) {
		return 0, fmt.Errorf("bytes from %d on were not read", offset)
	}
	n := copy(p, e.data[from:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Gap is a run of files that an instance wrote and that are not there: lost, or
// still in the instance's spool.
type Gap struct {
	Instance string `json:"instance"`
	From     int    `json:"from"` // sequence numbers, both inclusive
	To       int    `json:"to"`
}

// Gaps finds the files that are missing between others of the same instance.
// What is missing before the first or after the last of the list does not show.
func Gaps(files []File) []Gap {
	var gaps []Gap
	last := map[string]int{}
	for _, f := range bySequence(files) {
		if n, ok := last[f.Instance]; ok && f.Sequence > n+1 {
			gaps = append(gaps, Gap{f.Instance, n + 1, f.Sequence - 1})
		}
		last[f.Instance] = f.Sequence
	}
	return gaps
}

// ReadRows reads all rows of a file.
func ReadRows(ctx context.Context, b blob.Bucket, f File) ([]Row, error) {
	return readObject(ctx, b, f.Name)
}

// Last returns the last file of each instance, which tells of all before it.
func Last(files []File) []File {
	var last []File
	for _, f := range bySequence(files) {
		if n := len(last); n > 0 && last[n-1].Instance == f.Instance {
			last[n-1] = f
			continue
		}
		last = append(last, f)
	}
	return last
}

func bySequence(files []File) []File {
	return slices.SortedFunc(slices.Values(files), func(a, b File) int {
		return cmp.Or(cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Sequence, b.Sequence))
	})
}
