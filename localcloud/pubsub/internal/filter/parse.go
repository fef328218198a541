package filter

import (
	"fmt"
	"strconv"
	"strings"
)

// Parse reads a filter; the empty one matches everything. Errors say where.
func Parse(s string) (Filter, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	if len(s) > MaxBytes {
		return nil, fmt.Errorf("filter of %d bytes: at most %d are allowed", len(s), MaxBytes)
	}
	tokens, err := lex(s)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	f, err := p.expression()
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind != end {
		return nil, p.unexpected(t, "AND, OR or the end")
	}
	return f, nil
}

type kind int

const (
	end kind = iota
	word
	quoted
	symbol
)

type token struct {
	kind kind
	text string
	at   int // byte offset in the filter
}

func lex(s string) ([]token, error) {
	var out []token
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case c == '"':
			q, err := strconv.QuotedPrefix(s[i:])
			if err != nil {
				return nil, fmt.Errorf("filter: string without an end, or with a bad escape, at byte %d", i)
			}
			text, err := strconv.Unquote(q)
			if err != nil {
				return nil, fmt.Errorf("filter: bad string at byte %d: %w", i, err)
			}
			out = append(out, token{quoted, text, i})
			i += len(q)
		case strings.HasPrefix(s[i:], "!="):
			out = append(out, token{symbol, "!=", i})
			i += 2
		case strings.IndexByte("=.:(),-", c) >= 0:
			out = append(out, token{symbol, string(c), i})
			i++
		case isWord(c):
			j := i
			for j < len(s) && (isWord(s[j]) || s[j] == '-') {
				j++
			}
			out = append(out, token{word, s[i:j], i})
			i = j
		default:
			return nil, fmt.Errorf("filter: unexpected %q at byte %d", s[i:i+1], i)
		}
	}
	return append(out, token{end, "", len(s)}), nil
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

type parser struct {
	tokens []token
	at     int
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != end {
		p.at++
	}
	return t
}

func (p *parser) unexpected(t token, want string) error {
	if t.kind == end {
		return fmt.Errorf("filter: ends at byte %d, expected %s", t.at, want)
	}
	return fmt.Errorf("filter: %q at byte %d, expected %s", t.text, t.at, want)
}

func (p *parser) symbol(want string) error {
	if t := p.next(); t.kind != symbol || t.text != want {
		return p.unexpected(t, strconv.Quote(want))
	}
	return nil
}

// expression = term { "AND" term } | term { "OR" term }
func (p *parser) expression() (Filter, error) {
	first, err := p.term()
	if err != nil {
		return nil, err
	}
	terms, join := []Filter{first}, ""
	for t := p.peek(); t.kind == word && (t.text == "AND" || t.text == "OR"); t = p.peek() {
		if join != "" && join != t.text {
			return nil, fmt.Errorf("filter: AND beside OR at byte %d: say which comes first with parentheses", t.at)
		}
		join = t.text
		p.next()
		f, err := p.term()
		if err != nil {
			return nil, err
		}
		terms = append(terms, f)
	}
	switch join {
	case "AND":
		return all(terms), nil
	case "OR":
		return anyOf(terms), nil
	}
	return first, nil
}

// term = ( "NOT" | "-" ) term | "(" expression ")" | comparison
func (p *parser) term() (Filter, error) {
	t := p.peek()
	switch {
	case t.kind == word && t.text == "NOT", t.kind == symbol && t.text == "-":
		p.next()
		f, err := p.term()
		if err != nil {
			return nil, err
		}
		return not(f), nil
	case t.kind == symbol && t.text == "(":
		p.next()
		f, err := p.expression()
		if err != nil {
			return nil, err
		}
		return f, p.symbol(")")
	case t.kind == word && t.text == "hasPrefix":
		p.next()
		return p.prefix()
	}
	return p.comparison()
}

// comparison = "attributes" ( ":" key | "." key ( "=" | "!=" ) string )
func (p *parser) comparison() (Filter, error) {
	if t := p.next(); t.kind != word || t.text != "attributes" {
		return nil, p.unexpected(t, "attributes, hasPrefix, NOT or (")
	}
	t := p.next()
	switch {
	case t.kind == symbol && t.text == ":":
		key, err := p.name()
		if err != nil {
			return nil, err
		}
		return has(key), nil
	case t.kind == symbol && t.text == ".":
		key, err := p.name()
		if err != nil {
			return nil, err
		}
		op := p.next()
		if op.kind != symbol || op.text != "=" && op.text != "!=" {
			return nil, p.unexpected(op, "= or !=")
		}
		value, err := p.value()
		if err != nil {
			return nil, err
		}
		if op.text == "=" {
			return equals(key, value), nil
		}
		return differs(key, value), nil
	}
	return nil, p.unexpected(t, "attributes.KEY or attributes:KEY")
}

// prefix = "(" "attributes" "." key "," string ")"
func (p *parser) prefix() (Filter, error) {
	if err := p.symbol("("); err != nil {
		return nil, err
	}
	if t := p.next(); t.kind != word || t.text != "attributes" {
		return nil, p.unexpected(t, "attributes")
	}
	if err := p.symbol("."); err != nil {
		return nil, err
	}
	key, err := p.name()
	if err != nil {
		return nil, err
	}
	if err := p.symbol(","); err != nil {
		return nil, err
	}
	prefix, err := p.value()
	if err != nil {
		return nil, err
	}
	return hasPrefix(key, prefix), p.symbol(")")
}

// name is an attribute's key, quoted where it is not a plain word.
func (p *parser) name() (string, error) {
	t := p.next()
	if t.kind != word && t.kind != quoted {
		return "", p.unexpected(t, "an attribute's key")
	}
	return t.text, nil
}

func (p *parser) value() (string, error) {
	t := p.next()
	if t.kind != quoted {
		return "", p.unexpected(t, "a string in double quotes")
	}
	return t.text, nil
}
