package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/invopop/jsonschema"

	"github.com/litterloop/litterloop/shared/rollout"
)

var update = flag.Bool("update", false, "write litterloop.schema.json anew")

// made is the schema of the types as they are, with their comments and defaults.
func made(t *testing.T) []byte {
	t.Helper()
	r := jsonschema.Reflector{
		Anonymous: true, DoNotReference: true, RequiredFromJSONSchemaTags: true, FieldNameTag: "yaml",
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			switch t {
			case reflect.TypeFor[time.Duration](), reflect.TypeFor[rollout.Duration]():
				return &jsonschema.Schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$|^0$`, Examples: []any{"90s", "24h"}}
			case reflect.TypeFor[Recipe]():
				return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "string"}, {Type: "object"}}}
			}
			return nil
		},
	}
	// Comments are looked up by the directory of a package.
	old, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chdir(filepath.Join(old, "..", "..")); err != nil {
		t.Fatal(err)
	}
	defer os.Chdir(old)
	if err := r.AddGoComments("github.com/litterloop/litterloop", "./shared", jsonschema.WithFullComment()); err != nil {
		t.Fatal(err)
	}
	s := r.Reflect(Policy{})
	s.Title, s.Description = Object, "What people may tune of a Litterloop deployment. Every key has a default."
	defaults(t, s, reflect.ValueOf(Default()))
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

// defaults writes the default of each key into its schema.
func defaults(t *testing.T, s *jsonschema.Schema, v reflect.Value) {
	t.Helper()
	said := s.Description // a comment on a group of fields stands before the first of them
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if f.Anonymous && strings.Contains(options, "inline") {
			defaults(t, s, v.Field(i))
			continue
		}
		property, ok := s.Properties.Get(name)
		if !ok {
			t.Fatalf("%s.%s has no schema", v.Type(), f.Name)
		}
		if property.Description = strings.Join(strings.Fields(property.Description), " "); property.Description == "" {
			property.Description = said
		}
		said = property.Description
		switch value := v.Field(i).Interface().(type) {
		case time.Duration:
			property.Default = value.String()
		case rollout.Duration:
			property.Default = time.Duration(value).String()
		case Recipe:
			property.Default = "scratch"
		default:
			if property.Type == "object" && property.Properties.Len() > 0 {
				defaults(t, property, v.Field(i))
			} else if !v.Field(i).IsZero() {
				property.Default = value
			}
		}
	}
}

func TestSchema_isThatOfTheTypes(t *testing.T) {
	want := made(t)
	if *update {
		if err := os.WriteFile("litterloop.schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(want, Schema) {
		t.Errorf("litterloop.schema.json is old; write it with `go test ./shared/config -run Schema -update`:\n%s", cmp.Diff(string(Schema), string(want)))
	}
}

// A key without a word of explanation is no use in an editor.
func TestSchema_explainsEveryKey(t *testing.T) {
	var root jsonschema.Schema
	if err := json.Unmarshal(Schema, &root); err != nil {
		t.Fatal(err)
	}
	var walk func(at string, s *jsonschema.Schema)
	walk = func(at string, s *jsonschema.Schema) {
		for p := s.Properties.Oldest(); p != nil; p = p.Next() {
			if name := at + p.Key; p.Value.Type == "object" && p.Value.Properties.Len() > 0 {
				walk(name+".", p.Value)
			} else if p.Value.Description == "" {
				t.Errorf("%s has no description", name)
			}
		}
	}
	walk("", &root)
}
