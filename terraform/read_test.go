package terraform_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// block is a block of a Terraform file, with the file's text.
type block struct {
	attributes hclsyntax.Attributes
	blocks     hclsyntax.Blocks
	raw        []byte
}

// root is what the files of this folder declare.
type root struct {
	modules   map[string]map[string]block // by file, by name
	resources map[string]map[string]block // by type, by name
	locals    hclsyntax.Attributes
	variables map[string]bool
}

// read parses the root, without its modules.
func read(t *testing.T) root {
	t.Helper()
	files, err := filepath.Glob("*.tf")
	if err != nil || len(files) == 0 {
		t.Fatalf("no Terraform files: %v", err)
	}
	r := root{map[string]map[string]block{}, map[string]map[string]block{}, hclsyntax.Attributes{}, map[string]bool{}}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f, diags := hclsyntax.ParseConfig(text, file, hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		r.modules[file] = map[string]block{}
		for _, b := range f.Body.(*hclsyntax.Body).Blocks {
			at := block{b.Body.Attributes, b.Body.Blocks, text}
			switch b.Type {
			case "module":
				r.modules[file][b.Labels[0]] = at
			case "resource":
				if r.resources[b.Labels[0]] == nil {
					r.resources[b.Labels[0]] = map[string]block{}
				}
				r.resources[b.Labels[0]][b.Labels[1]] = at
			case "variable":
				r.variables[b.Labels[0]] = true
			case "locals":
				for name, a := range b.Body.Attributes {
					r.locals[name] = a
				}
			}
		}
	}
	return r
}

func (r root) module(t *testing.T, name string) block {
	t.Helper()
	for _, modules := range r.modules {
		if m, ok := modules[name]; ok {
			return m
		}
	}
	t.Fatalf("no module %q", name)
	return block{}
}

// value evaluates a local that depends on nothing but the project.
func (r root) value(t *testing.T, name string) cty.Value {
	t.Helper()
	a := r.locals[name]
	if a == nil {
		t.Fatalf("no local %q", name)
	}
	v, diags := a.Expr.Value(&hcl.EvalContext{Variables: map[string]cty.Value{"var": cty.ObjectVal(map[string]cty.Value{"project": cty.StringVal(project)})}})
	if diags.HasErrors() {
		t.Fatalf("local %s: %v", name, diags)
	}
	return v
}

func (r root) strings(t *testing.T, name string) []string {
	t.Helper()
	var out []string
	for _, v := range r.value(t, name).AsValueSlice() {
		out = append(out, v.AsString())
	}
	return out
}

// local are the items of a local that is an object.
func (r root) local(t *testing.T, name string) map[string]hcl.Expression {
	t.Helper()
	return items(t, r.locals[name])
}

// text is the value of a literal attribute.
func (b block) text(t *testing.T, name string) string {
	t.Helper()
	v, diags := b.attributes[name].Expr.Value(nil)
	if diags.HasErrors() {
		return b.source(t, name)
	}
	return v.AsString()
}

// source is an attribute's expression as it is written.
func (b block) source(t *testing.T, name string) string {
	t.Helper()
	a := b.attributes[name]
	if a == nil {
		t.Fatalf("no attribute %q", name)
	}
	return string(a.Expr.Range().SliceBytes(b.raw))
}

// nested is the block of a type within this one.
func (b block) nested(t *testing.T, kind string) block {
	t.Helper()
	for _, in := range b.blocks {
		if in.Type == kind {
			return block{in.Body.Attributes, in.Body.Blocks, b.raw}
		}
	}
	t.Fatalf("no block %q", kind)
	return block{}
}

// object are the items of an attribute that is an object; none when it is not there.
func (b block) object(t *testing.T, name string) map[string]hcl.Expression {
	t.Helper()
	if b.attributes[name] == nil {
		return nil
	}
	return items(t, b.attributes[name])
}

func items(t *testing.T, a *hclsyntax.Attribute) map[string]hcl.Expression {
	t.Helper()
	expr := hcl.Expression(a.Expr)
	if call, ok := a.Expr.(*hclsyntax.FunctionCallExpr); ok && call.Name == "merge" {
		expr = call.Args[0] // what is added to it stands elsewhere
	}
	pairs, diags := hcl.ExprMap(expr)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	out := map[string]hcl.Expression{}
	for _, p := range pairs {
		key := hcl.ExprAsKeyword(p.Key)
		if key == "" {
			v, diags := p.Key.Value(nil)
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			key = v.AsString()
		}
		out[key] = p.Value
	}
	return out
}

// alertNames are the alerts that monitoring declares: the keys of its queries,
// and those that are no query.
func alertNames(t *testing.T) []string {
	t.Helper()
	const file = "monitoring/alerts.tf"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, diags := hclsyntax.ParseConfig(text, file, hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	var out []string
	for _, b := range f.Body.(*hclsyntax.Body).Blocks {
		if b.Type != "locals" {
			continue
		}
		diags := hclsyntax.VisitAll(b.Body.Attributes["queries"].Expr.(hclsyntax.Node), func(n hclsyntax.Node) hcl.Diagnostics {
			o, ok := n.(*hclsyntax.ObjectConsExpr)
			if !ok {
				return nil
			}
			for _, item := range o.Items {
				if _, nested := item.ValueExpr.(*hclsyntax.ObjectConsExpr); nested {
					out = append(out, hcl.ExprAsKeyword(item.KeyExpr))
				}
			}
			return nil
		})
		if diags.HasErrors() {
			t.Fatal(diags)
		}
	}
	return append(out, "Drift", "Down", "CostBudget")
}
