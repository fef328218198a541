package detector

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/litterloop/litterloop/shared/errs"
	"google.golang.org/protobuf/encoding/protowire"
)

func TestParseLiteral(t *testing.T) {
	for text, want := range map[string]any{
		`{0: 'bottle', 1: "driver's cup"}`:                 []pair{{int64(0), "bottle"}, {int64(1), "driver's cup"}},
		`{0: 'a "b"\'c', 1: 'straw\\pipe'}`:                []pair{{int64(0), `a "b"'c`}, {int64(1), `straw\pipe`}},
		`['ba\u011f', 'x\x41', '\U0001f6ae', 'tab\there']`: []any{"bağ", "xA", "🚮", "tab\there"},
		"{0: 'bağ'}":             []pair{{int64(0), "bağ"}},
		" [640 , 480] ":          []any{int64(640), int64(480)},
		"(1,)":                   []any{int64(1)},
		"{}":                     []pair{},
		"[]":                     []any{},
		"32":                     int64(32),
		"-1.5e3":                 -1500.0,
		"1_000":                  int64(1000),
		"{'a': None, 'b': True}": []pair{{"a", nil}, {"b", true}},
		"[[1], {2: [False]}]":    []any{[]any{int64(1)}, []pair{{int64(2), []any{false}}}},
		"{1: 'a: b, c}'}":        []pair{{int64(1), "a: b, c}"}},
	} {
		got, err := parseLiteral(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if d := cmp.Diff(want, got, cmp.AllowUnexported(pair{})); d != "" {
			t.Errorf("%s (-want +got):\n%s", text, d)
		}
	}
}

func TestParseLiteral_refuses(t *testing.T) {
	for _, text := range []string{
		"", "{", "[", "{0 'a'}", "{0: 'a' 1: 'b'}", "'open", `'\`, `'\q'`, `'\x4'`, `'\ud800'`, "[1 2]", "nan", "{0: a}", "1 2",
		"'line\nbreak'", "__import__('os')", strings.Repeat("[", 1000),
	} {
		if v, err := parseLiteral(text); err == nil {
			t.Errorf("%q reads as %v", text, v)
		}
	}
}

func FuzzParseLiteral(f *testing.F) {
	for _, s := range []string{`{0: 'a\'b', 1: "c"}`, "[640, 480]", "(1.5, None, True)", `'\u011f\x41\\'`, "{'k': [1, {2: ()}]}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := parseLiteral(s)
		if err != nil {
			return
		}
		again, err := parseLiteral(repr(v))
		if err != nil || !cmp.Equal(v, again, cmp.AllowUnexported(pair{})) {
			t.Fatalf("%q reads as %#v, which as %s reads as %#v (%v)", s, v, repr(v), again, err)
		}
	})
}

// repr writes a value as Python would.
func repr(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case string:
		var b strings.Builder
		for i := range len(v) {
			switch c := v[i]; {
			case c == '\n':
				b.WriteString(`\n`)
			case c == '\'' || c == '\\':
				b.WriteByte('\\')
				fallthrough
			default:
				b.WriteByte(c)
			}
		}
		return "'" + b.String() + "'"
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = repr(v[i])
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case []pair:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = repr(v[i].key) + ": " + repr(v[i].value)
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1e15 {
			return fmt.Sprintf("%.1f", v)
		}
		return fmt.Sprintf("%g", v)
	default:
		return fmt.Sprint(v)
	}
}

func TestReadSpec_fixtures(t *testing.T) {
	names := []string{"bottle", "can", "driver's cup", `a "lid"`, `straw\pipe`, "bağ", "other"}
	want := map[string]Spec{
		"dynamic": {Classes: names, Width: 96, Height: 96, Stride: 32, Dynamic: true, input: "images", output: "output0"},
		"static":  {Classes: names, Width: 96, Height: 96, Stride: 32, input: "images", output: "output0"},
		"end2end": {Classes: names, Width: 96, Height: 96, Stride: 32, Dynamic: true, input: "images", output: "output0"},
		"half":    {Classes: names, Width: 96, Height: 96, Stride: 32, Dynamic: true, Half: true, input: "images", output: "output0"},
	}
	for name, want := range want {
		got, err := readSpec(read(t, name+".onnx"))
		if err != nil {
			t.Error(name, err)
		} else if d := cmp.Diff(want, got, cmp.AllowUnexported(Spec{}), cmpopts.IgnoreTypes(Port{})); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// model writes just enough of an ONNX file to be judged.
func model(metadata map[string]string, inputs, outputs [][]int64, kind uint64) []byte {
	text := func(p []byte, n protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(p, n, protowire.BytesType), s)
	}
	number := func(p []byte, n protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(p, n, protowire.VarintType), v)
	}
	var graph, out []byte
	ports := func(field protowire.Number, shapes [][]int64, name string) {
		for i, dims := range shapes {
			var shape []byte
			for _, d := range dims {
				var dim []byte
				if d >= 0 {
					dim = number(nil, dimValue, uint64(d))
				}
				shape = text(shape, shapeDim, string(dim))
			}
			tensor := text(number(nil, tensorElement, kind), tensorShape, string(shape))
			value := text(text(nil, valueName, fmt.Sprint(name, i)), valueType, string(text(nil, typeTensor, string(tensor))))
			graph = text(graph, field, string(value))
		}
	}
	ports(graphInput, inputs, "in")
	ports(graphOutput, outputs, "out")
	out = text(out, modelGraph, string(graph))
	for k, v := range metadata {
		out = text(out, modelMetadata, string(text(text(nil, entryKey, k), entryContent, v)))
	}
	return out
}

func TestOpen_refusesWhatIsNoDetector(t *testing.T) {
	names := map[string]string{"names": "{0: 'a', 1: 'b'}"}
	with := func(k, v string) map[string]string { return map[string]string{"names": names["names"], k: v} }
	image, out := [][]int64{{1, 3, 640, 640}}, [][]int64{{1, 6, 8400}}
	for name, c := range map[string]struct {
		model []byte
		code  errs.Code
		says  string
	}{
		"nothing":              {nil, ModelUnreadable, "no ONNX graph"},
		"a photo":              {read(t, "gray.jpg"), ModelUnreadable, "ONNX"},
		"half an export":       {read(t, "dynamic.onnx")[:700], ModelUnreadable, "ONNX"},
		"segmentation":         {model(with("task", "segment"), image, out, onnxFloat), ModelUnsupported, `"segment"`},
		"segmentation, unsaid": {model(names, image, [][]int64{{1, 38, 8400}, {1, 32, 160, 160}}, onnxFloat), ModelUnsupported, "2 outputs"},
		"classification":       {model(names, image, [][]int64{{1, 1000}}, onnxFloat), ModelUnsupported, "[1 1000]"},
		"poses":                {model(with("task", "pose"), image, [][]int64{{1, 57, 8400}}, onnxFloat), ModelUnsupported, `"pose"`},
		"poses, unsaid":        {model(names, image, [][]int64{{1, 57, 8400}}, onnxFloat), ModelUnsupported, "[1 57 8400]"},
		"turned boxes, unsaid": {model(names, image, [][]int64{{1, 7, 8400}}, onnxFloat), ModelUnsupported, "[1, 6, anchors]"},
		"no names":             {model(nil, image, out, onnxFloat), ModelUnsupported, "names"},
		"names of no sense":    {model(map[string]string{"names": "[1, 2]"}, image, out, onnxFloat), ModelUnsupported, "no text"},
		"a gap in the classes": {model(map[string]string{"names": "{0: 'a', 2: 'b'}"}, image, out, onnxFloat), ModelUnsupported, "class 1"},
		"bad stride":           {model(with("stride", "0"), image, out, onnxFloat), ModelUnsupported, "stride"},
		"bad imgsz":            {model(with("imgsz", "[640]"), [][]int64{{1, 3, -1, -1}}, out, onnxFloat), ModelUnsupported, "imgsz"},
		"integers":             {model(names, image, out, 3), ModelUnsupported, "float"},
		"channels last":        {model(names, [][]int64{{1, 640, 640, 3}}, out, onnxFloat), ModelUnsupported, "[1, 3, height, width]"},
		"a batch of eight":     {model(names, [][]int64{{8, 3, 640, 640}}, out, onnxFloat), ModelUnsupported, "[1, 3, height, width]"},
		"a giant input":        {model(names, [][]int64{{1, 3, 65536, 65536}}, out, onnxFloat), ModelUnsupported, "out of range"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(c.model, Options{})
			code, _ := errs.Reason(err)
			if code != c.code || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v (%s), want %s that says %q", err, code, c.code, c.says)
			}
		})
	}
}

func TestOpen_refusesBrokenGraph(t *testing.T) {
	needRuntime(t)
	_, err := Open(model(map[string]string{"names": "['a']"}, [][]int64{{1, 3, 64, 64}}, [][]int64{{1, 5, 84}}, onnxFloat), Options{})
	if code, _ := errs.Reason(err); code != ModelUnreadable {
		t.Errorf("error %v, want %s", err, ModelUnreadable)
	}
}
