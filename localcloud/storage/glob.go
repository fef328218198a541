package storage

import (
	"regexp"
	"strings"
)

// compileGlob turns a matchGlob into a test of names: * and ? stop at a slash,
// ** does not, {a,b} is either, [a-c] one of; see
// https://cloud.google.com/storage/docs/json_api/v1/objects/list#list-objects-and-prefixes-using-glob.
func compileGlob(glob string) (func(string) bool, error) {
	var re strings.Builder
	re.WriteString(`\A(?s:`)
	braces := 0
	for i := 0; i < len(glob); i++ {
		switch c := glob[i]; {
		case strings.HasPrefix(glob[i:], "**/"):
			re.WriteString(`(?:.*/)?`)
			i += 2
		case strings.HasPrefix(glob[i:], "**"):
			re.WriteString(`.*`)
			i++
		case c == '*':
			re.WriteString(`[^/]*`)
		case c == '?':
			re.WriteString(`[^/]`)
		case c == '[':
			end := strings.IndexByte(glob[i:], ']')
			if end < 2 {
				return nil, badRequest("invalid", "matchGlob %q: [ without its ]", glob)
			}
			set := glob[i+1 : i+end]
			re.WriteByte('[')
			if strings.HasPrefix(set, "!") || strings.HasPrefix(set, "^") {
				re.WriteByte('^')
				set = set[1:]
			}
			re.WriteString(strings.NewReplacer(`\`, `\\`, `[`, `\[`, `^`, `\^`).Replace(set) + "]")
			i += end
		case c == '{':
			braces++
			re.WriteString(`(?:`)
		case c == '}' && braces > 0:
			braces--
			re.WriteByte(')')
		case c == ',' && braces > 0:
			re.WriteByte('|')
		default:
			re.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	re.WriteString(`)\z`)
	compiled, err := regexp.Compile(re.String())
	if err != nil {
		return nil, badRequest("invalid", "matchGlob %q: %v", glob, err)
	}
	return compiled.MatchString, nil
}
