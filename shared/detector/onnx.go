package detector

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// graph is what the file of a model says about itself. It is read straight from
// the protobuf, which costs microseconds where a session costs a tenth of a
// second, and lets a model be refused in words before ONNX Runtime sees it.
type graph struct {
	inputs, outputs []port
	metadata        map[string]string
}

// port is an input or output of the graph. A dimension is -1 where it is
// dynamic.
type port struct {
	name string
	kind int64 // TensorProto.DataType
	dims []int64
}

// TensorProto.DataType
const (
	onnxFloat   = 1
	onnxFloat16 = 10
)

// Field numbers of onnx.proto.
const (
	modelGraph, modelMetadata                  = 7, 14
	graphInitializer, graphInput, graphOutput  = 5, 11, 12
	initializerName                            = 8
	valueName, valueType                       = 1, 2
	typeTensor, tensorElement, tensorShape     = 1, 1, 2
	shapeDim, dimValue, entryKey, entryContent = 1, 1, 1, 2
)

func readGraph(model []byte) (graph, error) {
	g := graph{metadata: map[string]string{}}
	weights := map[string]bool{} // old exports list their weights among the inputs
	err := fields(model, func(n protowire.Number, p []byte, _ uint64) error {
		switch n {
		case modelGraph:
			return fields(p, func(n protowire.Number, p []byte, _ uint64) error {
				switch n {
				case graphInput, graphOutput:
					v, err := readPort(p)
					if n == graphInput {
						g.inputs = append(g.inputs, v)
					} else {
						g.outputs = append(g.outputs, v)
					}
					return err
				case graphInitializer:
					return fields(p, func(n protowire.Number, p []byte, _ uint64) error {
						if n == initializerName {
							weights[string(p)] = true
						}
						return nil
					})
				}
				return nil
			})
		case modelMetadata:
			var entry [3]string
			err := fields(p, func(n protowire.Number, p []byte, _ uint64) error {
				if n == entryKey || n == entryContent {
					entry[n] = string(p)
				}
				return nil
			})
			g.metadata[entry[entryKey]] = entry[entryContent]
			return err
		}
		return nil
	})
	if err != nil {
		return graph{}, err
	}
	var inputs []port
	for _, in := range g.inputs {
		if !weights[in.name] {
			inputs = append(inputs, in)
		}
	}
	g.inputs = inputs
	if len(g.inputs) == 0 || len(g.outputs) == 0 {
		return graph{}, errors.New("no ONNX graph with inputs and outputs")
	}
	return g, nil
}

func readPort(p []byte) (v port, err error) {
	err = fields(p, func(n protowire.Number, p []byte, _ uint64) error {
		switch n {
		case valueName:
			v.name = string(p)
		case valueType:
			return fields(p, func(n protowire.Number, p []byte, _ uint64) error {
				if n != typeTensor {
					return nil
				}
				return fields(p, func(n protowire.Number, p []byte, x uint64) error {
					switch n {
					case tensorElement:
						v.kind = int64(x)
					case tensorShape:
						return fields(p, func(n protowire.Number, p []byte, _ uint64) error {
							if n != shapeDim {
								return nil
							}
							dim := int64(-1)
							err := fields(p, func(n protowire.Number, _ []byte, x uint64) error {
								if n == dimValue {
									dim = int64(x)
								}
								return nil
							})
							v.dims = append(v.dims, dim)
							return err
						})
					}
					return nil
				})
			})
		}
		return nil
	})
	return v, err
}

// fields calls f for every field of a message: p is the content of a
// length-delimited one, x the value of a varint.
func fields(message []byte, f func(n protowire.Number, p []byte, x uint64) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return fmt.Errorf("not an ONNX file: %w", protowire.ParseError(n))
		}
		message = message[n:]
		var p []byte
		var x uint64
		switch kind {
		case protowire.BytesType:
			p, n = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			x, n = protowire.ConsumeVarint(message)
		default:
			n = protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 {
			return fmt.Errorf("not an ONNX file: %w", protowire.ParseError(n))
		}
		message = message[n:]
		if err := f(number, p, x); err != nil {
			return err
		}
	}
	return nil
}

// withFloatOutput makes a model also give the output name, of float16, as
// float32 under the name that is returned: the binding cannot read float16.
// Protocol buffers merge: a second graph behind the first adds to it.
func withFloatOutput(model []byte, name string) (wider []byte, output string) {
	const (
		graphNode                               = 1
		nodeInput, nodeOutput, nodeOp, nodeAttr = 1, 2, 4, 5
		attrName, attrInt, attrType, typeInt    = 1, 3, 20, 2
	)
	text := func(p []byte, n protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(p, n, protowire.BytesType), s)
	}
	number := func(p []byte, n protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(p, n, protowire.VarintType), v)
	}
	output = name + "_float32"
	to := number(number(text(nil, attrName, "to"), attrInt, onnxFloat), attrType, typeInt)
	cast := text(text(text(nil, nodeInput, name), nodeOutput, output), nodeOp, "Cast")
	cast = text(cast, nodeAttr, string(to))
	kind := text(nil, typeTensor, string(number(nil, tensorElement, onnxFloat)))
	value := text(text(nil, valueName, output), valueType, string(kind))
	extra := text(text(nil, graphNode, string(cast)), graphOutput, string(value))
	return text(model[:len(model):len(model)], modelGraph, string(extra)), output
}
