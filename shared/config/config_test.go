package config

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/errs"
)

func TestParse_whatAFileDoesNotNameKeepsItsDefault(t *testing.T) {
	for _, text := range []string{"", "\n# nothing\n", "dataset: {}\n"} {
		p, err := Parse([]byte(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if d := cmp.Diff(Default(), p); d != "" {
			t.Errorf("%q:\n%s", text, d)
		}
	}
	p, err := Parse([]byte("drift:\n  window: {duration: 12h}\ntrain:\n  attempts: 5\n  recipe: {steps: 7}\nrollout: {hold: 90s}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Drift.Window.Duration = 12 * time.Hour
	want.Train.Attempts = 5
	want.Train.Recipe = Recipe{"steps": uint64(7)}
	want.Rollout.Hold = 90_000_000_000
	if d := cmp.Diff(want, p); d != "" {
		t.Error(d)
	}
}

func TestParse_recipeByItsNameAlone(t *testing.T) {
	for text, want := range map[string]Recipe{
		"train: {recipe: finetune}":                                       {"name": "finetune"},
		"train: {recipe: {name: ultralytics, epochs: 5}}":                 {"name": "ultralytics", "epochs": uint64(5)},
		"train:\n  recipe:\n    name: ultralytics\n    options: {lr0: 1}": {"name": "ultralytics", "options": map[string]any{"lr0": uint64(1)}},
	} {
		p, err := Parse([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if d := cmp.Diff(want, p.Train.Recipe); d != "" {
			t.Errorf("%s:\n%s", text, d)
		}
	}
}

func TestParse_tellsWhereAndEverythingAtOnce(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"unknown key, by its line", "dataset:\n  val_share: 0.1\n  val_shar: 0.2\n", "[3:3]"},
		{"wrong kind, by its line", "gate:\n  tolerance: much\n", "[2:14]"},
		{"key without value", "drift:\n  window:\n", "drift.window"},
		{"not YAML", "gate: [", "litterloop.yaml"},
		{"out of range in two parts", "dataset: {val_share: 2}\nretrain: {new_labels: -1}\n", "val_share"},
		{"out of range, the second part", "dataset: {val_share: 2}\nretrain: {new_labels: -1}\n", "new_labels"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.text))
			if code, ok := errs.Reason(err); !ok || code != CodeFaulty {
				t.Fatalf("error %v, want a permanent %s", err, CodeFaulty)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error does not tell %q:\n%v", tt.want, err)
			}
		})
	}
}

func TestRead_noFileIsTheDefault(t *testing.T) {
	b := blobmem.New("models")
	p, err := Read(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Default(), p); d != "" {
		t.Error(d)
	}
	if _, err := b.Write(t.Context(), Object, strings.NewReader("gate: 1"), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
		t.Fatal(err)
	}
	var permanent *errs.PermanentError
	if _, err := Read(t.Context(), b); !errors.As(err, &permanent) {
		t.Errorf("a faulty file: %v", err)
	}
}

func TestHash_followsTheMeaningNotTheText(t *testing.T) {
	hash := func(text string) string {
		t.Helper()
		p, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		h, err := p.Hash()
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	if hash("") != hash("dataset:\n  val_share: 0.2 # the default\n") {
		t.Error("the same policy has two hashes")
	}
	if hash("") == hash("dataset: {val_share: 0.3}") {
		t.Error("two policies have one hash")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("dataset: {val_share: 0.1}\ntrain: {recipe: {steps: 3}}\n")
	f.Add("drift: {window: {duration: 1h}}")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse([]byte(text))
		if err != nil {
			return
		}
		if _, err := p.Hash(); err != nil {
			t.Errorf("a policy that was taken has no hash: %v", err)
		}
	})
}
