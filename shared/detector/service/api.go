package service

import (
	"context"
	"embed"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/litterloop/litterloop/shared/modelpackage"
)

//go:embed assets
var assets embed.FS

// handler is the whole API.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	config := huma.DefaultConfig("Litterloop detector", "1")
	config.Info.Description = "Finds objects on photos, as Ultralytics' own predict does, box for box."
	config.DocsPath = ""     // huma's pages load scripts from elsewhere; ours is embedded
	config.CreateHooks = nil // no $schema links in answers
	config.NoFormatFallback = false
	api := humago.New(mux, config)

	huma.Register(api, detectOperation(api), s.detect)
	// Told to huma only now: it would read the whole body before detect could
	// refuse it.
	api.OpenAPI().Paths["/v1/detect"].Post.RequestBody = detectBody(api)
	huma.Register(api, huma.Operation{
		OperationID: "model", Method: http.MethodGet, Path: "/v1/model",
		Summary: "The model that is served", Description: "Its classes, input and lineage.", Tags: []string{"model"},
	}, s.describe)

	huma.Register(api, huma.Operation{
		OperationID: "swap", Method: http.MethodPost, Path: "/v1/model",
		Summary: "Serve another model", Tags: []string{"model"},
		Description: "Loads the model, has it answer its golden photos, and puts it in use; requests in work end with the model before. When it fails, the model in use stays and the answer says why. Needs ADMIN_TOKEN.",
	}, s.swapModel)

	huma.Register(api, huma.Operation{
		OperationID: "feedback", Method: http.MethodPost, Path: "/v1/feedback", DefaultStatus: http.StatusCreated,
		Summary: "Correct a prediction", Tags: []string{"detect"},
		Description: "Tells what is really on a photo that was answered before. It is kept beside the prediction log, for labelling and for measuring the model in use. Sending the same correction twice keeps it once.",
	}, s.feedback)

	huma.Register(api, huma.Operation{
		OperationID: "predict", Method: http.MethodPost, Path: s.c.PredictRoute,
		Summary: "Find objects on photos, as Vertex AI asks", Tags: []string{"detect"},
	}, s.predict)
	api.OpenAPI().Paths[s.c.PredictRoute].Post.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"application/json": {Schema: schema(api, PredictBody{})},
	}}

	s.registerOIP(api)

	if route := s.c.HealthRoute; route != "" && route != "/readyz" && route != "/healthz" {
		mux.HandleFunc("GET "+route, s.readyz)
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", s.metrics.handler())
	mux.HandleFunc("GET /docs", page("assets/docs.html"))
	mux.HandleFunc("GET /{$}", page("assets/try.html"))
	mux.HandleFunc("GET /assets/rapidoc-min.js", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		w.Header().Set("Content-Encoding", "gzip") // every browser takes it
		w.Header().Set("Cache-Control", "max-age=86400")
		http.ServeFileFS(w, r, assets, "assets/rapidoc-min.js.gz")
	})
	return s.metrics.measure(mux, s.d.Now)
}

// page serves an embedded page that may load nothing from elsewhere.
func page(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; img-src 'self' blob: data:")
		http.ServeFileFS(w, r, assets, name)
	}
}

// readyz is ready only after the model answered its golden photos.
func (s *server) readyz(w http.ResponseWriter, _ *http.Request) {
	select {
	case <-s.stage.first:
		w.Write([]byte("ready\n"))
	default:
		http.Error(w, "the model is being loaded", http.StatusServiceUnavailable)
	}
}

// schema documents the type of v.
func schema(api huma.API, v any) *huma.Schema {
	return api.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(v), true, "")
}

// detectBody documents the forms that a body may have.
func detectBody(api huma.API) *huma.RequestBody {
	binary := &huma.MediaType{Schema: &huma.Schema{Type: "string", Format: "binary"}}
	form := &huma.Schema{Type: "object", Properties: map[string]*huma.Schema{
		"photo":        {Type: "array", Items: &huma.Schema{Type: "string", Format: "binary"}, Description: "One or several files"},
		"conf":         {Type: "number"},
		"iou":          {Type: "number"},
		"max_det":      {Type: "integer"},
		"classes":      {Type: "string", Description: "Class ids or names by comma"},
		"agnostic_nms": {Type: "boolean"}, "annotate": {Type: "boolean"},
	}}
	return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"image/jpeg": binary, "image/png": binary, "image/webp": binary,
		"multipart/form-data": {Schema: form},
		"application/json":    {Schema: schema(api, DetectBody{})},
		lineKind:              {Schema: schema(api, BatchPhoto{})},
	}}
}

// detectOperation documents what detect answers: an answer, or a list of them.
func detectOperation(api huma.API) huma.Operation {
	answer := schema(api, Answer{})
	responses := map[string]*huma.Response{
		"200": {Description: "What was found: an answer, or a list of them for several photos", Content: map[string]*huma.MediaType{
			"application/json": {Schema: &huma.Schema{OneOf: []*huma.Schema{answer, {Type: "array", Items: answer}}}},
		}},
	}
	for code, text := range map[string]string{
		"400": "The body cannot be read", "408": "The body did not arrive in time", "413": "The body or the photo is too large",
		"415": "A kind of body or photo that is not supported", "422": "Not a photo, damaged, or an option out of range",
		"429": "Too many requests at once: try again after Retry-After", "504": "No answer in time",
	} {
		responses[code] = &huma.Response{Description: text, Content: map[string]*huma.MediaType{"application/problem+json": {Schema: schema(api, Problem{})}}}
	}
	responses["200"].Content[lineKind] = &huma.MediaType{Schema: schema(api, BatchLine{})}
	for _, kind := range []string{"image/jpeg", "image/png"} {
		responses["200"].Content[kind] = &huma.MediaType{Schema: &huma.Schema{Type: "string", Format: "binary"}}
	}
	return huma.Operation{
		OperationID: "detect", Method: http.MethodPost, Path: "/v1/detect", Tags: []string{"detect"},
		Summary:     "Find objects on photos",
		Description: "Send the photo itself (JPEG, PNG or WebP), a form with one or several files, or JSON. EXIF orientation is applied: boxes are in pixels of the photo as displayed.",
		Responses:   responses,
		// An option with a slip in its name must not be passed over.
		RejectUnknownQueryParameters: true,
	}
}

// ModelDescription is the model that is served.
type ModelDescription struct {
	ModelRef
	Classes []string           `json:"classes" doc:"By class id"`
	Input   InputDescription   `json:"input"`
	Card    *modelpackage.Card `json:"card,omitempty" doc:"Where it comes from: data, recipe, metrics"`
}

// InputDescription is what the model takes.
type InputDescription struct {
	Width   int  `json:"width"`
	Height  int  `json:"height"`
	Stride  int  `json:"stride"`
	Dynamic bool `json:"dynamic" doc:"Takes smaller inputs too"`
}

type describeOutput struct{ Body ModelDescription }

func (s *server) describe(ctx context.Context, _ *struct{}) (*describeOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	m, giveBack, err := s.await(ctx)
	if err != nil {
		return nil, problem(err)
	}
	defer giveBack()
	spec := m.Spec()
	return &describeOutput{ModelDescription{
		ModelRef: m.ref(), Classes: spec.Classes, Card: m.Card,
		Input: InputDescription{spec.Width, spec.Height, spec.Stride, spec.Dynamic},
	}}, nil
}
