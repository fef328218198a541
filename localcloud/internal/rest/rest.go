// Package rest serves the methods of a gRPC service as the JSON API that Google
// gives each of its services beside it, and answers as that does.
package rest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"

	codepb "google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// MaxBody bounds a request: a publish of 10 MB with its data in base64.
const MaxBody = 16 << 20

// messageOf is a pointer to T that is a protobuf message.
type messageOf[T any] interface {
	*T
	proto.Message
}

// Method turns a method of a service into a handler: into says which message of
// the request the body is, and fill adds what the URL says.
func Method[T any, Q messageOf[T], A proto.Message](call func(context.Context, Q) (A, error), into func(Q) proto.Message, fill func(Q, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := Q(new(T))
		err := read(w, r, into(q))
		if err == nil {
			err = fill(q, r)
		}
		if err != nil {
			Error(w, err)
			return
		}
		answer, err := call(r.Context(), q)
		if err != nil {
			Error(w, err)
			return
		}
		p, err := protojson.Marshal(answer)
		if err != nil {
			Error(w, status.Errorf(codes.Internal, "encode the answer: %v", err))
			return
		}
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(p) // a client that is gone asks again
	}
}

func read(w http.ResponseWriter, r *http.Request, m proto.Message) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "read the request: %v", err)
	}
	if len(body) == 0 {
		return nil
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, m); err != nil {
		return status.Errorf(codes.InvalidArgument, "the request is not the JSON of a %s: %v", m.ProtoReflect().Descriptor().Name(), err)
	}
	return nil
}

const contentType = "application/json; charset=UTF-8"

// Answer writes v as JSON.
func Answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // a client that is gone asks again
}

// httpStatus is google.rpc.Code's mapping to HTTP, for the codes used here.
var httpStatus = map[codes.Code]int{
	codes.InvalidArgument:    http.StatusBadRequest,
	codes.FailedPrecondition: http.StatusBadRequest,
	codes.PermissionDenied:   http.StatusForbidden,
	codes.NotFound:           http.StatusNotFound,
	codes.AlreadyExists:      http.StatusConflict,
	codes.Aborted:            http.StatusConflict,
	codes.Unimplemented:      http.StatusNotImplemented,
	codes.Unavailable:        http.StatusServiceUnavailable,
}

// Error writes a gRPC status as the JSON API does.
func Error(w http.ResponseWriter, err error) {
	st := status.Convert(err)
	code, ok := httpStatus[st.Code()]
	if !ok {
		code = http.StatusInternalServerError
	}
	Answer(w, code, map[string]any{"error": map[string]any{
		"code": code, "message": st.Message(), "status": codepb.Code(st.Code()).String(),
	}})
}
