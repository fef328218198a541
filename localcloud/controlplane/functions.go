package controlplane

import (
	"context"
	"fmt"
	"maps"
	"strings"
)

// functions are Cloud Functions of the second generation. The source in the
// bucket is not built: the entry point is run from this program, which holds the
// same functions.
func functions() kind {
	return kind{
		path: "/cloudfunctions/v2/" + inLocation + "functions", id: "functionId", operations: true,
		adds: func(_ *Server, doc document) { maps.Copy(doc, document{"state": "ACTIVE", "environment": "GEN_2"}) },
		apply: func(ctx context.Context, s *Server, doc document) error {
			name, _ := doc["name"].(string)
			build, _ := doc["buildConfig"].(document)
			config, _ := doc["serviceConfig"].(document)
			if build == nil || config == nil {
				return fmt.Errorf("a function needs buildConfig and serviceConfig")
			}
			if err := s.sourced(build); err != nil {
				return err
			}
			entry, _ := build["entryPoint"].(string)
			account, _ := config["serviceAccountEmail"].(string)
			env := map[string]string{}
			declared, _ := config["environmentVariables"].(document)
			for k, v := range declared {
				env[k] = fmt.Sprint(v)
			}
			url, err := s.o.Functions.Deploy(ctx, name, entry, account, env)
			if err != nil {
				return err
			}
			config["uri"], doc["url"] = url, url
			config["service"] = strings.Replace(name, "/functions/", "/services/", 1)
			return nil
		},
		remove: func(ctx context.Context, s *Server, name string) error { return s.o.Functions.Remove(ctx, name) },
	}
}

// sourced checks that a function's source is where the function says.
func (s *Server) sourced(build document) error {
	source, _ := build["source"].(document)
	object, _ := source["storageSource"].(document)
	if object == nil {
		return fmt.Errorf("a function needs its source in a bucket: buildConfig.source.storageSource")
	}
	return nil
}
