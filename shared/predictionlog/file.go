package predictionlog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"path"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// Prefix is where the log's files lie in the predictions bucket.
const Prefix = "log/"

// Damaged is the reason of a file that is not a prediction log.
const Damaged errs.Code = "prediction-log-damaged"

// codec of the files' pages.
var codec compress.Codec = &zstd.Codec{}

// WriteFile writes rows as one Parquet file, readable by any Parquet reader.
func WriteFile(w io.Writer, rows []Row) error { return writeFile(w, rows) }

func writeFile(w io.Writer, rows []Row, o ...parquet.WriterOption) error {
	o = append(o, parquet.Compression(codec), parquet.CreatedBy("litterloop", "1", ""))
	p := parquet.NewGenericWriter[Row](w, o...)
	if _, err := p.Write(rows); err != nil {
		return fmt.Errorf("write prediction log: %w", err)
	}
	if err := p.Close(); err != nil {
		return fmt.Errorf("write prediction log: %w", err)
	}
	return nil
}

// ReadFile reads what WriteFile wrote. Columns that the file lacks are zero, so
// that older files stay readable. A file that is no Parquet is a permanent
// error with reason Damaged.
func ReadFile(r io.ReaderAt, size int64) (rows []Row, err error) {
	defer func() { // parquet-go panics on some damaged pages
		if p := recover(); p != nil {
			rows, err = nil, errs.Permanentf(Damaged, "read prediction log: %v", p)
		}
	}()
	f, err := parquet.OpenFile(r, size)
	if err != nil {
		return nil, errs.Permanentf(Damaged, "read prediction log: %w", err)
	}
	p := parquet.NewGenericReader[Row](f)
	defer p.Close()
	rows = make([]Row, p.NumRows())
	for n := 0; n < len(rows); {
		k, err := p.Read(rows[n:])
		n += k
		if err == io.EOF && n == len(rows) {
			break
		}
		if err != nil {
			return nil, errs.Permanentf(Damaged, "read prediction log after %d of %d rows: %w", n, len(rows), err)
		}
	}
	return rows, nil
}

// Dir is the folder of the hour that holds t, in UTC.
func Dir(t time.Time) string {
	return t.UTC().Format("log/dt=2006-01-02/hr=15/")
}

// Read yields the rows of the time range [from, to) in order of files, not of
// time. A file is kept by the hour in which its first row was answered, and may
// hold rows of a later hour: Read looks an hour back for them. An error is
// yielded once, last; a damaged file is an error, since a gap in the log must
// not pass for quiet traffic.
func Read(ctx context.Context, b blob.Bucket, from, to time.Time) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for hour := from.UTC().Truncate(time.Hour).Add(-time.Hour); hour.Before(to); hour = hour.Add(time.Hour) {
			for a, err := range b.List(ctx, Dir(hour)) {
				if err != nil {
					yield(Row{}, fmt.Errorf("list prediction log of %s: %w", hour.Format("2006-01-02 15h"), err))
					return
				}
				if path.Ext(a.Name) != ".parquet" {
					continue
				}
				rows, err := readObject(ctx, b, a.Name)
				if err != nil {
					yield(Row{}, err)
					return
				}
				for _, r := range rows {
					if t := time.UnixMicro(r.TimeMicros); t.Before(from) || !t.Before(to) {
						continue
					}
					if !yield(r, nil) {
						return
					}
				}
			}
		}
	}
}

func readObject(ctx context.Context, b blob.Bucket, name string) ([]Row, error) {
	p, _, err := blob.ReadAll(ctx, b, name)
	if err != nil {
		return nil, fmt.Errorf("read prediction log gs://%s/%s: %w", b.Name(), name, err)
	}
	rows, err := ReadFile(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		return nil, fmt.Errorf("gs://%s/%s: %w", b.Name(), name, err)
	}
	return rows, nil
}
