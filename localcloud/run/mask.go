package run

import (
	"strings"

	"cloud.google.com/go/run/apiv2/runpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// masked is the declared service after an update: want whole, or old with the
// fields of the mask taken from want.
func masked(old, want *runpb.Service, mask *fieldmaskpb.FieldMask) (*runpb.Service, error) {
	if len(mask.GetPaths()) == 0 || mask.Paths[0] == "*" {
		return want, nil
	}
	if !mask.IsValid(old) {
		return nil, status.Errorf(codes.InvalidArgument, "update mask %v names a field that services do not have", mask.Paths)
	}
	out := proto.CloneOf(old)
	for _, path := range mask.Paths {
		copyField(out.ProtoReflect(), proto.CloneOf(want).ProtoReflect(), strings.Split(path, "."))
	}
	return out, nil
}

// copyField sets the field at path of dst to that of src, or clears it where
// src has none.
func copyField(dst, src protoreflect.Message, path []string) {
	f := dst.Descriptor().Fields().ByName(protoreflect.Name(path[0]))
	switch {
	case len(path) > 1:
		copyField(dst.Mutable(f).Message(), src.Get(f).Message(), path[1:])
	case src.Has(f):
		dst.Set(f, src.Get(f))
	default:
		dst.Clear(f)
	}
}
