package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/litterloop/litterloop/shared/detector"
	"github.com/litterloop/litterloop/shared/errs"
)

// The Open Inference Protocol, version 2, for raw tensors: what KServe's and
// Triton's clients speak.
// https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md

// ServerMetadata answers GET /v2.
type ServerMetadata struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

// ServerLive answers GET /v2/health/live.
type ServerLive struct {
	Live bool `json:"live"`
}

// ServerReady answers GET /v2/health/ready.
type ServerReady struct {
	Ready bool `json:"ready"`
}

// ModelMetadata answers GET /v2/models/{name}.
type ModelMetadata struct {
	Name     string           `json:"name"`
	Versions []string         `json:"versions"`
	Platform string           `json:"platform"`
	Inputs   []TensorMetadata `json:"inputs"`
	Outputs  []TensorMetadata `json:"outputs"`
}

// TensorMetadata is an input or output, as the model's file declares it.
type TensorMetadata struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype" enum:"FP32,FP16"`
	Shape    []int64 `json:"shape" doc:"-1 where any size is taken"`
}

// ModelReady answers GET /v2/models/{name}/ready.
type ModelReady struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
}

// ProtocolError is how this protocol tells of a failure.
type ProtocolError struct {
	Error string `json:"error"`
}

// wire is a request whose handler reads everything itself.
type wire struct{ request *http.Request }

// Resolve keeps the request.
func (w *wire) Resolve(ctx huma.Context) []error {
	w.request, _ = humago.Unwrap(ctx)
	return nil
}

// registerOIP adds the protocol's routes.
func (s *server) registerOIP(api huma.API) {
	get := func(id, path, summary string, answer any, h func(context.Context, *wire) (*huma.StreamResponse, error)) {
		huma.Register(api, oipOperation(api, id, http.MethodGet, path, summary, answer), h)
	}
	live := func(context.Context, *wire) (*huma.StreamResponse, error) {
		return reply(ServerLive{true}), nil
	}
	ready := func(context.Context, *wire) (*huma.StreamResponse, error) {
		select {
		case <-s.stage.first:
			return reply(ServerReady{true}), nil
		default:
			return protocolFault(fmt.Errorf("%w: the model is being loaded", errs.Unavailable)), nil
		}
	}
	get("oip-server", "/v2", "The server and its extensions", ServerMetadata{}, func(context.Context, *wire) (*huma.StreamResponse, error) {
		return reply(ServerMetadata{"litterloop", "1", []string{"binary_tensor_data"}}), nil
	})
	get("oip-live", "/v2/health/live", "Alive", ServerLive{}, live)
	get("oip-ready", "/v2/health/ready", "The server is ready", ServerReady{}, ready)
	for _, route := range []struct{ id, of, path string }{{"", "", "/v2/models/{name}"}, {"-version", ", of a version", "/v2/models/{name}/versions/{version}"}} {
		get("oip-model"+route.id, route.path, "The model's tensors"+route.of, ModelMetadata{}, s.oipModel)
		get("oip-model-ready"+route.id, route.path+"/ready", "The model is ready"+route.of, ModelReady{}, s.oipModelReady)
		infer := oipOperation(api, "oip-infer"+route.id, http.MethodPost, route.path+"/infer", "Run the model on raw tensors"+route.of, InferResponse{})
		infer.Description = "For callers that prepare the input and read the output themselves; nothing is logged. Tensors stand in the JSON, or behind it with the binary tensor data extension (Inference-Header-Content-Length)."
		huma.Register(api, infer, s.oipInfer)
		api.OpenAPI().Paths[route.path+"/infer"].Post.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/json":         {Schema: schema(api, InferRequest{}), Example: inferExample},
			"application/octet-stream": bytesMedia(),
		}}
	}
}

// oipOperation documents an operation, its errors in the protocol's own form.
func oipOperation(api huma.API, id, method, path, summary string, answer any) huma.Operation {
	o := huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{"Open Inference Protocol"}}
	text := huma.Schema{Type: "string"}
	for _, p := range pathParameters(path) {
		o.Parameters = append(o.Parameters, &huma.Param{Name: p, In: "path", Required: true, Schema: &text})
	}
	o.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
		"application/json": {Schema: schema(api, answer), Example: oipExamples[reflect.TypeOf(answer)]},
	}}}
	codes := map[string]string{"503": "The model is not ready yet"}
	if len(o.Parameters) > 0 {
		codes["404"], codes["504"] = "Another model is served here", "No answer in time"
	}
	if method == http.MethodPost {
		o.Responses["200"].Content["application/octet-stream"] = bytesMedia()
		for code, what := range map[string]string{
			"400": "The request cannot be read, or its tensor is none that the model takes", "408": "The body did not arrive in time", "413": "The body is too large",
			"415": "An encoding of the body that is not supported", "429": "Too many requests, or slow uploads, at once", "500": "A fault of the service or its model; its log says more",
		} {
			codes[code] = what
		}
	}
	for code, what := range codes {
		o.Responses[code] = &huma.Response{Description: what, Content: map[string]*huma.MediaType{"application/json": {
			Schema: schema(api, ProtocolError{}), Example: map[string]any{"error": strings.ToLower(what)},
		}}}
	}
	return o
}

// oipExamples are what the protocol's operations answer, by the types.
var oipExamples = map[reflect.Type]any{
	reflect.TypeFor[ServerMetadata](): map[string]any{"name": "litterloop", "version": "1", "extensions": []any{"binary_tensor_data"}},
	reflect.TypeFor[ServerLive]():     map[string]any{"live": true},
	reflect.TypeFor[ServerReady]():    map[string]any{"ready": true},
	reflect.TypeFor[ModelReady]():     map[string]any{"name": "litter", "ready": true},
	reflect.TypeFor[ModelMetadata](): map[string]any{
		"name": "litter", "versions": []any{"4"}, "platform": "onnxruntime_onnx",
		"inputs":  []any{map[string]any{"name": "images", "datatype": "FP32", "shape": []any{-1, 3, -1, -1}}},
		"outputs": []any{map[string]any{"name": "output0", "datatype": "FP32", "shape": []any{-1, 64, -1}}},
	},
	reflect.TypeFor[InferResponse](): map[string]any{
		"model_name": "litter", "model_version": "4",
		"outputs": []any{map[string]any{"name": "output0", "datatype": "FP32", "shape": []any{1, 5, 1}, "data": []any{12.5, 30.25, 8, 9.5, 0.87}}},
	},
}

// protocolFault is an error in the protocol's form.
func protocolFault(err error) *huma.StreamResponse {
	var p *Problem
	if !errors.As(err, &p) {
		p = problem(err)
	}
	header := http.Header{}
	var with huma.HeadersError
	if errors.As(err, &with) {
		header = with.GetHeaders()
	}
	status := p.Status
	if p.Code == string(detector.TensorInvalid) {
		status = http.StatusBadRequest // which both servers answer
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		for k, values := range header {
			for _, v := range values {
				ctx.AppendHeader(k, v)
			}
		}
		ctx.SetHeader("Content-Type", "application/json")
		ctx.SetStatus(status)
		_ = json.NewEncoder(ctx.BodyWriter()).Encode(ProtocolError{p.Detail})
	}}
}

// unversioned is the version of a model that comes from no registry.
const unversioned = "1"

func (m *served) protocolVersion() string {
	if m.Version == "" {
		return unversioned
	}
	return m.Version
}

// names reports whether a request's path means this model.
func (m *served) named(r *http.Request) error {
	name, version := r.PathValue("name"), r.PathValue("version")
	if name != m.Name || version != "" && version != m.protocolVersion() {
		return fmt.Errorf("%w: model %q version %q; %q version %s is served here", errs.NotFound, name, version, m.Name, m.protocolVersion())
	}
	return nil
}

func (s *server) oipModel(ctx context.Context, in *wire) (*huma.StreamResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	m, giveBack, err := s.await(ctx)
	if err != nil {
		return protocolFault(err), nil
	}
	defer giveBack()
	if err := m.named(in.request); err != nil {
		return protocolFault(err), nil
	}
	input, output := m.Ports()
	return reply(ModelMetadata{
		Name: m.Name, Versions: []string{m.protocolVersion()}, Platform: "onnxruntime_onnx",
		Inputs: []TensorMetadata{describePort(input)}, Outputs: []TensorMetadata{describePort(output)},
	}), nil
}

func (s *server) oipModelReady(_ context.Context, in *wire) (*huma.StreamResponse, error) {
	select {
	case <-s.stage.first:
	default:
		return protocolFault(fmt.Errorf("%w: the model is being loaded", errs.Unavailable)), nil
	}
	m, giveBack := s.stage.borrow()
	defer giveBack()
	if err := m.named(in.request); err != nil {
		return protocolFault(err), nil
	}
	return reply(ModelReady{m.Name, true}), nil
}

func describePort(p detector.Port) TensorMetadata {
	return TensorMetadata{p.Name, datatype(p), p.Shape}
}

func datatype(p detector.Port) string {
	if p.Half {
		return "FP16"
	}
	return "FP32"
}
