package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
)

var wide = Limits{Members: 1000, Bytes: 1 << 40, Ratio: 200}

type entry struct {
	name, text string
	change     func(*zip.FileHeader, *tar.Header)
}

func zipOf(t testing.TB, entries ...entry) Source {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		if e.change != nil {
			e.change(h, &tar.Header{})
		}
		w, err := z.CreateHeader(h)
		if err == nil {
			_, err = io.WriteString(w, e.text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return Source{Zip, bytes.NewReader(out.Bytes()), int64(out.Len())}
}

func tarOf(t testing.TB, format Format, entries ...entry) Source {
	var out bytes.Buffer
	var w io.Writer = &out
	done := func() error { return nil }
	switch format {
	case TarGzip:
		z := gzip.NewWriter(&out)
		w, done = z, z.Close
	case TarZstd:
		z, err := zstd.NewWriter(&out)
		if err != nil {
			t.Fatal(err)
		}
		w, done = z, z.Close
	}
	tw := tar.NewWriter(w)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Size: int64(len(e.text)), Mode: 0o644, Typeflag: tar.TypeReg}
		if e.change != nil {
			e.change(&zip.FileHeader{}, h)
		}
		if h.Typeflag != tar.TypeReg {
			h.Size, e.text = 0, ""
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, e.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), done()); err != nil {
		t.Fatal(err)
	}
	return Source{format, bytes.NewReader(out.Bytes()), int64(out.Len())}
}

// members are what a walk shows, and what it finds.
func members(t testing.TB, s Source, from int, limits Limits) (got []string, codes map[errs.Code]int, err error) {
	found, err := Walk(t.Context(), s, from, limits, func(m Member, r io.Reader) error {
		text, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		got = append(got, fmt.Sprintf("%s: %.20s", m.Name, text))
		return nil
	})
	codes = map[errs.Code]int{}
	for _, f := range found {
		codes[f.Code] = f.Count
	}
	return got, codes, err
}

// all makes the same archive in every format.
func all(t *testing.T, entries ...entry) map[Format]Source {
	return map[Format]Source{Zip: zipOf(t, entries...), Tar: tarOf(t, Tar, entries...), TarGzip: tarOf(t, TarGzip, entries...), TarZstd: tarOf(t, TarZstd, entries...)}
}

func link(z *zip.FileHeader, h *tar.Header) {
	z.SetMode(0o777 | 1<<27) // fs.ModeSymlink
	h.Typeflag, h.Linkname = tar.TypeSymlink, "/etc/passwd"
}

func TestWalk_names(t *testing.T) {
	entries := []entry{
		{"a.jpg", "A", nil},
		{"./dir/b c.jpg", "B", nil},
		{"../out.jpg", "evil", nil},
		{"dir/../../out.jpg", "evil", nil},
		{"/etc/passwd", "evil", nil},
		{"link.jpg", "/etc/passwd", link},
		{`win\dows.jpg`, "W", nil},
		{`..\out.jpg`, "evil", nil},
		{"A.JPG", "case", nil},
		{"u\u0308.jpg", "apart", nil},
		{"annotations.json", "{}", nil},
		{strings.Repeat("n", 200) + "/" + strings.Repeat("m", 200) + ".jpg", "long", nil},
	}
	for format, s := range all(t, entries...) {
		t.Run(string(format), func(t *testing.T) {
			got, codes, err := members(t, s, 0, wide)
			want := []string{"a.jpg: A", "dir/b c.jpg: B", "win/dows.jpg: W", "A.JPG: case", "ü.jpg: apart", "annotations.json: {}", strings.Repeat("n", 200) + "/" + strings.Repeat("m", 200) + ".jpg: long"}
			if d := cmp.Diff(want, got) + cmp.Diff(map[errs.Code]int{dataset.NameUnsafe: 4, dataset.MemberUnreadable: 1}, codes); err != nil || d != "" {
				t.Error(err, d)
			}
			got, codes, err = members(t, s, 8, wide)
			if d := cmp.Diff(want[3:], got); err != nil || d != "" || len(codes) > 0 {
				t.Errorf("from the ninth on: %v %v %s", err, codes, d)
			}
		})
	}
}

func TestWalk_zipQuirks(t *testing.T) {
	got, codes, err := members(t, zipOf(t,
		entry{"gr\x81n.jpg", "DOS", func(z *zip.FileHeader, _ *tar.Header) { z.NonUTF8 = true }},
		entry{"secret.jpg", "x", func(z *zip.FileHeader, _ *tar.Header) { z.Flags |= 1 }},
		entry{"dir/", "", nil},
		entry{"last.jpg", "L", nil},
	), 0, wide)
	if d := cmp.Diff([]string{"grün.jpg: DOS", "last.jpg: L"}, got) + cmp.Diff(map[errs.Code]int{dataset.MemberUnreadable: 1}, codes); err != nil || d != "" {
		t.Error(err, d)
	}
}

// A member that is damaged is left out of a zip; the rest of a tar is lost.
func TestWalk_damaged(t *testing.T) {
	random := strings.Repeat("0123456789abcdef", 4096)
	s := zipOf(t, entry{"a.jpg", random, func(z *zip.FileHeader, _ *tar.Header) { z.Method = zip.Store }}, entry{"b.jpg", "B", nil})
	data := make([]byte, s.Size)
	s.Reader.ReadAt(data, 0)
	data[1000] ^= 1
	s.Reader = bytes.NewReader(data)
	got, codes, err := members(t, s, 0, wide)
	if d := cmp.Diff([]string{"b.jpg: B"}, got); err != nil || d != "" || codes[dataset.MemberUnreadable] != 1 {
		t.Error(err, codes, d)
	}
	for _, format := range []Format{Tar, TarGzip, TarZstd} {
		s := tarOf(t, format, entry{"a.jpg", random, nil}, entry{"b.jpg", random, nil})
		s.Size = s.Size * 2 / 3
		if _, _, err := members(t, s, 0, wide); !coded(err, CodeUnreadable) {
			t.Errorf("%s cut short: %v", format, err)
		}
	}
}

func coded(err error, want errs.Code) bool {
	code, _ := errs.Reason(err)
	return code == want
}

func TestWalk_bombs(t *testing.T) {
	zeros := strings.Repeat("\x00", 1<<20)
	var many []entry
	for i := range 200 {
		many = append(many, entry{fmt.Sprint(i, ".txt"), "", nil})
	}
	for format, s := range all(t, many...) {
		limits := wide
		limits.Members = 100
		if _, _, err := members(t, s, 0, limits); !coded(err, CodeTooLarge) {
			t.Errorf("%s of too many members: %v", format, err)
		}
	}
	for format, s := range all(t, entry{"a.txt", zeros, nil}, entry{"b.txt", zeros, nil}) {
		limits := wide
		limits.Bytes = 1<<20 + 100
		if _, _, err := members(t, s, 0, limits); !coded(err, CodeTooLarge) {
			t.Errorf("%s above the bytes allowed: %v", format, err)
		}
		limits = wide
		limits.Used = 1 << 39
		if _, _, err := members(t, s, 0, limits); !coded(err, CodeTooLarge) {
			t.Errorf("%s after much was unpacked: %v", format, err)
		}
	}
	// Members that nobody reads count as well where they must be unpacked to be
	// passed over.
	long := strings.Repeat(zeros, 160)
	for _, format := range []Format{TarGzip, TarZstd} {
		_, err := Walk(t.Context(), tarOf(t, format, entry{"a.mp4", long, nil}), 0, wide, func(Member, io.Reader) error { return nil })
		if !coded(err, CodeTooLarge) {
			t.Errorf("%s with a bomb that nobody reads: %v", format, err)
		}
	}
	s := zipOf(t, entry{"a.txt", zeros, nil})
	s.Size /= 2 // a directory that says more than there is
	if _, _, err := members(t, s, 0, wide); !coded(err, CodeUnreadable) && !coded(err, CodeTooLarge) {
		t.Errorf("got %v", err)
	}
}

type broken struct {
	io.ReaderAt
	at int64
}

var errAway = errors.New("the bucket is away")

func (b broken) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > b.at {
		return 0, errAway
	}
	return b.ReaderAt.ReadAt(p, off)
}

// A connection that breaks is nobody's fault: the walk is to be repeated.
func TestWalk_brokenSourceIsTransient(t *testing.T) {
	random := strings.Repeat("0123456789abcdef", 1<<16)
	for format, s := range all(t, entry{"a.jpg", random, nil}, entry{"b.jpg", random, nil}) {
		s.Reader = broken{s.Reader, s.Size / 2}
		if _, _, err := members(t, s, 0, wide); !errors.Is(err, errAway) || coded(err, CodeUnreadable) {
			t.Errorf("%s: %v", format, err)
		}
	}
}

func TestFormatOf(t *testing.T) {
	for name, want := range map[string]Format{"a.zip": Zip, "A.ZIP": Zip, "a.b.tar": Tar, "a.tar.gz": TarGzip, "a.tgz": TarGzip, "a.tar.zst": TarZstd, "a.gz": "", "zip": "", "a.zip.jpg": ""} {
		if got, ok := FormatOf(name); got != want || ok != (want != "") {
			t.Errorf("%s is %q", name, got)
		}
	}
}

// Whatever an archive is called or holds, members lie below its root, and what
// is shown is within the limits.
func FuzzWalk(f *testing.F) {
	seed := []entry{{"a/b.jpg", "A", nil}, {"../c", "x", nil}, {`d\..\e`, "y", nil}, {"l", "", link}}
	for i, s := range []Source{zipOf(f, seed...), tarOf(f, Tar, seed...), tarOf(f, TarGzip, seed...), tarOf(f, TarZstd, seed...)} {
		data := make([]byte, s.Size)
		s.Reader.ReadAt(data, 0)
		f.Add(byte(i), data)
	}
	f.Fuzz(func(t *testing.T, format byte, data []byte) {
		s := Source{[]Format{Zip, Tar, TarGzip, TarZstd}[format%4], bytes.NewReader(data), int64(len(data))}
		limits := Limits{Members: 20, Bytes: 1 << 20, Ratio: 200}
		total, n := 0, 0
		_, err := Walk(t.Context(), s, 0, limits, func(m Member, r io.Reader) error {
			p, err := io.ReadAll(r)
			total, n = total+len(p), n+1
			clean, ok := Clean(m.Name)
			if !ok || clean != m.Name {
				t.Fatalf("a member called %q", m.Name)
			}
			return err
		})
		if _, permanent := errs.Reason(err); err != nil && !permanent || total > 1<<20 || n > 20 {
			t.Fatalf("%d bytes of %d members: %v", total, n, err)
		}
	})
}
