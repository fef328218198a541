package service

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/litterloop/litterloop/shared/detector"
	"github.com/litterloop/litterloop/shared/errs"
)

// InferRequest is the JSON of an inference request.
type InferRequest struct {
	ID         string            `json:"id,omitempty" doc:"Returned with the answer"`
	Parameters *InferParameters  `json:"parameters,omitempty"`
	Inputs     []InferTensor     `json:"inputs"`
	Outputs    []RequestedOutput `json:"outputs,omitempty" doc:"All when left out"`
}

// InferParameters of a request; others are passed over.
type InferParameters struct {
	BinaryDataOutput bool `json:"binary_data_output,omitempty" doc:"Answer every output as binary data"`
}

// InferTensor is an input, or an output.
type InferTensor struct {
	Name       string            `json:"name"`
	Shape      []int64           `json:"shape"`
	Datatype   string            `json:"datatype" enum:"FP32,FP16"`
	Parameters *TensorParameters `json:"parameters,omitempty"`
	Data       json.RawMessage   `json:"data,omitempty" doc:"Numbers in row-major order, nested or flat; left out when they follow as binary data"`
}

// TensorParameters of the binary tensor data extension.
type TensorParameters struct {
	BinaryDataSize *int `json:"binary_data_size,omitempty" doc:"Bytes of this tensor behind the JSON, in the order of the tensors"`
}

// RequestedOutput names an output.
type RequestedOutput struct {
	Name       string            `json:"name"`
	Parameters *OutputParameters `json:"parameters,omitempty"`
}

// OutputParameters of a requested output.
type OutputParameters struct {
	BinaryData bool `json:"binary_data,omitempty"`
}

// InferResponse is the JSON of the answer.
type InferResponse struct {
	ID           string        `json:"id,omitempty"`
	ModelName    string        `json:"model_name"`
	ModelVersion string        `json:"model_version"`
	Outputs      []InferTensor `json:"outputs"`
}

// headerLength tells how many bytes of a body are JSON; tensors follow.
const headerLength = "Inference-Header-Content-Length"

var inferExample = map[string]any{"inputs": []any{map[string]any{"name": "images", "shape": []int{1, 3, 1, 1}, "datatype": "FP32", "data": []float64{0.1, 0.5, 0.9}}}}

// pathParameters are the names in a route's braces.
func pathParameters(path string) (names []string) {
	for _, m := range regexp.MustCompile(`{(\w+)}`).FindAllStringSubmatch(path, -1) {
		names = append(names, m[1])
	}
	return names
}

func (s *server) oipInfer(ctx context.Context, in *wire) (*huma.StreamResponse, error) {
	m, leave, err := s.enter(ctx)
	if err != nil {
		return protocolFault(err), nil
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	out, err := s.infer(ctx, m, in.request)
	if err != nil {
		return protocolFault(err), nil
	}
	return out, nil
}

func (s *server) infer(ctx context.Context, m *served, r *http.Request) (*huma.StreamResponse, error) {
	if err := m.named(r); err != nil {
		return nil, err
	}
	var body []byte
	err := s.atDesk(ctx, r, func() (err error) {
		body, err = s.body(r)
		return err
	})
	if err != nil {
		return nil, refusal(err)
	}
	defer s.desks.leave()
	input, output := m.Ports()
	req, tensor, err := readInfer(body, r.Header.Get(headerLength), input)
	if err != nil {
		return nil, err
	}
	inBinary := req.Parameters != nil && req.Parameters.BinaryDataOutput
	for _, o := range req.Outputs {
		if o.Name != output.Name {
			return nil, errs.Permanentf(detector.TensorInvalid, "output %q is unknown: the model gives %q", o.Name, output.Name)
		}
		inBinary = inBinary || o.Parameters != nil && o.Parameters.BinaryData
	}
	got, err := m.Infer(ctx, tensor)
	if err != nil {
		return nil, err
	}
	answer := InferResponse{ID: req.ID, ModelName: m.Name, ModelVersion: m.protocolVersion(), Outputs: []InferTensor{{
		Name: output.Name, Shape: got.Shape, Datatype: datatype(output),
	}}}
	if !inBinary {
		if answer.Outputs[0].Data, err = numbers(got.Data, output); err != nil {
			return nil, err
		}
		return reply(answer), nil
	}
	size := len(got.Data)
	answer.Outputs[0].Parameters = &TensorParameters{BinaryDataSize: &size}
	header, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		ctx.SetHeader("Content-Type", "application/octet-stream")
		ctx.SetHeader(headerLength, strconv.Itoa(len(header)))
		ctx.SetHeader("Content-Length", strconv.Itoa(len(header)+size))
		w := ctx.BodyWriter()
		_, _ = w.Write(header) // the client may be gone
		_, _ = w.Write(got.Data)
	}}, nil
}

// body reads a whole body within the service's limit.
func (s *server) body(r *http.Request) ([]byte, error) {
	if err := plain(r); err != nil {
		return nil, err
	}
	if r.ContentLength > s.c.MaxBody {
		return nil, s.oversize()
	}
	p, err := readAll(http.MaxBytesReader(nil, r.Body, s.c.MaxBody), r.ContentLength)
	return p, s.readFault(err)
}

// readInfer takes a request apart: its JSON, and the one input of this model.
func readInfer(body []byte, length string, port detector.Port) (req InferRequest, t detector.Tensor, err error) {
	header, blobs := body, []byte(nil)
	if length != "" {
		n, err := strconv.Atoi(length)
		if err != nil || n < 0 || n > len(body) {
			return req, t, errs.Permanentf(bodyUnreadable, "%s: %s of a body of %d bytes", headerLength, length, len(body))
		}
		header, blobs = body[:n], body[n:]
		if n == 0 { // Triton's shorthand: the whole body is the input
			t = detector.Tensor{Shape: wholeShape(port), Data: blobs}
			req.Parameters = &InferParameters{BinaryDataOutput: true}
			return req, t, nil
		}
	}
	if err := json.Unmarshal(header, &req); err != nil {
		return req, t, errs.Permanentf(bodyUnreadable, "the JSON of the inference request: %w", err)
	}
	if len(req.Inputs) != 1 || req.Inputs[0].Name != port.Name {
		return req, t, errs.Permanentf(detector.TensorInvalid, "%d inputs; the model takes one, %q", len(req.Inputs), port.Name)
	}
	in := req.Inputs[0]
	if want := datatype(port); in.Datatype != want {
		return req, t, errs.Permanentf(detector.TensorInvalid, "input %q is of datatype %q; the model takes %s", in.Name, in.Datatype, want)
	}
	t.Shape = in.Shape
	switch size := in.Parameters; {
	case size != nil && size.BinaryDataSize != nil:
		if len(in.Data) > 0 {
			return req, t, errs.Permanentf(detector.TensorInvalid, "input %q has data in the JSON and behind it", in.Name)
		}
		if *size.BinaryDataSize != len(blobs) {
			return req, t, errs.Permanentf(detector.TensorInvalid, "input %q: binary_data_size is %d where %d bytes follow the JSON", in.Name, *size.BinaryDataSize, len(blobs))
		}
		t.Data = blobs
	case len(blobs) > 0:
		return req, t, errs.Permanentf(detector.TensorInvalid, "%d bytes follow the JSON and belong to no input: give binary_data_size", len(blobs))
	default:
		if t.Data, err = elements(in.Data, port); err != nil {
			return req, t, errs.Permanentf(detector.TensorInvalid, "input %q: %w", in.Name, err)
		}
	}
	return req, t, nil
}

// wholeShape is the model's own shape with a batch of one.
func wholeShape(p detector.Port) []int64 {
	shape := append([]int64(nil), p.Shape...)
	if len(shape) > 0 && shape[0] < 0 {
		shape[0] = 1
	}
	return shape
}

// elements reads numbers, however nested, from valid JSON into the port's type.
func elements(data json.RawMessage, p detector.Port) ([]byte, error) {
	if len(data) == 0 || data[0] != '[' {
		return nil, fmt.Errorf("data is no list of numbers")
	}
	var out []byte
	for len(data) > 0 {
		if bytes.IndexByte([]byte("[], \t\r\n"), data[0]) >= 0 {
			data = data[1:]
			continue
		}
		end := bytes.IndexAny(data, "[], \t\r\n")
		if end < 0 {
			end = len(data)
		}
		v, err := strconv.ParseFloat(string(data[:end]), 32)
		if err != nil {
			return nil, fmt.Errorf("data holds %.40q, which is no number of the model's type", data[:end])
		}
		data = data[end:]
		if p.Half {
			out = binary.LittleEndian.AppendUint16(out, detector.Half(float32(v)))
		} else {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(float32(v)))
		}
	}
	return out, nil
}

// numbers writes a tensor as a flat JSON list.
func numbers(data []byte, p detector.Port) (json.RawMessage, error) {
	out := []byte{'['}
	for i := 0; i < len(data); {
		var v float32
		if p.Half {
			v = detector.FromHalf(binary.LittleEndian.Uint16(data[i:]))
			i += 2
		} else {
			v = math.Float32frombits(binary.LittleEndian.Uint32(data[i:]))
			i += 4
		}
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, errs.Permanentf(detector.TensorInvalid, "the output holds %v, which JSON cannot write: look at the input, or ask for binary data", v)
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = strconv.AppendFloat(out, float64(v), 'g', -1, 32)
	}
	return append(out, ']'), nil
}
