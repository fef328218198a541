package coco

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/litterloop/litterloop/shared/errs"
)

// What encoding/json reads, Read reads as well, and to the same values.
func FuzzRead_asEncodingJSON(f *testing.F) {
	for _, s := range []string{`"a\u00fc\ud83d\ude00\n\/é"`, `-12.50e-3`, `1e22`, `0.1`, `123456789012345678`, `{"a":[1,{"b":null}],"a":true}`, `[[[]],{}]`, `9007199254740993`, `4.35`, `1E+400`, `"\ud800\u0041"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) > 4096 || !json.Valid(p) {
			return
		}
		if _, err := Read(strings.NewReader(fmt.Sprintf(`{"x":%s,"images":[],"annotations":[]}`, p)), Limits{}); err != nil && !strings.Contains(err.Error(), "nested deeper") {
			t.Errorf("%q is valid: %v", p, err)
		}
		var text string
		if json.Unmarshal(p, &text) == nil && utf8.Valid(p) && len(text) < maxName {
			got, err := Read(strings.NewReader(fmt.Sprintf(`{"images":[{"file_name":%s}],"annotations":[]}`, p)), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if got := got.Images[0].FileName; got != text && string(p) != "null" {
				t.Errorf("%q is %q, not %q", p, text, got)
			}
		}
		var number float64
		if json.Unmarshal(p, &number) == nil && string(p) != "null" {
			got, err := Read(strings.NewReader(fmt.Sprintf(`{"images":[],"annotations":[{"bbox":[%s,0,0,0]}]}`, p)), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if got := got.Annotations[0].Box[0]; got != number {
				t.Errorf("%q is %v, not %v", p, number, got)
			}
		}
	})
}

// endless repeats a piece n times between a beginning and an end, without ever
// holding it.
func endless(begin, piece, end string, n int) io.Reader {
	i := 0
	var rest string
	return io.MultiReader(strings.NewReader(begin), readerFunc(func(p []byte) (int, error) {
		if rest == "" {
			if i == n {
				return 0, io.EOF
			}
			k := min(n-i, max(1, 1<<16/len(piece)))
			rest = strings.Repeat(piece, k)
			i += k
		}
		m := copy(p, rest)
		rest = rest[m:]
		return m, nil
	}), strings.NewReader(end))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Labels that are larger than what they may be are refused, or passed through,
// in memory that does not follow their size.
func TestWalk_boundsMemory(t *testing.T) {
	tests := []struct {
		name   string
		in     io.Reader
		limits Limits
		code   errs.Code // "": read
	}{
		{"two gigabytes of white space", endless(`{"images":[`, strings.Repeat(" ", 1<<16), `],"annotations":[]}`, 2<<30>>16), Limits{Bytes: 64 << 20}, "labels-too-large"},
		{"a string of 32 MB", endless(`{"x":"`, strings.Repeat("a", 1<<16), `","images":[],"annotations":[]}`, 1<<9), Limits{}, ""},
		{"a string of 32 MB of escapes", endless(`{"x":"`, strings.Repeat(`\n`, 1<<15), `","images":[],"annotations":[]}`, 1<<9), Limits{}, ""},
		{"a key of 32 MB", endless(`{"`, strings.Repeat("a", 1<<16), `":1,"images":[],"annotations":[]}`, 1<<9), Limits{}, ""},
		{"a file name of 32 MB", endless(`{"images":[{"file_name":"`, strings.Repeat("a", 1<<16), `"}],"annotations":[]}`, 1<<9), Limits{}, ""},
		{"a number of 32 MB", endless(`{"images":[{"width":`, strings.Repeat("1", 1<<16), `}],"annotations":[]}`, 1<<9), Limits{}, "labels-not-json"},
		{"a polygon of 32 MB", endless(`{"images":[],"annotations":[{"segmentation":[[1`, strings.Repeat(",1", 1<<15), `]]}]}`, 1<<9), Limits{}, ""},
		{"ten million images", endless(`{"images":[{}`, `,{"id":1,"file_name":"a.jpg"}`, `],"annotations":[]}`, 10_000_000), Limits{Images: 200_000}, "labels-too-large"},
		{"a million annotations with ids of text", endless(`{"images":[],"annotations":[{}`, `,{"id":"7d0c6b2e"}`, `]}`, 1_000_000), Limits{}, ""},
		{"nested 10,000 deep", endless(`{"x":`, "[", "", 10_000), Limits{}, "labels-not-json"},
		{"objects nested 10,000 deep", endless(`{"x":`, `{"a":`, "", 10_000), Limits{}, "labels-not-json"},
		{"a box nested 10,000 deep", endless(`{"images":[],"annotations":[{"bbox":`, "[", "", 10_000), Limits{}, "labels-not-json"},
		{"a hundred million categories", endless(`{"categories":[{}`, `,{}`, `]}`, 100_000_000), Limits{}, "labels-too-large"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			count := 0
			err := Walk(tt.in, tt.limits, Visitor{Image: func(Image) { count++ }, Annotation: func(*Annotation) { count++ }, Category: func(Category) { count++ }})
			runtime.GC()
			runtime.ReadMemStats(&after)
			if code, _ := errs.Reason(err); code != tt.code || err != nil && tt.code == "" {
				t.Errorf("got %v, want %q", err, tt.code)
			}
			if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 32<<20 {
				t.Errorf("the heap grew by %d MB", grown>>20)
			}
		})
	}
}

// Values of the wrong type, keys twice and bytes that are no text make no error
// of the file: the record lacks what makes no sense.
func TestRead_wrongTypes(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"everything of another type", `{"images":[{"id":{},"file_name":7,"width":"x","height":[1]}],"annotations":[{"id":true,"image_id":[],"category_id":{"a":1},"bbox":{"x":1},"iscrowd":"no"}],"categories":[{"id":false,"name":["a"]}]}`,
			"[{(none)  0 0}] [{(none) (none) (none) [0 0 0 0] false false}] [{(none) }]"},
		{"keys twice: the last counts", `{"images":[{"id":1,"id":2,"file_name":"a","file_name":"b"}],"annotations":[{"image_id":1,"image_id":2,"bbox":[1,1,1,1],"bbox":[2,2,2,2]}]}`,
			"[{2 b 0 0}] [{(none) 2 (none) [2 2 2 2] true false}] []"},
		{"lists twice: both count", `{"images":[{"id":1}],"images":[{"id":2}],"annotations":[]}`, "[{1  0 0} {2  0 0}] [] []"},
		{"lists that are none", `{"images":7,"images":[],"annotations":{},"annotations":[],"categories":"x"}`, "[] [] []"},
		{"records that are none", `{"images":[1,"a",null,[{}],true],"annotations":[[]],"categories":[NaN]}`, "[] [] []"},
		{"numbers beyond all", `{"images":[{"id":1e999,"width":1e999,"height":-1e999}],"annotations":[{"bbox":[1e999,-1e999,1e-999,0],"id":1e15}]}`,
			"[{(none)  0 0}] [{1000000000000000 (none) (none) [+Inf -Inf 0 0] true false}] []"},
		{"bytes that are no text", "{\"images\":[{\"file_name\":\"a\xff\xfe\"}],\"annotations\":[]}", "[{(none) a\xff\xfe 0 0}] [] []"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := Read(strings.NewReader(tt.in), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(f.Images, f.Annotations, f.Categories); got != tt.want {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
		})
	}
}
