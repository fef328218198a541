package predictionlog

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/errs"
)

// ids of the rows is a sketch for tests.
type idsSketch struct{ ids []string }

func (s *idsSketch) Add(r Row)                      { s.ids = append(s.ids, r.ID) }
func (s *idsSketch) MarshalBinary() ([]byte, error) { return []byte(strings.Join(s.ids, " ")), nil }

// Of an instance's files in an hour, the last one's sketch tells of all.
func TestLogger_lastFileOfAnHourSumsItUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := blobmem.New("predictions")
		l := start(t, b, func(o *Options) { o.Policy.FlushRows = 2; o.Sketch = func() Sketch { return new(idsSketch) } })
		begin := time.Now() // on the hour
		for i := range 3 {
			for k := range 2 {
				l.Add(row(fmt.Sprintf("h0-%d%d", i, k), time.Now()), nil)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Hour)
		l.Add(row("h1", time.Now()), nil)
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		for hour, want := range map[time.Time]Footer{
			begin:                {Rows: 2, Accepted: 6, Sketch: []byte("h0-00 h0-01 h0-10 h0-11 h0-20 h0-21")},
			begin.Add(time.Hour): {Rows: 1, Accepted: 7, Sketch: []byte("h1")},
		} {
			files, err := Files(t.Context(), b, hour)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ReadFooter(t.Context(), b, Last(files)[0])
			if d := cmp.Diff(want, got); d != "" || err != nil {
				t.Errorf("footer (-want +got), %v:\n%s", err, d)
			}
		}
	})
}

func TestReadFooter_readsOnlyTheEnd(t *testing.T) {
	b := blobmem.New("predictions")
	rows := make([]Row, 20_000)
	for i := range rows {
		rows[i] = row(fmt.Sprintf("%x-%d", i*7919, i), noon.Add(time.Duration(i)))
	}
	var w bytes.Buffer
	if err := WriteFile(&w, rows); err != nil {
		t.Fatal(err)
	}
	name := Dir(noon) + "a-000001.parquet"
	if _, err := b.Write(t.Context(), name, bytes.NewReader(w.Bytes()), blob.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	f, err := ReadFooter(t.Context(), b, File{Name: name, Size: int64(w.Len())})
	if err != nil || f.Rows != 20_000 || f.Sketch != nil {
		t.Errorf("%+v, %v", f, err)
	}
	if w.Len() < 10*tail {
		t.Fatalf("a file of %d bytes proves nothing", w.Len())
	}
	for _, n := range []int{0, 5, 100, w.Len() - 1} {
		cut := Dir(noon) + "cut-000001.parquet"
		if _, err := b.Write(t.Context(), cut, bytes.NewReader(w.Bytes()[:n]), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
			t.Fatal(err)
		}
		_, err := ReadFooter(t.Context(), b, File{Name: cut, Size: int64(n)})
		if code, ok := errs.Reason(err); !ok || code != Damaged {
			t.Errorf("first %d bytes: %v, want reason %s", n, err, Damaged)
		}
	}
}

func TestGaps(t *testing.T) {
	file := func(instance string, n int) File { return File{Instance: instance, Sequence: n} }
	for name, c := range map[string]struct {
		files []File
		want  []Gap
	}{
		"nothing":               {nil, nil},
		"whole, in any order":   {[]File{file("a", 3), file("b", 7), file("a", 1), file("a", 2)}, nil},
		"one is missing":        {[]File{file("a", 1), file("a", 3)}, []Gap{{"a", 2, 2}}},
		"several, of two":       {[]File{file("a", 1), file("b", 1), file("a", 5), file("b", 3)}, []Gap{{"a", 2, 4}, {"b", 2, 2}}},
		"what was before":       {[]File{file("a", 40), file("a", 41)}, nil},
		"the same file, listed": {[]File{file("a", 1), file("a", 1)}, nil},
	} {
		if d := cmp.Diff(c.want, Gaps(c.files)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}
