package coco

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/litterloop/litterloop/shared/errs"
)

// maxDepth of nested arrays and objects; labels need five.
const maxDepth = 1000

// maxString bytes of one JSON string that is kept; names are far shorter.
const maxString = 64 << 10

// minRead bytes at once, where there are so many: a byte order mark is three.
const minRead = 3

// scanner reads JSON from a stream, one value at a time, forwards only. It
// exists because encoding/json refuses a whole file for one NaN, and reads an
// order of magnitude slower than labels of hundreds of megabytes deserve.
//
// Every method that fails records the first error in err and returns a zero
// value; after that the scanner is at its end.
type scanner struct {
	r     io.Reader
	buf   []byte
	pos   int
	lines int   // line feeds before buf
	total int64 // bytes read from r
	limit int64
	err   error
	utf16 bool // the file begins with its byte order mark, as Windows' tools write it

	text  []byte // scratch of str and number
	stack []byte // scratch of skip
	keep  []byte // what skip passes over while keeping
	kept  bool
}

func newScanner(r io.Reader, limit int64) *scanner {
	s := &scanner{r: r, buf: make([]byte, 0, 256<<10), limit: limit}
	if s.fill(); len(s.buf) >= 3 && string(s.buf[:3]) == "\xef\xbb\xbf" { // byte order mark
		s.pos = 3
	}
	s.utf16 = bytes.HasPrefix(s.buf, []byte("\xff\xfe")) || bytes.HasPrefix(s.buf, []byte("\xfe\xff"))
	return s
}

// fill replaces the spent buffer; false at the end of the stream or an error.
func (s *scanner) fill() bool {
	if s.err != nil {
		return false
	}
	s.lines += bytes.Count(s.buf, []byte{'\n'})
	s.buf, s.pos = s.buf[:cap(s.buf)], 0
	n, err := io.ReadAtLeast(s.r, s.buf, minRead)
	s.buf = s.buf[:n]
	s.total += int64(n)
	if s.limit > 0 && s.total > s.limit {
		s.err = errs.Permanentf("labels-too-large", "labels are larger than %d bytes: drop them as several batches", s.limit)
	} else if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && n == 0 {
		s.err = fmt.Errorf("read labels: %w", err)
	}
	return n > 0 && s.err == nil
}

func (s *scanner) line() int { return s.lines + bytes.Count(s.buf[:s.pos], []byte{'\n'}) + 1 }

func (s *scanner) fail(format string, args ...any) {
	if s.err == nil {
		s.err = errs.Permanentf("labels-not-json", "labels are not JSON: line %d: %s", s.line(), fmt.Sprintf(format, args...))
	}
	s.pos = len(s.buf)
}

// peek returns the next byte that is not white space, 0 at the end.
func (s *scanner) peek() byte {
	for {
		for s.pos < len(s.buf) {
			switch c := s.buf[s.pos]; c {
			case ' ', '\t', '\n', '\r':
				s.pos++
			default:
				if s.err != nil {
					return 0
				}
				return c
			}
		}
		if !s.fill() {
			return 0
		}
	}
}

// raw returns the next byte as it is; 0 and an error at the end.
func (s *scanner) raw() byte {
	if s.pos == len(s.buf) && !s.fill() {
		s.fail("the file ends in the middle of a value")
		return 0
	}
	c := s.buf[s.pos]
	s.pos++
	return c
}

func (s *scanner) expect(c byte) bool {
	if got := s.peek(); got != c {
		s.fail("%s where %q is needed", describe(got), string(c))
		return false
	}
	s.pos++
	return true
}

func describe(c byte) string {
	if c == 0 {
		return "the file ends"
	}
	return strconv.QuoteRune(rune(c))
}

// object calls field with each key of the next object; field reads the value.
func (s *scanner) object(field func(key string)) {
	s.members('{', '}', func() {
		if s.peek() != '"' {
			s.fail("%s where a key in quotes is needed", describe(s.peek()))
			return
		}
		key := s.str()
		if s.expect(':') {
			field(string(key))
		}
	})
}

// array calls element for each element of the next array; element reads it.
func (s *scanner) array(element func()) { s.members('[', ']', element) }

func (s *scanner) members(opening, closing byte, member func()) {
	if !s.expect(opening) {
		return
	}
	if s.peek() == closing {
		s.pos++
		return
	}
	for s.err == nil {
		member()
		switch c := s.peek(); c {
		case ',':
			s.pos++
		case closing:
			s.pos++
			return
		default:
			s.fail("%s where %q or %q is needed", describe(c), ",", string(closing))
			return
		}
	}
}

// str reads a string, cut after maxString bytes; it is valid until the next call.
func (s *scanner) str() []byte {
	s.text = s.text[:0]
	if !s.expect('"') {
		return nil
	}
	for s.err == nil {
		chunk := s.buf[s.pos:]
		end := bytes.IndexAny(chunk, "\"\\")
		if end < 0 {
			end = len(chunk)
		}
		if len(s.text) < maxString {
			s.text = append(s.text, chunk[:end]...)
		}
		s.pos += end
		if s.pos == len(s.buf) {
			if !s.fill() {
				s.fail("the file ends in the middle of a value")
			}
			continue
		}
		s.pos++
		if chunk[end] == '"' {
			return s.text
		}
		s.escape()
		s.text = s.text[:min(len(s.text), maxString)]
	}
	return nil
}

func (s *scanner) escape() { s.escaped(s.raw()) }

// escaped reads what follows a backslash, of which c is the first byte.
func (s *scanner) escaped(c byte) {
	switch c {
	case '"', '\\', '/':
		s.text = append(s.text, c)
	case 'b':
		s.text = append(s.text, '\b')
	case 'f':
		s.text = append(s.text, '\f')
	case 'n':
		s.text = append(s.text, '\n')
	case 'r':
		s.text = append(s.text, '\r')
	case 't':
		s.text = append(s.text, '\t')
	case 'u':
		s.unicode(s.hex4())
	default:
		s.fail("unknown escape \\%s", string(c))
	}
}

// unicode adds a character; one beyond the 16 bits is two escapes. A half
// without its other half is no character, as in encoding/json.
func (s *scanner) unicode(r rune) {
	for utf16.IsSurrogate(r) && s.err == nil {
		if s.peekRaw() != '\\' {
			r = utf8.RuneError
			break
		}
		s.pos++
		if c := s.raw(); c != 'u' {
			s.text = utf8.AppendRune(s.text, utf8.RuneError)
			s.escaped(c)
			return
		}
		low := s.hex4()
		if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
			r = both
			break
		}
		s.text = utf8.AppendRune(s.text, utf8.RuneError)
		r = low
	}
	s.text = utf8.AppendRune(s.text, r)
}

// peekRaw is the next byte, white space included; 0 at the end.
func (s *scanner) peekRaw() byte {
	if s.pos == len(s.buf) && !s.fill() {
		return 0
	}
	return s.buf[s.pos]
}

func (s *scanner) hex4() rune {
	var r rune
	for range 4 {
		c := s.raw()
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			s.fail("\\u needs four hexadecimal digits")
			return utf8.RuneError
		}
	}
	return r
}

// word reads a run of the characters of numbers and literals; valid until the
// next call.
func (s *scanner) word() []byte {
	s.text = s.text[:0]
	s.peek()
	for {
		start := s.pos
		for s.pos < len(s.buf) && wordByte[s.buf[s.pos]] {
			s.pos++
		}
		if s.pos < len(s.buf) && len(s.text) == 0 {
			return s.buf[start:s.pos]
		}
		s.text = append(s.text, s.buf[start:s.pos]...)
		if s.pos < len(s.buf) || len(s.text) > maxString || !s.fill() {
			return s.text
		}
	}
}

var wordByte = func() (t [256]bool) {
	for _, c := range []byte("+-.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		t[c] = true
	}
	return t
}()

// float reads a number, or a word that Python writes for one that is not
// finite. ok is false for any other value, which is passed over.
func (s *scanner) float() (f float64, ok bool) {
	switch c := s.peek(); {
	case c == '-' || c >= '0' && c <= '9' || c == 'N' || c == 'I':
	default:
		s.skip()
		return 0, false
	}
	w := s.word()
	if f, ok := simpleFloat(w); ok {
		return f, true
	}
	switch string(w) {
	case "NaN":
		return math.NaN(), true
	case "Infinity":
		return math.Inf(1), true
	case "-Infinity":
		return math.Inf(-1), true
	}
	f, err := strconv.ParseFloat(string(w), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		s.fail("%q is not a number", w)
		return 0, false
	}
	return f, true
}

// simpleFloat parses what nearly every coordinate is, digits with a point, where
// mantissa and power of ten are exact and one division rounds once.
func simpleFloat(w []byte) (float64, bool) {
	negative := len(w) > 0 && w[0] == '-'
	if negative {
		w = w[1:]
	}
	if len(w) == 0 || len(w) > 16 || w[0] == '.' {
		return 0, false
	}
	var mantissa uint64
	places := -1
	for i, c := range w {
		switch {
		case c >= '0' && c <= '9':
			mantissa = mantissa*10 + uint64(c-'0')
		case c == '.' && places < 0 && i+1 < len(w):
			places = len(w) - i - 1
		default:
			return 0, false
		}
	}
	f := float64(mantissa)
	if places > 0 {
		f /= pow10[places]
	}
	if negative {
		f = -f
	}
	return f, mantissa < 1<<53
}

var pow10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// skip passes over the next value, whatever it is.
func (s *scanner) skip() {
	s.stack = s.stack[:0]
	for s.err == nil {
		c := s.peek()
		switch {
		case c == '{' || c == '[':
			if len(s.stack) == maxDepth {
				s.fail("nested deeper than %d", maxDepth)
				return
			}
			s.stack = append(s.stack, c+2) // ] and } stand two after [ and {
			s.pos++
			s.note(c)
			if s.peek() != c+2 {
				continue
			}
			fallthrough
		case c == '}' || c == ']':
			c = s.peek()
			if len(s.stack) == 0 || s.stack[len(s.stack)-1] != c {
				s.fail("%s where a value is needed", describe(c))
				return
			}
			s.stack = s.stack[:len(s.stack)-1]
			s.pos++
			s.note(c)
		case c == '"':
			s.str()
		case wordByte[c]:
			for _, c := range s.word() {
				s.note(c)
			}
		default:
			s.fail("%s where a value is needed", describe(c))
			return
		}
		if len(s.stack) == 0 {
			return
		}
		switch c := s.peek(); c {
		case ',', ':':
			s.pos++
			s.note(c)
		case '}', ']':
		default:
			s.fail("%s where a comma is needed", describe(c))
		}
	}
}

func (s *scanner) note(c byte) {
	if s.kept && len(s.keep) < maxString {
		s.keep = append(s.keep, c)
	}
}
