package service

import (
	"context"
	"embed"
	"net/http"

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
	huma.Register(api, huma.Operation{
		OperationID: "model", Method: http.MethodGet, Path: "/v1/model",
		Summary: "The model that is served", Description: "Its classes, input and lineage.", Tags: []string{"model"},
		Responses: problems(api, 500, 503, 504),
	}, s.describe)
	huma.Register(api, huma.Operation{
		OperationID: "swap", Method: http.MethodPost, Path: "/v1/model",
		Summary: "Serve another model", Tags: []string{"model"},
		Description: "Loads the model, has it answer its golden photos, and puts it in use; requests in work end with the model before. When it fails, the model in use stays and the answer says why. Needs ADMIN_TOKEN.",
		Responses:   problems(api, 400, 401, 403, 404, 408, 409, 413, 415, 422, 500, 503, 504),
	}, s.swapModel)
	huma.Register(api, huma.Operation{
		OperationID: "feedback", Method: http.MethodPost, Path: "/v1/feedback", DefaultStatus: http.StatusCreated,
		Summary: "Correct a prediction", Tags: []string{"detect"},
		Description: "Tells what is really on a photo that was answered before. It is kept beside the prediction log, for labelling and for measuring the model in use. Sending the same correction twice keeps it once.",
		Responses:   problems(api, 400, 408, 409, 413, 415, 422, 500, 503, 504),
	}, s.feedback)
	huma.Register(api, huma.Operation{
		OperationID: "predict", Method: http.MethodPost, Path: s.c.PredictRoute,
		Summary: "Find objects on photos, as Vertex AI asks", Tags: []string{"detect"},
		Responses: problems(api, 400, 404, 408, 413, 415, 422, 429, 500, 503, 504),
	}, s.predict)
	s.registerOIP(api)
	s.describeAPI(api)

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
	spec, card := m.Spec(), m.Card
	if card != nil { // one without these says null, where an object is promised
		c := *card
		if c.Recipe == nil {
			c.Recipe = map[string]any{}
		}
		if c.Files == nil {
			c.Files = map[string]string{}
		}
		card = &c
	}
	return &describeOutput{ModelDescription{
		ModelRef: m.ref(), Classes: spec.Classes, Card: card,
		Input: InputDescription{spec.Width, spec.Height, spec.Stride, spec.Dynamic},
	}}, nil
}
