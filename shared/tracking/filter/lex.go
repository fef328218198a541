package filter

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind int

const (
	word     kind = iota // identifier, possibly quoted in parts: tags.`a b`
	keyword              // AND, OR, IN, …; text is upper-case
	text                 // 'a string'
	number               // 12, -3.5, 1e-4
	operator             // =, !=, …, LIKE, NOT LIKE
	list                 // ( … ), whole
	other                // any other character
)

type token struct {
	kind kind
	text string // as written, but for keywords and word operators: upper-case
}

// keywords end an identifier's right to be one.
var keywords = map[string]bool{
	"AND": true, "OR": true, "NOT": true, "IN": true, "IS": true, "NULL": true, "BETWEEN": true,
	"LIKE": true, "ILIKE": true, "RLIKE": true, "ASC": true, "DESC": true, "SELECT": true, "FROM": true, "WHERE": true,
}

// lex splits s into tokens. It knows no errors: what belongs nowhere is a token
// of its own, which the parser refuses.
func lex(s string) []token {
	var all []token
	for {
		s = strings.TrimLeftFunc(s, unicode.IsSpace)
		if s == "" {
			return join(all)
		}
		t, n := next(s, all)
		all = append(all, t)
		s = s[n:]
	}
}

func next(s string, before []token) (token, int) {
	switch c := s[0]; {
	case c == '\'':
		if n := quoted(s); n > 0 {
			return token{text, s[:n]}, n
		}
		return token{other, s}, len(s)
	case c == '(':
		n := parenthesis(s)
		return token{list, s[:n]}, n
	case strings.ContainsRune("<>=!~", rune(c)):
		for _, op := range []string{"<>", "<=", ">=", "!=", "==", "<", ">", "=", "~"} {
			if strings.HasPrefix(s, op) {
				return token{operator, op}, len(op)
			}
		}
		return token{other, s[:1]}, 1
	case c == '-' || c == '.' || c >= '0' && c <= '9':
		if n := digits(s); n > 0 {
			return token{number, s[:n]}, n
		}
	}
	if n := identifier(s); n > 0 {
		if upper := strings.ToUpper(s[:n]); keywords[upper] {
			return token{keyword, upper}, n
		}
		return token{word, s[:n]}, n
	}
	_, n := utf8.DecodeRuneInString(s)
	return token{other, s[:n]}, n
}

// quoted is the length of the quoted string that s begins with; 0 when it does
// not end. A doubled quote, or one after a backslash, does not end it.
func quoted(s string) int {
	q := s[0]
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && q == '\'' && i+1 < len(s):
			i++
		case s[i] == q && i+1 < len(s) && s[i+1] == q && q == '\'':
			i++
		case s[i] == q:
			return i + 1
		}
	}
	return 0
}

// parenthesis is the length of what s begins with up to its closing one.
func parenthesis(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\'', '"':
			if n := quoted(s[i:]); n > 0 {
				i += n - 1
			}
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}

// digits is the length of the number that s begins with; 0 when it is none.
func digits(s string) int {
	i, seen := 0, false
	run := func() {
		for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
			seen = true
		}
	}
	if s[i] == '-' {
		i++
	}
	run()
	if i < len(s) && s[i] == '.' {
		i++
		run()
	}
	if !seen {
		return 0
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		mantissa := i
		i++
		if i < len(s) && (s[i] == '-' || s[i] == '+') {
			i++
		}
		seen = false
		if run(); !seen {
			i = mantissa
		}
	}
	if r, _ := utf8.DecodeRuneInString(s[i:]); i < len(s) && (r == '_' || unicode.IsLetter(r)) {
		return 0
	}
	return i
}

// identifier is the length of the identifier that s begins with: words, and
// parts in backticks or double quotes, with dots between.
func identifier(s string) int {
	i := 0
	for i < len(s) {
		if s[i] == '`' || s[i] == '"' {
			n := quoted(s[i:])
			if n == 0 {
				return i
			}
			i += n
		} else {
			start := i
			for i < len(s) {
				r, n := utf8.DecodeRuneInString(s[i:])
				if r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
					break
				}
				i += n
			}
			if i == start {
				return i
			}
		}
		if i >= len(s) || s[i] != '.' {
			return i
		}
		i++
	}
	return i
}

// join makes word operators of keywords: LIKE, NOT LIKE, IS NOT NULL, …
func join(all []token) []token {
	var joined []token
	for i := 0; i < len(all); i++ {
		for _, words := range wordOperators {
			if matches(all[i:], words) {
				joined = append(joined, token{operator, strings.Join(words, " ")})
				i += len(words)
				break
			}
		}
		if i < len(all) {
			joined = append(joined, all[i])
		}
	}
	return joined
}

// wordOperators, the longer before those that they begin with.
var wordOperators = [][]string{
	{"IS", "NOT", "NULL"}, {"IS", "NULL"}, {"NOT", "IN"}, {"IN"},
	{"NOT", "LIKE"}, {"NOT", "ILIKE"}, {"NOT", "RLIKE"}, {"LIKE"}, {"ILIKE"}, {"RLIKE"},
}

func matches(all []token, words []string) bool {
	if len(all) < len(words) {
		return false
	}
	for i, w := range words {
		if all[i].kind != keyword || all[i].text != w {
			return false
		}
	}
	return true
}
