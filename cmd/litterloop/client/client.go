// Package client is what the command line does with a deployment: a local cloud
// of this machine, or a project on Google Cloud, through the same APIs.
package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2/google"

	"github.com/litterloop/litterloop/localcloud"
	"github.com/litterloop/litterloop/shared/setup"
)

// Client speaks to one deployment.
type Client struct {
	*setup.Parts
	// Functions is the base URL of the local cloud's functions; empty on Google
	// Cloud, where Cloud Scheduler calls them.
	Functions string
}

// Connect opens the deployment in project, or the local cloud whose state is in
// dir when project is empty.
func Connect(ctx context.Context, dir, project string, getenv func(string) string) (*Client, error) {
	if project != "" {
		if getenv("STORAGE_EMULATOR_HOST") == "" {
			if err := signedIn(ctx); err != nil {
				return nil, err
			}
		}
		return open(ctx, override(getenv, []string{"GOOGLE_CLOUD_PROJECT=" + project}), "")
	}
	e, err := localcloud.ReadEndpoints(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("no local cloud has run in %s: start one with `litterloop up --state %s`, or name a Google Cloud project with --project", dir, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("local cloud in %s: %w", dir, err)
	}
	conn, err := net.DialTimeout("tcp", e.GRPC, time.Second)
	if err != nil {
		return nil, fmt.Errorf("the local cloud in %s is not running: start it with `litterloop up --state %s`", dir, dir)
	}
	conn.Close()
	return Local(ctx, e, getenv)
}

// signInTimeout bounds the search for credentials, a metadata server's included.
const signInTimeout = 10 * time.Second

// signedIn tells at once that there are no credentials, or that they are not
// valid any more. The clients take that for an outage, and repeat their calls
// for minutes.
func signedIn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, signInTimeout)
	defer cancel()
	source, err := google.DefaultTokenSource(ctx, "https://www.googleapis.com/auth/cloud-platform")
	if err == nil {
		_, err = source.Token()
	}
	if err != nil {
		return fmt.Errorf("application default credentials: %w", err)
	}
	return nil
}

// Local opens the local cloud at e. Google's own clients read their emulator
// variables from the process's environment, which is therefore set.
func Local(ctx context.Context, e localcloud.Endpoints, getenv func(string) string) (*Client, error) {
	for _, kv := range e.Environ() {
		k, v, _ := strings.Cut(kv, "=")
		if err := os.Setenv(k, v); err != nil {
			return nil, err
		}
	}
	return open(ctx, override(getenv, e.Environ()), "http://"+e.Functions)
}

func open(ctx context.Context, getenv func(string) string, functions string) (*Client, error) {
	cfg, err := setup.FromEnv(getenv)
	if err != nil {
		return nil, err
	}
	parts, err := setup.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &Client{Parts: parts, Functions: functions}, nil
}

// override looks variables up in env ("KEY=value") before getenv.
func override(getenv func(string) string, env []string) func(string) string {
	return func(key string) string {
		if i := slices.IndexFunc(env, func(kv string) bool { return strings.HasPrefix(kv, key+"=") }); i >= 0 {
			return env[i][len(key)+1:]
		}
		return getenv(key)
	}
}
