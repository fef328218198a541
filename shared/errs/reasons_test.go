package errs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// Whoever searches the documentation for a code that a message names finds what
// it means and what to do, and finds no code that nothing gives any more.
func TestReasons_everyCodeIsExplained(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "reasons.md"))
	if err != nil {
		t.Fatal(err)
	}
	explained := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|(.*)\\|$").FindAllStringSubmatch(string(text), -1) {
		explained[row[1]] = true
		if cells := strings.Split(row[2], " | "); len(cells) != 2 || len(strings.TrimSpace(cells[0])) < 10 || len(strings.TrimSpace(cells[1])) < 4 {
			t.Errorf("%s: a row needs what it means and what to do", row[1])
		}
	}
	given := codes(t)
	for _, code := range slices.Sorted(maps.Keys(given)) {
		if !explained[code] {
			t.Errorf("docs/reasons.md does not explain %q", code)
		}
	}
	for _, code := range slices.Sorted(maps.Keys(explained)) {
		if !given[code] {
			t.Errorf("docs/reasons.md explains %q, which nothing gives", code)
		}
	}
}

// codes are the reason codes that the program's source holds.
func codes(t *testing.T) map[string]bool {
	found := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		collect(f, found)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// collect finds constants of type errs.Code and those that a comment calls
// codes, first arguments of errs.Permanent, errs.Permanentf and errs.Code, and
// the codes of alerts.
func collect(f *ast.File, found map[string]bool) {
	add := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if code, err := strconv.Unquote(lit.Value); err == nil && code != "" {
				found[code] = true
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GenDecl:
			words := strings.Fields(strings.ToLower(n.Doc.Text()))
			for _, s := range n.Specs {
				if v, ok := s.(*ast.ValueSpec); ok && n.Tok == token.CONST && (isErrs(v.Type, "Code") || slices.Contains(words, "codes")) {
					for _, e := range v.Values {
						add(e)
					}
				}
			}
		case *ast.CallExpr:
			if len(n.Args) > 0 && (isErrs(n.Fun, "Permanent") || isErrs(n.Fun, "Permanentf") || isErrs(n.Fun, "Code")) {
				add(n.Args[0])
			}
		case *ast.AssignStmt: // code, message := errs.Code("a"), …; then code, message = "b", …
			for i, e := range n.Rhs {
				if id, ok := n.Lhs[min(i, len(n.Lhs)-1)].(*ast.Ident); ok && id.Name == "code" && len(n.Lhs) == len(n.Rhs) {
					add(e)
				}
			}
		case *ast.KeyValueExpr:
			if id, ok := n.Key.(*ast.Ident); ok && id.Name == "Code" {
				add(n.Value)
			}
		}
		return true
	})
}

func isErrs(e ast.Expr, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name {
		return false
	}
	id, ok := s.X.(*ast.Ident)
	return ok && id.Name == "errs"
}
