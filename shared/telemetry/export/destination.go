package export

import (
	"context"
	"fmt"
	"net/url"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"

	"github.com/google/uuid"
)

// Values of OTEL_TRACES_EXPORTER and OTEL_METRICS_EXPORTER; file is ours.
const (
	otlp = "otlp"
	file = "file"
	none = "none"
)

// googleHost is Google Cloud's own OTLP endpoint.
const (
	googleHost   = "telemetry.googleapis.com"
	googleTraces = "https://" + googleHost + "/v1/traces"
)

// destination of a signal, TRACES or METRICS: what OTEL_…_EXPORTER says, else
// OTLP where an endpoint is named, or Google's was chosen, else the file.
func destination(o Options, signal string) string {
	if v := o.Getenv("OTEL_" + signal + "_EXPORTER"); v != "" {
		return v
	}
	switch {
	case endpoint(o, signal) != "":
		return otlp
	case signal == "TRACES" && o.File != "":
		return file
	}
	return none
}

func endpoint(o Options, signal string) string {
	if v := o.Getenv("OTEL_EXPORTER_OTLP_" + signal + "_ENDPOINT"); v != "" {
		return v
	}
	if v := o.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"); v != "" {
		return v
	}
	if signal == "TRACES" && o.Google {
		return googleTraces
	}
	return ""
}

// google tells whether the signal goes to Google Cloud's own endpoint.
func google(o Options, signal string) bool {
	u, err := url.Parse(endpoint(o, signal))
	return err == nil && u.Hostname() == googleHost && o.Client != nil
}

// spanOption returns the processor of spans; nil where they go nowhere.
func spanOption(ctx context.Context, o Options) (sdktrace.TracerProviderOption, error) {
	switch d := destination(o, "TRACES"); d {
	case none:
		return nil, nil
	case file:
		if o.File == "" {
			return nil, fmt.Errorf("OTEL_TRACES_EXPORTER=file: this program has no file for spans; name one with %s", FileEnv)
		}
		f, err := openFile(o.File)
		if err != nil {
			return nil, err
		}
		// At once: what is killed has told all that it did.
		return sdktrace.WithSyncer(f), nil
	case otlp:
		var options []otlptracehttp.Option
		if google(o, "TRACES") {
			c, err := o.Client(ctx)
			if err != nil {
				return nil, fmt.Errorf("credentials for %s: %w", googleHost, err)
			}
			options = append(options, otlptracehttp.WithHTTPClient(c))
		}
		if endpoint(o, "TRACES") == googleTraces {
			options = append(options, otlptracehttp.WithEndpointURL(googleTraces))
		}
		e, err := otlptracehttp.New(ctx, options...)
		if err != nil {
			return nil, fmt.Errorf("spans to %s: %w", endpoint(o, "TRACES"), err)
		}
		return sdktrace.WithBatcher(e), nil
	default:
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER=%q is none of otlp, file and none", d)
	}
}

// metricReader returns what pushes metrics; nil where they go nowhere.
func metricReader(ctx context.Context, o Options) (sdkmetric.Reader, error) {
	switch d := destination(o, "METRICS"); d {
	case none:
		return nil, nil
	case otlp:
		var options []otlpmetrichttp.Option
		if google(o, "METRICS") {
			c, err := o.Client(ctx)
			if err != nil {
				return nil, fmt.Errorf("credentials for %s: %w", googleHost, err)
			}
			options = append(options, otlpmetrichttp.WithHTTPClient(c))
		}
		e, err := otlpmetrichttp.New(ctx, options...)
		if err != nil {
			return nil, fmt.Errorf("metrics to %s: %w", endpoint(o, "METRICS"), err)
		}
		return sdkmetric.NewPeriodicReader(e), nil
	default:
		return nil, fmt.Errorf("OTEL_METRICS_EXPORTER=%q is neither otlp nor none", d)
	}
}

// newResource describes the process, from its environment alone: asking Google's
// metadata server would hold up a cold start.
func newResource(o Options) (*resource.Resource, error) {
	service := o.Service
	a := []attribute.KeyValue{semconv.ServiceVersion(o.Version), semconv.ServiceInstanceID(uuid.NewString())}
	add := func(key attribute.Key, variable string) {
		if v := o.Getenv(variable); v != "" {
			a = append(a, key.String(v))
		}
	}
	add("gcp.project_id", "GOOGLE_CLOUD_PROJECT") // asked for by Google's endpoint
	add(semconv.CloudRegionKey, "REGION")
	add(semconv.FaaSNameKey, "K_SERVICE")
	add(semconv.FaaSVersionKey, "K_REVISION")
	add("gcp.cloud_run.job.execution", "CLOUD_RUN_EXECUTION")
	if o.Getenv("K_SERVICE") != "" || o.Getenv("CLOUD_RUN_JOB") != "" {
		a = append(a, semconv.CloudProviderGCP, semconv.CloudPlatformGCPCloudRun)
	}
	if v := o.Getenv("OTEL_SERVICE_NAME"); v != "" {
		service = v
	}
	a = append(a, semconv.ServiceName(service))
	// OTEL_RESOURCE_ATTRIBUTES come first: what the process knows is truer.
	r, err := resource.New(context.Background(), resource.WithFromEnv(), resource.WithTelemetrySDK(), resource.WithAttributes(a...))
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return r, nil
}
