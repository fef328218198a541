package detector

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// pair is one entry of a Python dict, in source order.
type pair struct{ key, value any }

// parseLiteral reads a Python literal, as repr writes it into an export's
// metadata: {0: 'it\'s', 1: "can"}, [640, 640], 32, True, None. It returns
// []pair, []any, string, int64, float64, bool or nil.
func parseLiteral(s string) (any, error) {
	p := &literal{rest: s}
	v, err := p.value(0)
	if err == nil {
		if p.space(); p.rest != "" {
			err = errors.New("text after the value")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w at character %d", err, len(s)-len(p.rest)+1)
	}
	return v, nil
}

// nesting bounds the depth of a literal: metadata needs one level, and a
// hostile model must not exhaust the stack.
const nesting = 16

type literal struct{ rest string }

func (p *literal) space() { p.rest = strings.TrimLeft(p.rest, " \t\r\n\f") }

// take skips white space and then token, if that comes next.
func (p *literal) take(token string) bool {
	p.space()
	rest, ok := strings.CutPrefix(p.rest, token)
	p.rest = rest
	return ok
}

func (p *literal) value(depth int) (any, error) {
	if depth > nesting {
		return nil, errors.New("nested too deep")
	}
	switch {
	case p.take("{"):
		return p.dict(depth + 1)
	case p.take("["):
		return p.list("]", depth+1)
	case p.take("("):
		return p.list(")", depth+1)
	case p.take("'"):
		return p.text('\'')
	case p.take(`"`):
		return p.text('"')
	case p.take("True"):
		return true, nil
	case p.take("False"):
		return false, nil
	case p.take("None"):
		return nil, nil
	}
	return p.number()
}

func (p *literal) dict(depth int) (any, error) {
	pairs := []pair{}
	for !p.take("}") {
		key, err := p.value(depth)
		if err != nil {
			return nil, err
		}
		if !p.take(":") {
			return nil, errors.New("no colon after a key")
		}
		value, err := p.value(depth)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, pair{key, value})
		if !p.take(",") {
			if !p.take("}") {
				return nil, errors.New("no comma between entries")
			}
			break
		}
	}
	return pairs, nil
}

func (p *literal) list(end string, depth int) (any, error) {
	values := []any{}
	for !p.take(end) {
		v, err := p.value(depth)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
		if !p.take(",") {
			if !p.take(end) {
				return nil, errors.New("no comma between values")
			}
			break
		}
	}
	return values, nil
}

// escapes are Python's one-letter escapes.
var escapes = map[byte]string{
	'\\': `\`, '\'': "'", '"': `"`, 'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v", '\n': "",
}

func (p *literal) text(quote byte) (any, error) {
	var b strings.Builder
	for p.rest != "" {
		c := p.rest[0]
		switch {
		case c == quote:
			p.rest = p.rest[1:]
			return b.String(), nil
		case c == '\n':
			return nil, errors.New("line break in a string")
		case c != '\\':
			b.WriteByte(c)
			p.rest = p.rest[1:]
		case len(p.rest) < 2:
			return nil, errors.New("string does not end")
		default:
			if err := p.escape(&b); err != nil {
				return nil, err
			}
		}
	}
	return nil, errors.New("string does not end")
}

func (p *literal) escape(b *strings.Builder) error {
	c := p.rest[1]
	if s, ok := escapes[c]; ok {
		b.WriteString(s)
		p.rest = p.rest[2:]
		return nil
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
	if digits == 0 {
		return fmt.Errorf("unknown escape \\%c", c)
	}
	if len(p.rest) < 2+digits {
		return errors.New("string does not end")
	}
	v, err := strconv.ParseUint(p.rest[2:2+digits], 16, 32)
	if err != nil || !utf8.ValidRune(rune(v)) {
		return fmt.Errorf("bad escape %s", p.rest[:2+digits])
	}
	b.WriteRune(rune(v))
	p.rest = p.rest[2+digits:]
	return nil
}

func (p *literal) number() (any, error) {
	n := strings.IndexFunc(p.rest, func(r rune) bool { return !strings.ContainsRune("0123456789+-.eE_", r) })
	if n < 0 {
		n = len(p.rest)
	}
	word := strings.ReplaceAll(p.rest[:n], "_", "")
	if i, err := strconv.ParseInt(word, 10, 64); err == nil {
		p.rest = p.rest[n:]
		return i, nil
	}
	f, err := strconv.ParseFloat(word, 64)
	if err != nil {
		return nil, errors.New("no value")
	}
	p.rest = p.rest[n:]
	return f, nil
}
