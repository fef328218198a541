package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/goccy/go-yaml"

	"github.com/litterloop/litterloop/cmd/internal/worker"
	"github.com/litterloop/litterloop/shared/config"
)

type policyCmd struct {
	Show   policyShowCmd   `cmd:"" default:"withargs" help:"Print the deployment's whole policy, what its file leaves out included."`
	Check  policyCheckCmd  `cmd:"" help:"Check a policy file: every key, the recipe too."`
	Schema policySchemaCmd `cmd:"" help:"Print the policy file's JSON schema, for an editor."`
}

type policyShowCmd struct{}

// Run prints the policy that the functions read.
func (*policyShowCmd) Run(ctx context.Context, g *globals) error {
	cl, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	p, err := config.Read(ctx, cl.Bucket(cl.Models))
	if err != nil {
		return err
	}
	hash, err := p.Hash()
	if err != nil {
		return err
	}
	text, err := yaml.Marshal(p)
	if err != nil {
		return fmt.Errorf("write the policy as YAML: %w", err)
	}
	return g.answer(map[string]any{"hash": hash, "policy": p}, func(w io.Writer) {
		fmt.Fprintf(w, "# policy %s of gs://%s/%s; what the file does not name has its default\n%s", hash, cl.Models, config.Object, text)
	})
}

type policyCheckCmd struct {
	File string `arg:"" help:"Policy file." type:"existingfile"`
}

// Run checks a policy file.
func (c *policyCheckCmd) Run(g *globals) error {
	text, err := readPolicy(c.File)
	if err != nil {
		return err
	}
	p, err := config.Parse(text)
	if err != nil {
		return err
	}
	hash, err := p.Hash()
	if err != nil {
		return err
	}
	return g.answer(map[string]any{"hash": hash, "policy": p}, func(w io.Writer) {
		fmt.Fprintf(w, "%s is a good policy (%s). To put it in force: gcloud storage cp %s gs://MODELS_BUCKET/%s\n", c.File, hash, c.File, config.Object)
	})
}

type policySchemaCmd struct{}

// Run prints the schema.
func (*policySchemaCmd) Run(g *globals) error {
	_, err := g.stdout.Write(config.Schema)
	return err
}

// readPolicy reads a policy file and checks all of it, the trainer's recipe too.
func readPolicy(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return text, checkPolicy(text)
}

func checkPolicy(text []byte) error {
	p, err := config.Parse(text)
	if err != nil {
		return err
	}
	recipe, err := json.Marshal(p.Train.Recipe)
	if err != nil {
		return fmt.Errorf("train.recipe: %w", err)
	}
	if _, err := worker.Recipes(os.Getenv, nil, slog.Default()).Complete(recipe); err != nil {
		return fmt.Errorf("train.recipe: %w", err)
	}
	return nil
}
