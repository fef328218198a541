package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"

	"github.com/litterloop/litterloop/cmd/internal/worker"
	"github.com/litterloop/litterloop/shared/config"
)

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
