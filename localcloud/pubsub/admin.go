package pubsub

import (
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// change runs f under the lock; f checks, applies, and returns the records of
// what it did. change returns once they are durable.
func (s *Server) change(f func() (frame []byte, err error)) error {
	s.mu.Lock()
	err := s.open()
	var frame []byte
	if err == nil {
		frame, err = f()
	}
	if err != nil || len(frame) == 0 {
		s.mu.Unlock()
		return err
	}
	at := s.journal.Append(frame)
	s.mu.Unlock()
	if err := s.commit(at); err != nil {
		return unavailable(err)
	}
	return nil
}

func unsupported(what string) error {
	return status.Errorf(codes.Unimplemented, "the local Pub/Sub has no %s", what)
}

// applyMask copies the fields that mask names from src to dst, of one type.
func applyMask(dst, src proto.Message, mask *fieldmaskpb.FieldMask, immutable ...string) error {
	if len(mask.GetPaths()) == 0 {
		return invalid("update mask is empty: name the fields to change")
	}
	for _, path := range mask.Paths {
		root, _, _ := strings.Cut(path, ".")
		if slices.Contains(immutable, root) {
			return invalid("field %q cannot be changed", path)
		}
		if err := copyField(dst.ProtoReflect(), src.ProtoReflect(), path); err != nil {
			return err
		}
	}
	return nil
}

func copyField(dst, src protoreflect.Message, path string) error {
	name, rest, nested := strings.Cut(path, ".")
	field := dst.Descriptor().Fields().ByName(protoreflect.Name(name))
	if field == nil {
		return invalid("update mask: %s has no field %q", dst.Descriptor().Name(), name)
	}
	if nested {
		if field.Message() == nil || field.IsList() || field.IsMap() {
			return invalid("update mask: %q has no fields of its own", name)
		}
		return copyField(dst.Mutable(field).Message(), src.Get(field).Message(), rest)
	}
	if !src.Has(field) {
		dst.Clear(field)
		return nil
	}
	dst.Set(field, src.Get(field))
	return nil
}
