package controlplane

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/litterloop/litterloop/localcloud/internal/rest"
)

// kind is a kind of resource: created in a collection, read, changed and deleted
// by its name. What a client sent is what it reads back; the provider plans a
// change for whatever differs.
type kind struct {
	path string // the collection's, as a pattern of net/http: /monitoring/v3/projects/{project}/alertPolicies
	id   string // query parameter with the new resource's id; else body, or "" for one that the server makes
	// operations: calls are answered with a finished operation.
	operations bool
	// replaces: a change without a mask puts the body in the resource's place;
	// otherwise it adds to it.
	replaces bool
	// unwrap is the field of the body that holds the resource, and updateMask
	// stands beside it.
	unwrap string
	// name of a resource of the collection; nil is the collection's own name
	// and the id.
	name func(s *Server, r *http.Request, body document) (string, error)
	// adds what the server decides of a resource.
	adds func(s *Server, doc document)
	// apply makes declared what doc says, and remove undoes it; nil: nothing is
	// to be done beside keeping the resource.
	apply  func(ctx context.Context, s *Server, doc document) error
	remove func(ctx context.Context, s *Server, name string) error
	// verbs are methods such as :resume, by "METHOD verb".
	verbs map[string]func(ctx context.Context, s *Server, name string, doc document) (any, error)
}

// fromBody is the id of resources that name themselves.
const fromBody = "body"

func (k kind) register(s *Server) {
	s.mux.HandleFunc("POST "+k.path, k.answer(s, k.create))
	s.mux.HandleFunc("GET "+k.path, k.answer(s, k.list))
	s.mux.HandleFunc(k.path+"/{id}", k.answer(s, k.one))
}

// answer writes what a handler returns.
func (k kind) answer(s *Server, handle func(*Server, *http.Request, document) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := decode(w, r)
		var result any
		if err == nil {
			result, err = handle(s, r, body)
		}
		if err != nil {
			s.o.Log.WarnContext(r.Context(), "control plane refused", "method", r.Method, "path", r.URL.Path, "error", err)
			rest.Error(w, err)
			return
		}
		rest.Answer(w, http.StatusOK, result)
	}
}

func decode(w http.ResponseWriter, r *http.Request) (document, error) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, rest.MaxBody))
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "read the request: %v", err)
	}
	body := document{}
	if len(strings.TrimSpace(string(text))) == 0 {
		return body, nil
	}
	if err := json.Unmarshal(text, &body); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "the request is not a JSON object: %v", err)
	}
	return body, nil
}

// collection is the name that a collection's resources begin with: its path
// without the API and its version.
func collection(r *http.Request) string {
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 3)
	return parts[len(parts)-1]
}

func (k kind) create(s *Server, r *http.Request, body document) (any, error) {
	doc := body
	if k.unwrap != "" {
		doc, _ = body[k.unwrap].(document)
		if doc == nil {
			doc = document{}
		}
	}
	name, err := k.newName(s, r, body)
	if err != nil {
		return nil, err
	}
	if doc, err = s.docs.update(name, func(old document) (document, error) {
		if old != nil {
			return nil, status.Errorf(codes.AlreadyExists, "%s exists", name)
		}
		doc["name"] = name
		doc["createTime"] = s.o.Now().UTC().Format(time.RFC3339Nano)
		if k.adds != nil {
			k.adds(s, doc)
		}
		return doc, k.applied(r.Context(), s, doc)
	}); err != nil {
		return nil, err
	}
	return k.finished(name, "create", doc), nil
}

func (k kind) newName(s *Server, r *http.Request, body document) (string, error) {
	if k.name != nil {
		return k.name(s, r, body)
	}
	var id string
	switch k.id {
	case "":
		id = fmt.Sprint(s.o.Now().UnixNano())
	case fromBody:
		named, _ := body["name"].(string)
		id = named[strings.LastIndex(named, "/")+1:]
	default:
		id = r.URL.Query().Get(k.id)
	}
	if id == "" {
		return "", status.Errorf(codes.InvalidArgument, "%s: the new resource has no id", r.URL.Path)
	}
	return collection(r) + "/" + id, nil
}

func (k kind) list(s *Server, r *http.Request, _ document) (any, error) {
	prefix := collection(r) + "/"
	items := []document{}
	for _, name := range s.docs.under(prefix) {
		if doc, ok := s.docs.get(name); ok && !strings.Contains(name[len(prefix):], "/") {
			items = append(items, doc)
		}
	}
	return document{prefix[strings.LastIndex(prefix[:len(prefix)-1], "/")+1 : len(prefix)-1]: items}, nil
}

// one serves a resource.
func (k kind) one(s *Server, r *http.Request, body document) (any, error) {
	name, verb, _ := strings.Cut(collection(r), ":")
	if k.name != nil {
		var err error
		if name, err = k.name(s, r, nil); err != nil {
			return nil, err
		}
	}
	doc, ok := s.docs.get(name)
	if !ok {
		return nil, status.Errorf(codes.NotFound, "%s not found", name)
	}
	if verb != "" {
		do := k.verbs[r.Method+" "+verb]
		if do == nil {
			return nil, status.Errorf(codes.Unimplemented, "the local cloud does not serve %s %s", r.Method, r.URL.Path)
		}
		return do(r.Context(), s, name, doc)
	}
	switch r.Method {
	case http.MethodGet:
		return doc, nil
	case http.MethodPatch:
		return k.patch(s, r, name, body)
	case http.MethodDelete:
		if k.remove != nil {
			if err := k.remove(r.Context(), s, name); err != nil {
				return nil, err
			}
		}
		if _, err := s.docs.update(name, func(document) (document, error) { return nil, nil }); err != nil {
			return nil, err
		}
		return k.finished(name, "delete", document{}), s.forget(name)
	}
	return nil, status.Errorf(codes.Unimplemented, "the local cloud does not serve %s %s", r.Method, r.URL.Path)
}

func (k kind) patch(s *Server, r *http.Request, name string, body document) (any, error) {
	said, mask := body, r.URL.Query().Get("updateMask")
	if k.unwrap != "" {
		said, _ = body[k.unwrap].(document)
		if m, ok := body["updateMask"].(string); ok {
			mask = m
		}
	}
	doc, err := s.docs.update(name, func(doc document) (document, error) {
		if doc == nil {
			return nil, status.Errorf(codes.NotFound, "%s not found", name)
		}
		doc = k.merged(doc, said, mask)
		doc["name"] = name
		if k.adds != nil {
			k.adds(s, doc)
		}
		return doc, k.applied(r.Context(), s, doc)
	})
	if err != nil {
		return nil, err
	}
	return k.finished(name, "update", doc), nil
}

// merged is doc after a change: of the mask's fields, or of all that was said.
func (k kind) merged(doc, said document, mask string) document {
	fields := make([]string, 0, len(said))
	for f := range said {
		fields = append(fields, f)
	}
	if mask != "" {
		fields = fields[:0]
		for f := range strings.SplitSeq(mask, ",") {
			top, _, _ := strings.Cut(f, ".")
			fields = append(fields, camel(top))
		}
	} else if k.replaces {
		created := doc["createTime"]
		doc = document{"createTime": created}
	}
	for _, f := range fields {
		if v, ok := said[f]; ok && v != nil {
			doc[f] = v
		} else {
			delete(doc, f)
		}
	}
	return doc
}

// camel is a mask's field as JSON names it: display_name is displayName.
func camel(field string) string {
	parts := strings.Split(field, "_")
	for i, p := range parts[1:] {
		if p != "" {
			parts[i+1] = strings.ToUpper(p[:1]) + p[1:]
		}
	}
	return strings.Join(parts, "")
}

func (k kind) applied(ctx context.Context, s *Server, doc document) error {
	if k.apply == nil {
		return nil
	}
	err := k.apply(ctx, s, doc)
	if _, known := status.FromError(err); !known {
		return status.Errorf(codes.InvalidArgument, "%s: %v", doc["name"], err)
	}
	return err
}

// finished is the answer to a call that took effect.
func (k kind) finished(name, verb string, doc document) document {
	if !k.operations {
		return doc
	}
	parent := name
	if i := strings.LastIndex(name, "/"); i > 0 {
		parent = name[:strings.LastIndex(name[:i], "/")]
	}
	return document{
		"name": parent + "/operations/" + verb + "-" + name[strings.LastIndex(name, "/")+1:], "done": true,
		"metadata": document{"target": name}, "response": doc,
	}
}
