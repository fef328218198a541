package setup

import (
	"context"
	"log/slog"
	"net/http"

	"google.golang.org/api/option"
	htransport "google.golang.org/api/transport/http"

	"github.com/litterloop/litterloop/shared/telemetry/export"
)

// Telemetry sets this process's spans and metrics up, by OpenTelemetry's own
// variables; Google Cloud's endpoint is given the process's credentials. always
// as in export.Options. The caller shuts it down.
func Telemetry(ctx context.Context, service string, always bool, getenv func(string) string, log *slog.Logger) (*export.Provider, error) {
	version := getenv("LITTERLOOP_VERSION")
	if version == "" {
		version = "development"
	}
	return export.Start(ctx, export.Options{
		Service: service, Version: version, Getenv: getenv, File: getenv(export.FileEnv), Always: always, Client: SignedIn, Log: log,
	})
}

// SignedIn is an HTTP client with the process's own credentials.
func SignedIn(ctx context.Context) (*http.Client, error) {
	c, _, err := htransport.NewClient(ctx, option.WithScopes("https://www.googleapis.com/auth/cloud-platform"), option.WithTelemetryDisabled())
	return c, err
}
