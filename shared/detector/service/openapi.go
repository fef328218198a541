package service

import (
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/litterloop/litterloop/shared/detector"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/imaging"
)

const problemKind = "application/problem+json"

// schema documents the type of v.
func schema(api huma.API, v any) *huma.Schema {
	return api.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(v), true, "")
}

// failure is what a status means, with an example.
type failure struct {
	means  string
	code   errs.Code
	detail string
}

var failures = map[int]failure{
	400: {"The body cannot be read, or says nothing", bodyEmpty, "the body is empty: send a photo"},
	401: {"The token is not ADMIN_TOKEN's", adminRefused, "Authorization does not hold the token of ADMIN_TOKEN"},
	403: {"This service's model cannot be changed by a request", adminOff, "ADMIN_TOKEN is not set, so the model is not changed by requests"},
	404: {"What a URI names is not there", "not-found", "gs://my-photos/street.jpg: not found"},
	408: {"The body did not arrive in time", uploadSlow, "the body did not arrive within 1m0s"},
	409: {"Not now, or not with these settings", feedbackOff, "this service keeps no log (PREDICTION_LOG=off), so there is nothing to correct"},
	413: {"The body, the photo or the batch is too large", bodyTooLarge, "the body is above the limit of 32 MB"},
	415: {"A kind of body or photo that is not supported", mediaType, `Content-Type "text/plain" is not supported: send the photo itself (image/jpeg, image/png, image/webp), multipart/form-data or application/json`},
	422: {"Not a photo, damaged, or an option that is unknown or out of range", imaging.Unreadable, "the photo cannot be decoded: it is cut short"},
	429: {"Too many requests, or slow uploads, at once: try again after Retry-After", overloaded, "64 requests are in work already: try again in a second"},
	500: {"A fault of the service or its model; its log says more", detector.ModelUnreadable, "the model cannot be loaded"},
	503: {"The model is not ready, the service ends, or a bucket is away: try again", "unavailable", "unavailable: the service ends before its model was ready"},
	504: {"No answer in time", tooSlow, "context deadline exceeded"},
}

// problems documents how an operation fails.
func problems(api huma.API, statuses ...int) map[string]*huma.Response {
	responses := map[string]*huma.Response{}
	for _, status := range statuses {
		f := failures[status]
		r := &huma.Response{Description: f.means, Content: map[string]*huma.MediaType{problemKind: {
			Schema:  schema(api, Problem{}),
			Example: map[string]any{"title": http.StatusText(status), "status": status, "detail": f.detail, "code": f.code},
		}}}
		if status == http.StatusTooManyRequests {
			r.Headers = map[string]*huma.Header{"Retry-After": {Description: "Seconds", Schema: &huma.Schema{Type: "integer"}}}
		}
		responses[strconv.Itoa(status)] = r
	}
	return responses
}

// bytesMedia documents bytes that are not text.
func bytesMedia() *huma.MediaType {
	return &huma.MediaType{Schema: &huma.Schema{Type: "string", Format: "binary"}}
}

// detectOperation documents what detect answers: an answer, or a list of them.
func detectOperation(api huma.API) huma.Operation {
	answer := schema(api, Answer{})
	responses := problems(api, 400, 404, 408, 413, 415, 422, 429, 500, 503, 504)
	responses["200"] = &huma.Response{Description: "What was found: an answer, or a list of them for several photos", Content: map[string]*huma.MediaType{
		"application/json": {Schema: &huma.Schema{OneOf: []*huma.Schema{answer, {Type: "array", Items: answer}}}, Examples: map[string]*huma.Example{
			"one photo":      {Value: exampleAnswer},
			"several photos": {Value: []any{exampleAnswer}},
		}},
		lineKind: {Schema: &huma.Schema{OneOf: []*huma.Schema{schema(api, BatchAnswer{}), schema(api, BatchFailure{})}}, Examples: map[string]*huma.Example{
			"found": {Value: exampleLine()},
			"refused": {Value: map[string]any{"index": 1, "error": map[string]any{
				"title": http.StatusText(http.StatusUnprocessableEntity), "status": 422, "detail": failures[422].detail, "code": failures[422].code,
			}}},
		}},
		"image/jpeg": bytesMedia(), "image/png": bytesMedia(),
	}}
	return huma.Operation{
		OperationID: "detect", Method: http.MethodPost, Path: "/v1/detect", Tags: []string{"detect"},
		Summary:     "Find objects on photos",
		Description: "Send the photo itself (JPEG, PNG or WebP), a form with one or several files, or JSON. EXIF orientation is applied: boxes are in pixels of the photo as displayed.",
		Responses:   responses,
		// An option with a slip in its name must not be passed over.
		RejectUnknownQueryParameters: true,
	}
}

// detectBody documents the forms that a body may have.
func detectBody(api huma.API) *huma.RequestBody {
	form := &huma.Schema{Type: "object", Properties: map[string]*huma.Schema{
		"photo":        {Type: "array", Items: &huma.Schema{Type: "string", Format: "binary"}, Description: "One or several files"},
		"conf":         {Type: "number"},
		"iou":          {Type: "number"},
		"max_det":      {Type: "integer"},
		"classes":      {Type: "string", Description: "Class ids or names by comma"},
		"agnostic_nms": {Type: "boolean"}, "annotate": {Type: "boolean"},
	}}
	return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"image/jpeg": bytesMedia(), "image/png": bytesMedia(), "image/webp": bytesMedia(),
		"multipart/form-data": {Schema: form},
		"application/json": {Schema: schema(api, DetectBody{}), Examples: map[string]*huma.Example{
			"one photo, in base64":   {Value: map[string]any{"content": examplePhoto, "conf": 0.4}},
			"several, from a bucket": {Value: map[string]any{"photos": []any{map[string]any{"uri": "gs://my-photos/street.jpg"}, map[string]any{"uri": "gs://my-photos/beach.jpg"}}, "classes": []any{"Bottle", 3}}},
		}},
		lineKind: {Schema: schema(api, BatchPhoto{}), Example: map[string]any{"uri": "gs://my-photos/street.jpg", "conf": 0.4}},
	}}
}

// describeAPI adds what huma does not know by the types: bodies that handlers read
// themselves, examples, and routes beside it.
func (s *server) describeAPI(api huma.API) {
	doc := api.OpenAPI()
	// Told to huma only now: it would read the whole body before a handler could
	// refuse it.
	doc.Paths["/v1/detect"].Post.RequestBody = detectBody(api)
	doc.Paths[s.c.PredictRoute].Post.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {
		Schema:  schema(api, PredictBody{}),
		Example: map[string]any{"instances": []any{map[string]any{"content": examplePhoto}, map[string]any{"uri": "gs://my-photos/street.jpg"}}, "parameters": map[string]any{"conf": 0.4}},
	}}}
	for _, e := range []struct {
		of      *huma.Operation
		status  string
		request any
		answer  any
	}{
		{doc.Paths[s.c.PredictRoute].Post, "200", nil, map[string]any{"predictions": []any{exampleAnswer}}},
		{doc.Paths["/v1/model"].Get, "200", nil, exampleModel},
		{doc.Paths["/v1/model"].Post, "200", map[string]any{"uri": "models:/litter/4"}, exampleModel},
		{doc.Paths["/v1/feedback"].Post, "201", map[string]any{
			"id": exampleAnswer["id"], "author": "kim", "boxes": []any{map[string]any{"box": []any{34.5, 80, 120, 215.25}, "class": "Bottle"}},
		}, map[string]any{"id": exampleAnswer["id"], "object": "feedback/dt=2026-03-01/0198c0de-0000-7000-8000-000000000000-1f2e3d4c5b6a.json"}},
	} {
		e.of.Responses[e.status].Content["application/json"].Example = e.answer
		if e.request != nil {
			e.of.RequestBody.Content["application/json"].Example = e.request
		}
	}
	text := func(summary, answer string, failing map[string]*huma.Response) *huma.Operation {
		plain := map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: "string"}, Example: answer}}
		responses := map[string]*huma.Response{"200": {Description: "OK", Content: plain}}
		for code, r := range failing {
			responses[code] = r
		}
		return &huma.Operation{Method: http.MethodGet, Summary: summary, Tags: []string{"operation"}, Responses: responses}
	}
	unready := map[string]*huma.Response{"503": {Description: "The model is being loaded", Content: map[string]*huma.MediaType{
		"text/plain": {Schema: &huma.Schema{Type: "string"}, Example: "the model is being loaded\n"},
	}}}
	for path, o := range map[string]*huma.Operation{
		"/healthz": text("Alive", "ok\n", nil),
		"/readyz":  text("Ready: the model has answered its golden photos", "ready\n", unready),
		"/metrics": text("Metrics for Prometheus", "litterloop_in_flight 1\n", nil),
	} {
		o.OperationID, o.Path = path[1:], path
		doc.AddOperation(o)
	}
}

// Examples of the documentation.
const examplePhoto = "/9j/4AAQSkZJRg=="

var (
	exampleRef    = map[string]any{"name": "litter", "version": "4", "sha256": "5b0bd2ec6d0a2ff5d5ab6dc8d8ee6e2cf3fcb2f2a97b0d4b0a7e6d4f6f1a2b3c", "dataset": "20260301-8c1f"}
	exampleAnswer = map[string]any{
		"id": "0198c0de-0000-7000-8000-000000000000", "model": exampleRef, "image": map[string]any{"width": 640, "height": 480},
		"detections": []any{map[string]any{"box": []any{34.1236, 80.5, 120.0312, 215.2501}, "class_id": 3, "class": "Bottle", "confidence": 0.871204}},
		"timings_ms": map[string]any{"wait": 0.1, "decode": 3.2, "preprocess": 1.1, "inference": 17.9, "postprocess": 0.2},
	}
	exampleModel = map[string]any{
		"name": "litter", "version": "4", "sha256": exampleRef["sha256"], "dataset": exampleRef["dataset"],
		"classes": []any{"Can", "Bag", "Cup", "Bottle"}, "input": map[string]any{"width": 640, "height": 640, "stride": 32, "dynamic": true},
	}
)

// exampleLine is the answer of the first line of a batch.
func exampleLine() map[string]any {
	line := map[string]any{"index": 0, "photo": "gs://my-photos/street.jpg"}
	for k, v := range exampleAnswer {
		line[k] = v
	}
	return line
}
