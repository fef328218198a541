package service

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/litterloop/litterloop/shared/detector/remote"
	"github.com/litterloop/litterloop/shared/predictionlog"
)

// Config of a service, as the environment of a Cloud Run revision gives it.
type Config struct {
	Addr         string        // HOST:PORT; without HOST every interface
	ModelURI     string        // MODEL_URI, or Vertex AI's AIP_STORAGE_URI
	ModelsBucket string        // MODELS_BUCKET; needed for models:/ URIs
	Service      string        // K_SERVICE
	Revision     string        // K_REVISION
	Provider     string        // EXECUTION_PROVIDER: cpu or cuda
	Workers      int           // WORKERS: photos in work at once; 0: one a processor
	Threads      int           // THREADS of a photo that is alone; 0: one a processor
	MaxBody      int64         // MAX_BODY_MB
	MaxPixels    int           // MAX_MEGAPIXELS of a photo
	PhotoBuckets []string      // PHOTO_BUCKETS that gs:// photos may lie in, by comma; * is any
	PhotoHosts   []string      // PHOTO_HOSTS that https:// photos may lie on, by comma; none: https:// is refused
	PredictRoute string        // AIP_PREDICT_ROUTE: where Vertex AI sends its instances
	HealthRoute  string        // AIP_HEALTH_ROUTE: where it asks for readiness; empty: /readyz alone
	MaxInFlight  int           // MAX_IN_FLIGHT requests; more are answered 429
	Timeout      time.Duration // REQUEST_TIMEOUT of one detection request, its upload included

	AdminToken string        // ADMIN_TOKEN that POST /v1/model asks for; empty: nobody may
	Refresh    time.Duration // MODEL_REFRESH: how often the alias of MODEL_URI is read again; 0: never

	// LogTo is PREDICTION_LOG: "gs://BUCKET", a directory, or "off".
	LogTo string
	Spool string // PREDICTION_LOG_SPOOL: a directory for files while the bucket is away; empty: memory
	Log   predictionlog.Policy
}

// plainRoute is a path without wildcards.
var plainRoute = regexp.MustCompile(`^(/[-_.:A-Za-z0-9]+)+$`)

// FromEnv reads the configuration; every fault is reported at once.
func FromEnv(getenv func(string) string) (Config, error) { return readConfig(getenv, nil) }

// readConfig takes each setting from flags, or from the environment.
func readConfig(getenv func(string) string, flags map[string]string) (Config, error) {
	e := env{getenv: getenv, flags: flags}
	c := Config{
		ModelURI:     e.text("MODEL_URI", e.text("AIP_STORAGE_URI", "")),
		ModelsBucket: e.text("MODELS_BUCKET", ""),
		Service:      e.text("K_SERVICE", "detector"),
		Revision:     e.text("K_REVISION", ""),
		Provider:     e.text("EXECUTION_PROVIDER", "cpu"),
		Workers:      e.number("WORKERS", 0, 0, 1024),
		Threads:      e.number("THREADS", 0, 0, 1024),
		MaxBody:      int64(e.number("MAX_BODY_MB", 32, 1, 2048)) << 20,
		MaxPixels:    e.number("MAX_MEGAPIXELS", 100, 1, 1000) * 1_000_000,
		PhotoBuckets: list(e.text("PHOTO_BUCKETS", "*")),
		PhotoHosts:   list(e.text("PHOTO_HOSTS", "")),
		PredictRoute: e.text("AIP_PREDICT_ROUTE", "/predict"),
		HealthRoute:  e.text("AIP_HEALTH_ROUTE", ""),
		MaxInFlight:  e.number("MAX_IN_FLIGHT", 64, 1, 100_000),
		Timeout:      e.duration("REQUEST_TIMEOUT", time.Minute),
		AdminToken:   e.text("ADMIN_TOKEN", ""),
		Refresh:      e.duration("MODEL_REFRESH", 0),
		LogTo:        e.text("PREDICTION_LOG", "off"),
		Spool:        e.text("PREDICTION_LOG_SPOOL", ""),
		Log:          predictionlog.DefaultPolicy(),
	}
	c.Addr = e.text("HOST", "") + ":" + strconv.Itoa(e.number("PORT", e.number("AIP_HTTP_PORT", 8080, 1, 65535), 1, 65535))
	if project := e.text("GOOGLE_CLOUD_PROJECT", ""); c.ModelsBucket == "" && project != "" {
		c.ModelsBucket = project + "-models"
	}
	c.Log.FlushAge = e.duration("PREDICTION_LOG_FLUSH", c.Log.FlushAge)
	c.Log.Photos.Share = e.share("PREDICTION_LOG_PHOTO_SHARE", c.Log.Photos.Share)
	c.Log.Photos.LowConfidence = e.share("PREDICTION_LOG_LOW_CONFIDENCE", c.Log.Photos.LowConfidence)
	if v := getenv("PREDICTION_LOG_PHOTO_CLASSES"); v != "" {
		c.Log.Photos.Classes = strings.Split(v, ",")
	}
	c.Log.Photos.PerHour = e.number("PREDICTION_LOG_PHOTOS_PER_HOUR", c.Log.Photos.PerHour, 0, 1_000_000)

	switch {
	case c.ModelURI == "":
		e.fault("MODEL_URI is not set: give models:/NAME@ALIAS, gs://BUCKET/PACKAGE/, a directory or an .onnx file")
	case strings.HasPrefix(c.ModelURI, "models:/") && c.ModelsBucket == "":
		e.fault("%s=%q needs MODELS_BUCKET: the bucket of the registry", e.called("MODEL_URI"), c.ModelURI)
	}
	for _, h := range c.PhotoHosts {
		if !remote.ValidHost(h) {
			e.fault("%s: %q is no host such as images.example.com or *.example.com", e.called("PHOTO_HOSTS"), h)
		}
	}
	if c.AdminToken != "" && len(c.AdminToken) < 16 {
		e.fault("ADMIN_TOKEN is shorter than 16 characters")
	}
	if c.Refresh > 0 && !strings.Contains(c.ModelURI, "@") {
		e.fault("%s watches an alias, and %s=%q is none such as models:/litter@production", e.called("MODEL_REFRESH"), e.called("MODEL_URI"), c.ModelURI)
	}
	for key, route := range map[string]string{"AIP_PREDICT_ROUTE": c.PredictRoute, "AIP_HEALTH_ROUTE": c.HealthRoute} {
		if route != "" && !plainRoute.MatchString(route) {
			e.fault("%s=%q is no path such as /predict", key, route)
		}
	}
	if c.Provider != "cpu" && c.Provider != "cuda" {
		e.fault("%s=%q is neither cpu nor cuda", e.called("EXECUTION_PROVIDER"), c.Provider)
	}
	if bucket, ok := strings.CutPrefix(c.LogTo, "gs://"); ok && (bucket == "" || strings.Contains(strings.TrimSuffix(bucket, "/"), "/")) {
		e.fault("%s=%q: give a bucket without a path, gs://BUCKET", e.called("PREDICTION_LOG"), c.LogTo)
	}
	if err := c.Log.Validate(); err != nil {
		e.fault("prediction log: %w", err)
	}
	return c, errors.Join(e.faults...)
}

// list takes values by comma apart.
func list(text string) (out []string) {
	for v := range strings.SplitSeq(text, ",") {
		if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
	}
	return out
}

// env collects faults while it reads.
type env struct {
	getenv func(string) string
	flags  map[string]string // by the variable's name
	faults []error
}

func (e *env) fault(format string, args ...any) {
	e.faults = append(e.faults, fmt.Errorf(format, args...))
}

// called is the name under which a setting was given.
func (e *env) called(key string) string {
	if _, ok := e.flags[key]; ok {
		return "--" + Setting{Name: key}.Flag()
	}
	return key
}

func (e *env) text(key, fallback string) string {
	if v, ok := e.flags[key]; ok {
		return v
	}
	if v := e.getenv(key); v != "" {
		return v
	}
	return fallback
}

func (e *env) number(key string, fallback, low, high int) int {
	v := e.text(key, "")
	if v == "" {
		return fallback
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < low || n > high {
		e.fault("%s=%q is not a number from %d to %d", e.called(key), v, low, high)
		return fallback
	}
	return n
}

func (e *env) share(key string, fallback float64) float64 {
	v := e.text(key, "")
	if v == "" {
		return fallback
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || !(f >= 0 && f <= 1) {
		e.fault("%s=%q is not a number from 0 to 1", e.called(key), v)
		return fallback
	}
	return f
}

func (e *env) duration(key string, fallback time.Duration) time.Duration {
	v := e.text(key, "")
	if v == "" {
		return fallback
	}
	d, err := time.ParseDuration(v)
	if err != nil || d <= 0 {
		e.fault("%s=%q is not a duration such as 30s", e.called(key), v)
		return fallback
	}
	return d
}

// instance names this process in the log's files: unique, and telling.
func (c Config) instance(id string) string {
	name := c.Revision
	if name == "" {
		name = c.Service
	}
	return strings.ReplaceAll(name, "/", "-") + "-" + id
}
