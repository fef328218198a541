package stattest

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// vector is one column recorded from Evidently 0.7.23.
type vector struct {
	Name          string
	Type          string
	DefaultMethod string `json:"default_method"`
	Reference     []any
	Current       []any
	Scores        map[Method]struct {
		Score   any
		Drifted bool
		Offered bool
		Error   string
	}
}

func vectors(t *testing.T) []vector {
	t.Helper()
	p, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "shared", "contracts", "evidently", "vectors.json"))
	if err != nil {
		t.Skip("recorded scores are not on this machine: ", err)
	}
	var f struct{ Vectors []vector }
	if err := json.Unmarshal(p, &f); err != nil {
		t.Fatal(err)
	}
	return f.Vectors
}

func floats(values []any) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = math.NaN()
		if x, ok := v.(float64); ok {
			out[i] = x
		}
	}
	return out
}

func words(values []any) (out []string) {
	for _, v := range values {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

func TestScores_equalEvidently(t *testing.T) {
	compared := 0
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			for _, m := range Methods() {
				want, ok := v.Scores[m]
				if !ok || want.Error != "" || v.Type == "cat" && !m.ForCategories() {
					continue
				}
				var got float64
				var def Method
				var err error
				if v.Type == "num" {
					got, err = Numeric(m, floats(v.Reference), floats(v.Current))
					def = DefaultNumeric(floats(v.Reference), floats(v.Current))
				} else {
					got, err = Categorical(m, words(v.Reference), words(v.Current))
					def = DefaultCategorical(words(v.Reference), words(v.Current))
				}
				if err != nil {
					t.Fatal(err)
				}
				if string(def) != v.DefaultMethod {
					t.Errorf("default test is %s, Evidently's %s", def, v.DefaultMethod)
				}
				w, isNumber := want.Score.(float64)
				if !isNumber { // "nan"
					w = math.NaN()
				}
				if math.Abs(got-w) > 1e-6 || math.IsNaN(got) != math.IsNaN(w) {
					t.Errorf("%s = %v, Evidently %v", m, got, want.Score)
				}
				if m.Drifted(got) != want.Drifted {
					t.Errorf("%s drifted = %v, Evidently %v", m, m.Drifted(got), want.Drifted)
				}
				compared++
			}
		})
	}
	if compared < 60 {
		t.Errorf("compared %d scores only", compared)
	}
}
