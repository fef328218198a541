package registry_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/registry/gate"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func fixed() time.Time { return noon }

func create(t *testing.T, r *registry.Registry, model, run string) registry.Version {
	t.Helper()
	v, err := r.Create(t.Context(), registry.Version{Model: model, Run: run, Package: "artifacts/1/" + run + "/artifacts/model/", Dataset: "d1", SHA256: "ab"})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCreate_isIdempotentByRun(t *testing.T) {
	r := registry.New(blobmem.New("models"), fixed)
	first, second, again := create(t, r, "litter", "r1"), create(t, r, "litter", "r2"), create(t, r, "litter", "r1")
	if first.Version != 1 || second.Version != 2 {
		t.Errorf("versions %d and %d, want 1 and 2", first.Version, second.Version)
	}
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("the same run registered again (-first +again):\n%s", diff)
	}
	if other := create(t, r, "glass", "r1"); other.Version != 1 {
		t.Errorf("another model's first version is %d", other.Version)
	}
	all, err := r.List(t.Context(), "litter")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]registry.Version{first, second}, all); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
}

func TestCreate_modelNamesOfAllKinds(t *testing.T) {
	r := registry.New(blobmem.New("models"), fixed)
	for _, model := range []string{"50%d", "%s", "a b", "Müll", "versions", "model.json", strings.Repeat("x", 200)} {
		create(t, r, model, "r1")
		if v := create(t, r, model, "r2"); v.Version != 2 {
			t.Errorf("model %q: second version is %d", model, v.Version)
		}
	}
	for _, model := range []string{"", ".", "..", "a/b", "a:b", "a\nb", strings.Repeat("x", 901)} {
		if _, err := r.Create(t.Context(), registry.Version{Model: model, Run: "r1"}); err == nil {
			t.Errorf("model name %q was taken", model)
		}
	}
}

func TestCreate_manyWritersAtOnce(t *testing.T) {
	b := blobmem.New("models")
	const writers, runs = 6, 15
	var wg sync.WaitGroup
	got := make([][]registry.Version, writers)
	for w := range writers {
		wg.Go(func() {
			r := registry.New(b, fixed)
			order := rand.New(rand.NewPCG(uint64(w), 7)).Perm(runs)
			for _, i := range order { // every writer registers every run
				v, err := r.Create(t.Context(), registry.Version{Model: "litter", Run: fmt.Sprint("run", i)})
				if err != nil {
					t.Error(err)
					return
				}
				got[w] = append(got[w], v)
			}
		})
	}
	wg.Wait()
	numbers := map[string]int{}
	for _, versions := range got {
		for _, v := range versions {
			if n, ok := numbers[v.Run]; ok && n != v.Version {
				t.Errorf("run %s has versions %d and %d", v.Run, n, v.Version)
			}
			numbers[v.Run] = v.Version
		}
	}
	var all []int
	for _, n := range numbers {
		all = append(all, n)
	}
	slices.Sort(all)
	if len(slices.Compact(all)) != runs || all[0] != 1 || all[len(all)-1] != runs {
		t.Errorf("numbers %v: want 1 to %d once each", all, runs)
	}
}

func TestSetAlias_keepsWhoMovedItAndWhy(t *testing.T) {
	r := registry.New(blobmem.New("models"), fixed)
	create(t, r, "litter", "r1")
	create(t, r, "litter", "r2")
	for _, n := range []int{1, 1, 2} {
		if err := r.SetAlias(t.Context(), "litter", "staging", n, "deploy", fmt.Sprint("took over from ", n-1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.DeleteAlias(t.Context(), "litter", "staging", "someone", "nothing serves"); err != nil {
		t.Fatal(err)
	}
	moves, err := r.History(t.Context(), "litter")
	if err != nil {
		t.Fatal(err)
	}
	want := []registry.Move{
		{Sequence: 1, Alias: "staging", To: 1, Who: "deploy", Why: "took over from 0", Time: noon},
		{Sequence: 2, Alias: "staging", From: 1, To: 2, Who: "deploy", Why: "took over from 1", Time: noon},
		{Sequence: 3, Alias: "staging", From: 2, Who: "someone", Why: "nothing serves", Time: noon},
	}
	if diff := cmp.Diff(want, moves); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if _, err := r.ByAlias(t.Context(), "litter", "staging"); !errors.Is(err, errs.NotFound) {
		t.Errorf("ByAlias after its removal: %v", err)
	}
}

// Aliases moved by many at once: every move is in the history, each starts
// where the one before ended, and the document stays small.
func TestSetAlias_manyWritersAtOnce(t *testing.T) {
	b := blobmem.New("models")
	r := registry.New(b, fixed)
	for i := range 3 {
		create(t, r, "litter", fmt.Sprint("r", i))
	}
	const writers, moves = 3, 240 // a third of them, or more, go nowhere
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			for range moves {
				if err := r.SetAlias(t.Context(), "litter", "candidate", 1+random.IntN(3), "writer", "why not"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	history, err := r.History(t.Context(), "litter")
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for i, m := range history {
		if m.Sequence != i+1 || m.From != at || m.From == m.To {
			t.Fatalf("move %d is %+v after version %d", i+1, m, at)
		}
		at = m.To
	}
	aliases, err := r.Aliases(t.Context(), "litter")
	if err != nil || aliases["candidate"] != at {
		t.Errorf("aliases %v, %v; the last move went to %d", aliases, err, at)
	}
	if m, err := r.Model(t.Context(), "litter"); err != nil || len(m.Moves) > 200 || len(history) <= 200 {
		t.Errorf("the document holds %d of %d moves, %v", len(m.Moves), len(history), err)
	}
}

func TestResolve(t *testing.T) {
	r := registry.New(blobmem.New("models"), fixed)
	create(t, r, "litter on sand", "r1")
	create(t, r, "litter on sand", "r2")
	if err := r.SetAlias(t.Context(), "litter on sand", "staging", 1, "deploy", "first"); err != nil {
		t.Fatal(err)
	}
	for uri, want := range map[string]int{
		"models:/litter on sand/2":           2,
		"models:/litter%20on%20sand/2":       2,
		"models:/litter on sand@staging":     1,
		"models:/litter%20on%20sand@staging": 1,
		"models:/litter on sand/latest":      2,
	} {
		v, err := r.Resolve(t.Context(), uri)
		if err != nil || v.Version != want {
			t.Errorf("Resolve(%q) = version %d, %v; want %d", uri, v.Version, err, want)
		}
	}
	for uri, missing := range map[string]bool{
		"models:/litter on sand/9":     true,
		"models:/litter on sand@gone":  true,
		"models:/other/1":              true,
		"models:/other/latest":         true,
		"models:/litter on sand":       false,
		"models:/litter on sand/0":     false,
		"models:/litter on sand/-1":    false,
		"models:/litter on sand/v1":    false,
		"models:/../../secrets/1":      false,
		"models:/%2e%2e%2fsecrets/1":   false,
		"models:/..@staging":           false,
		"runs:/r1/model":               false,
		"":                             false,
		"models:/a\x00b/1":             false,
		"models:/litter on sand/1/2":   false,
		"models:/litter on sand/%zz":   false,
		"models:/litter on sand/99e99": false,
	} {
		_, err := r.Resolve(t.Context(), uri)
		if _, permanent := errs.Reason(err); errors.Is(err, errs.NotFound) != missing || permanent == missing {
			t.Errorf("Resolve(%q): %v", uri, err)
		}
	}
}

func TestSetAlias_refusesWhatMLflowRefuses(t *testing.T) {
	r := registry.New(blobmem.New("models"), fixed)
	create(t, r, "litter", "r1")
	for _, alias := range []string{"", "latest", "LATEST", "v1", "V20", "a b", "a/b"} {
		err := r.SetAlias(t.Context(), "litter", alias, 1, "test", "")
		if code, _ := errs.Reason(err); code != registry.CodeBadAlias {
			t.Errorf("alias %q: %v", alias, err)
		}
	}
	if err := r.SetAlias(t.Context(), "litter", "staging", 7, "test", ""); !errors.Is(err, errs.NotFound) {
		t.Errorf("alias for a version that is not there: %v", err)
	}
	if _, err := r.Create(t.Context(), registry.Version{Model: "a/b", Run: "r"}); err == nil {
		t.Error("a model name with a slash was taken")
	}
}

func TestSetGate(t *testing.T) {
	r := registry.New(blobmem.New("models"), fixed)
	create(t, r, "litter", "r1")
	verdict := gate.Verdict{Reasons: []gate.Reason{{Code: gate.ReasonWorse, Message: "0.4 under 0.5"}}, Dataset: "d1", Policy: gate.DefaultPolicy(), Decided: noon}
	if _, err := r.SetGate(t.Context(), "litter", 1, verdict); err != nil {
		t.Fatal(err)
	}
	v, err := r.Get(t.Context(), "litter", 1)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&verdict, v.Gate); diff != "" {
		t.Errorf("gate (-want +got):\n%s", diff)
	}
	if again := create(t, r, "litter", "r1"); again.Version != 1 || again.Gate == nil {
		t.Errorf("the run is not recognised after its verdict: %+v", again)
	}
}
