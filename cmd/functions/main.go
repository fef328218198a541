// Command functions serves one function, named by FUNCTION_TARGET, as Google
// Cloud's buildpack does; without it, every function by its name as the path.
package main

import (
	"log/slog"
	"os"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"

	_ "github.com/litterloop/litterloop" // registers the functions
	"github.com/litterloop/litterloop/shared/telemetry"
)

func main() {
	slog.SetDefault(telemetry.Logger(os.Stderr, os.Getenv))
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	host := "127.0.0.1" // a person at a desk; in a container, Cloud Run sets K_SERVICE
	if os.Getenv("K_SERVICE") != "" {
		host = ""
	}
	if err := funcframework.StartHostPort(host, port); err != nil {
		slog.Error("functions end", "error", err)
		os.Exit(1)
	}
}
