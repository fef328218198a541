package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/tracking/fault"
)

// maxBody bounds a request's JSON; the largest that MLflow's rules allow, a
// batch of data sets with their profiles, comes close.
const maxBody = 32 << 20

// kind is the type of a request's field, as MLflow's messages define it.
type kind int

const (
	text kind = iota
	integer
	double
	boolean
	enum
	texts   // a list of strings
	objects // a list of objects
)

// field is one field of a request that a handler knows; others are ignored.
type field struct {
	name     string
	kind     kind
	required bool
	max      int64 // of an integer; 0: no limit
}

// request is a request's fields: of the query of a GET, of the JSON body of
// anything else.
type request struct {
	*http.Request
	path   map[string]string // what stands for the {names} of the route
	values map[string]any
}

func parse(r *http.Request, path map[string]string) (*request, error) {
	q := &request{Request: r, path: path, values: map[string]any{}}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil && len(query) == 0 && r.URL.RawQuery != "" {
			return nil, fault.Invalid("Bad Request. The query can't be understood.")
		}
		for name, all := range query {
			q.values[name] = all
		}
		return q, nil
	}
	if r.Method == http.MethodDelete && r.ContentLength == 0 {
		return q, nil // the path says it all
	}
	if media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(strings.ToLower(media)) != "application/json" {
		return nil, fault.Invalid("Bad Request. Content-Type must be one of ['application/json'].")
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, fault.Invalid("Bad Request. The body must be at most %d bytes.", maxBody)
		}
		return nil, fault.Invalid("Bad Request. The body can't be read: %v", err)
	}
	v := decode(body)
	if s, ok := v.(string); ok { // older clients encode twice
		v = decode([]byte(s))
	}
	switch v := v.(type) {
	case map[string]any:
		q.values = v
	case nil: // what is no JSON is taken for an empty message
	default:
		return nil, fault.Invalid("Bad Request. The body must be a JSON object.")
	}
	return q, nil
}

func decode(body []byte) any {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil || d.More() {
		return nil
	}
	return v
}

// get is a field's value, nil when absent. In a query a repeated field is a list
// and any other its first value.
func (q *request) get(name string) any {
	v, ok := q.values[name]
	if !ok && name == "run_id" {
		v = q.values["run_uuid"]
	}
	if all, ok := v.([]string); ok {
		return all[0]
	}
	return v
}

// check validates the fields as MLflow does: types only matter when one of all
// fields has a wrong one.
func (q *request) check(fields ...field) error {
	typed := true
	for _, f := range fields {
		typed = typed && q.typed(f)
	}
	for _, f := range fields {
		v := q.get(f.name)
		missing := v == nil || v == ""
		if f.required && (v == nil || missing && f.kind != objects && f.kind != texts) {
			return fault.Invalid("Missing value for required parameter '%s'. See the API docs for more information about request parameters.", f.name)
		}
		if v == nil {
			continue
		}
		if !typed && !q.typed(f) && f.kind != enum || f.max > 0 && q.above(f, v) {
			return fault.Invalid("Invalid value %s for parameter '%s' supplied:  Hint: Value was of type '%s'. See the API docs for more information about request parameters.",
				literal(v), f.name, pythonType(v))
		}
	}
	return nil
}

func (q *request) above(f field, v any) bool {
	n, ok := toInt(v)
	return ok && n > f.max
}

// typed tells whether a field has the right type, or is absent.
func (q *request) typed(f field) bool {
	v := q.get(f.name)
	if v == nil {
		return true
	}
	switch f.kind {
	case text:
		_, ok := v.(string)
		return ok
	case integer:
		_, ok := toInt(v)
		return ok
	case double:
		_, ok := toFloat(v)
		return ok
	case boolean:
		_, ok := toBool(v)
		return ok
	case texts:
		if _, ok := q.values[f.name].([]string); ok {
			return true
		}
		all, ok := v.([]any)
		for _, e := range all {
			_, isText := e.(string)
			ok = ok && isText
		}
		return ok
	case objects:
		all, ok := v.([]any)
		for _, e := range all {
			_, isObject := e.(map[string]any)
			ok = ok && isObject
		}
		return ok
	}
	return true
}

func (q *request) text(name string) string {
	s, _ := q.get(name).(string)
	return s
}

// int is a field's value, or otherwise when it is absent.
func (q *request) int(name string, otherwise int64) int64 {
	if n, ok := toInt(q.get(name)); ok {
		return n
	}
	return otherwise
}

func (q *request) float(name string) float64 {
	f, _ := toFloat(q.get(name))
	return f
}

func (q *request) bool(name string) bool {
	b, _ := toBool(q.get(name))
	return b
}

func (q *request) texts(name string) (all []string) {
	switch v := q.values[name].(type) {
	case []string:
		return v
	case []any:
		for _, e := range v {
			if s, ok := e.(string); ok {
				all = append(all, s)
			}
		}
	}
	return all
}

func (q *request) objects(name string) (all []object) {
	v, _ := q.values[name].([]any)
	for _, e := range v {
		if o, ok := e.(map[string]any); ok {
			all = append(all, o)
		}
	}
	return all
}

// page is the part of a search that the request wants.
func (q *request) page(otherwise int64) tracking.Page {
	return tracking.Page{Max: int(min(max(q.int("max_results", otherwise), math.MinInt32), math.MaxInt32)), Token: q.text("page_token")}
}

// object is an object within a request.
type object map[string]any

func (o object) text(name string) string {
	s, _ := o[name].(string)
	return s
}

func (o object) object(name string) object {
	v, _ := o[name].(map[string]any)
	return v
}

func (o object) objects(name string) []object {
	return (&request{values: o}).objects(name)
}

// pairs are the keys and values of a list of tags or parameters; of equal keys
// the last counts.
func pairs(all []object) map[string]string {
	m := map[string]string{}
	for _, o := range all {
		m[o.text("key")] = o.text("value")
	}
	return m
}

func tags(all []object) (list []tracking.Tag) {
	for _, o := range all {
		list = append(list, tracking.Tag{Key: o.text("key"), Value: o.text("value")})
	}
	return list
}

// checkPairs refuses pairs without a key, and values that are no strings.
func (q *request) checkPairs(name string) error {
	for i, o := range q.objects(name) {
		if o["key"] == nil || o["key"] == "" {
			return missingIn("%s[%d].key", name, i)
		}
		for _, part := range []string{"key", "value"} {
			if _, ok := o[part].(string); !ok && o[part] != nil {
				return fault.Invalid("Invalid value %s for parameter '%s[%d].%s' supplied.", literal(o[part]), name, i, part)
			}
		}
	}
	return nil
}

func missingIn(format, name string, i int) error {
	return fault.Invalid("Missing value for required parameter '"+format+"'. See the API docs for more information about request parameters.", name, i)
}

func toInt(v any) (int64, bool) {
	var s string
	switch v := v.(type) {
	case json.Number:
		s = v.String()
	case string:
		s = v
	default:
		return 0, false
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<63 {
		return 0, false
	}
	return int64(f), true
}

func toFloat(v any) (float64, bool) {
	var s string
	switch v := v.(type) {
	case json.Number:
		s = v.String()
	case string:
		s = v
	default:
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	if errors.Is(err, strconv.ErrRange) { // beyond a double: infinite, or nothing
		return f, true
	}
	return f, err == nil
}

func toBool(v any) (bool, bool) {
	switch v := v.(type) {
	case bool:
		return v, true
	case string:
		b := strings.ToLower(v)
		return b == "true", b == "true" || b == "false"
	}
	return false, false
}

// literal is a value as MLflow's messages show it: JSON without spaces.
func literal(v any) string {
	p, err := json.Marshal(v)
	if err != nil {
		return "null"
	}
	return string(p)
}

func pythonType(v any) string {
	switch v := v.(type) {
	case string:
		return "str"
	case bool:
		return "bool"
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "float"
		}
		return "int"
	case []any:
		return "list"
	case map[string]any:
		return "dict"
	}
	return "NoneType"
}
