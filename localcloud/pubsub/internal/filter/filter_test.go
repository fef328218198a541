package filter_test

import (
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/pstest"
	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/localcloud/pubsub/internal/filter"
)

// messages by what is remarkable about their attributes.
var messages = map[string]map[string]string{
	"finalize photo": {"eventType": "OBJECT_FINALIZE", "objectId": "batch/photo 1.jpg"},
	"finalize label": {"eventType": "OBJECT_FINALIZE", "objectId": "batch/annotations.json"},
	"delete photo":   {"eventType": "OBJECT_DELETE", "objectId": "batch/photo 1.jpg"},
	"none":           {},
	"empty value":    {"eventType": ""},
	"quote":          {"name": `contains"quote`},
	"unicode":        {"みんな": "x"},
}

func TestParse(t *testing.T) {
	tests := []struct {
		filter string
		want   []string
	}{
		{``, []string{"delete photo", "empty value", "finalize label", "finalize photo", "none", "quote", "unicode"}},
		{`attributes:eventType`, []string{"delete photo", "empty value", "finalize label", "finalize photo"}},
		{`NOT attributes:eventType`, []string{"none", "quote", "unicode"}},
		{`-attributes:eventType`, []string{"none", "quote", "unicode"}},
		{`attributes.eventType = "OBJECT_FINALIZE"`, []string{"finalize label", "finalize photo"}},
		{`attributes.eventType=""`, []string{"empty value"}},
		// A message without the attribute differs from every value.
		{`attributes.eventType != "OBJECT_FINALIZE"`, []string{"delete photo", "empty value", "none", "quote", "unicode"}},
		{`hasPrefix(attributes.objectId, "batch/photo")`, []string{"delete photo", "finalize photo"}},
		{`attributes.eventType = "OBJECT_FINALIZE" AND hasPrefix(attributes.objectId, "batch/a")`, []string{"finalize label"}},
		{`attributes.name = "contains\"quote" OR attributes:"みんな"`, []string{"quote", "unicode"}},
		{`attributes:eventType AND NOT (attributes.eventType = "OBJECT_FINALIZE" OR attributes.eventType = "")`, []string{"delete photo"}},
		{`attributes:eventType AND (attributes.eventType = "" OR attributes.eventType = "OBJECT_DELETE")`, []string{"delete photo", "empty value"}},
		{`NOT NOT attributes:name`, []string{"quote"}},
	}
	for _, tt := range tests {
		t.Run(tt.filter, func(t *testing.T) {
			f, err := filter.Parse(tt.filter)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, matched(f)); diff != "" {
				t.Errorf("matched (-want +got):\n%s", diff)
			}
			if err := pstest.ValidateFilter(tt.filter); err != nil && tt.filter != "" {
				t.Errorf("Google's fake refuses it: %v", err)
			}
		})
	}
}

func matched(f filter.Filter) []string {
	var names []string
	for _, n := range []string{"delete photo", "empty value", "finalize label", "finalize photo", "none", "quote", "unicode"} {
		if f.Match(messages[n]) {
			names = append(names, n)
		}
	}
	return names
}

func TestParse_faults(t *testing.T) {
	tests := map[string]struct{ filter, want string }{
		"no value":           {`attributes.name =`, "ends at byte 17"},
		"bare value":         {`attributes.name = com`, "in double quotes"},
		"unknown character":  {`attributes.name = $`, "at byte 18"},
		"open parenthesis":   {`(attributes:name`, `")"`},
		"one argument":       {`hasPrefix(attributes.name)`, `","`},
		"trailing":           {`attributes:name attributes:other`, "expected AND, OR or the end"},
		"AND with OR":        {`attributes:a AND attributes:b OR attributes:c`, "parentheses"},
		"string without end": {`attributes.name = "com`, "string without an end"},
		"not an attribute":   {`data = "x"`, "expected attributes"},
		"too long":           {`attributes.name = "` + strings.Repeat("x", 256) + `"`, "at most 256"},
		"lower case and":     {`attributes:a and attributes:b`, "expected AND, OR or the end"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := filter.Parse(tt.filter)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse(%s) = %v, want an error with %q", tt.filter, err, tt.want)
			}
		})
	}
}

// FuzzParse: no filter panics, a filter and its negation never agree, and what
// we take Google's own fake takes too.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`attributes:k`, `attributes.k = "v"`, `attributes.k != "v" AND NOT attributes:"a b"`,
		`hasPrefix(attributes.k, "p") OR (-attributes:k)`, `((`, `"`, `attributes.k = "\u00e9\x00"`, `attributes.k="` + "\xff" + `"`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := filter.Parse(s)
		if err != nil {
			return
		}
		if negated, err := filter.Parse("NOT (" + s + ")"); err == nil {
			for _, m := range messages {
				if got.Match(m) == negated.Match(m) {
					t.Errorf("%q and its negation agree on %v", s, m)
				}
			}
		}
		if got == nil || strings.ContainsAny(s, "\".") { // the fake cannot read quoted keys after a dot
			return
		}
		if err := pstest.ValidateFilter(s); err != nil {
			t.Errorf("taken here, refused by Google's fake: %q: %v", s, err)
		}
	})
}
