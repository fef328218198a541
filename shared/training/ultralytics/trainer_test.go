package ultralytics_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/drawing"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/training/job"
	"github.com/litterloop/litterloop/shared/training/ultralytics"
)

// TestMain lets this test binary stand in for Python: PLAY says what the
// training program does.
func TestMain(m *testing.M) {
	if play := os.Getenv("PLAY"); play != "" {
		os.Exit(actor(play))
	}
	os.Exit(m.Run())
}

// actor speaks as train.py does, and trains nothing.
func actor(play string) int {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	in.Scan()
	var s map[string]any
	if json.Unmarshal(in.Bytes(), &s) != nil {
		return 3
	}
	work := s["work"].(string)
	put := func(name, text string) string {
		path := filepath.Join(work, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			panic(err)
		}
		return path
	}
	fmt.Fprintln(os.Stderr, "AttributeError: something of Python's")
	switch play {
	case "fails":
		fmt.Println(`{"failed": "RuntimeError: no labels found"}`)
	case "dies":
		return 137
	case "babbles":
		fmt.Println("Ultralytics 8.4 hello")
	case "trains":
		seen, err := os.ReadFile(s["data"].(string))
		if err != nil {
			return 4
		}
		begun := "anew"
		if c := s["checkpoint"].(string); c != "" {
			kept, _ := os.ReadFile(c)
			begun = string(kept)
		} else if w := s["weights"].(string); w != "" && w != "hub" {
			kept, _ := os.ReadFile(w)
			begun = string(kept)
		}
		fmt.Println(`{"note": "training from scratch"}`)
		fmt.Println(`{"epoch": 1, "epochs": 2, "figures": {"train/box_loss": 2.5, "metrics/mAP50B": 0.25, "metrics/mAP50-95B": 0.125}}`)
		fmt.Printf("{\"saved\": %q}\n", put("kept.tar", "after epoch 1"))
		in.Scan()
		fmt.Printf("{\"trained\": {\"onnx\": %q, \"weights\": %q, \"image_size\": 64}}\n", put("m.onnx", "onnx begun "+begun), put("best.pt", string(seen)))
		for in.Scan() {
			var q struct {
				Photo string
				Conf  float64
			}
			if json.Unmarshal(in.Bytes(), &q) != nil {
				return 5
			}
			photo, err := os.ReadFile(q.Photo)
			if err != nil {
				return 6
			}
			fmt.Printf("{\"detections\": [{\"box\": [1,2,3,4], \"class_id\": 1, \"class\": \"%d bytes%s\", \"confidence\": %g}]}\n", len(photo), filepath.Ext(q.Photo), q.Conf)
		}
	}
	return 0
}

// kept is what hooks were told.
type kept struct {
	checkpoint []byte
	notes      []string
	steps      []string
	measured   []modelpackage.Metrics
}

func (k *kept) hooks() job.Hooks {
	return job.Hooks{
		Run:  "0123456789abcdef0123456789abcdef",
		Note: func(_ context.Context, text string) error { k.notes = append(k.notes, text); return nil },
		Step: func(step, steps int, figures map[string]float64) {
			k.steps = append(k.steps, fmt.Sprint(step, steps, figures))
		},
		Measured: func(_ context.Context, _ int, m modelpackage.Metrics) error {
			k.measured = append(k.measured, m)
			return nil
		},
		Save: func(_ context.Context, c []byte) error { k.checkpoint = slices.Clone(c); return nil },
		Load: func(context.Context) ([]byte, error) { return k.checkpoint, nil },
	}
}

func samples(t *testing.T, n int) []job.Sample {
	t.Helper()
	photos, err := drawing.Set(1, n, drawing.Day)
	if err != nil {
		t.Fatal(err)
	}
	var all []job.Sample
	for _, p := range photos {
		s := job.Sample{Name: "images/train/deep/images/" + p.Name + ".JPG", Photo: func(context.Context) ([]byte, error) { return p.JPEG, nil }}
		for _, o := range p.Boxes {
			s.Boxes = append(s.Boxes, dataset.Box{Class: o.Class, X: o.X1, Y: o.Y1, W: o.X2 - o.X1, H: o.Y2 - o.Y1})
		}
		all = append(all, s)
	}
	return all
}

func trainer(t *testing.T, play string, objects map[string]string) *ultralytics.Trainer {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	return ultralytics.New(ultralytics.Options{
		Python: func(context.Context) (string, error) { return self, nil },
		Open: func(_ context.Context, uri string) (io.ReadCloser, error) {
			text, ok := objects[uri]
			if !ok {
				return nil, fmt.Errorf("%s: %w", uri, errs.NotFound)
			}
			return io.NopCloser(strings.NewReader(text)), nil
		},
		Env: []string{"PLAY=" + play},
		Log: slog.New(slog.DiscardHandler),
	})
}

func TestTrain_speaksWithItsProgram(t *testing.T) {
	all := samples(t, 3)
	data := job.Data{Classes: []string{`a "can"`, "bottle: big", "bag", "cup", "straw"}, Train: all[:2], Val: all[2:]}
	objects := map[string]string{"gs://b/w.pt": "from the bucket"}
	file := filepath.Join(t.TempDir(), "mine.pt")
	if err := os.WriteFile(file, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, recipe, checkpoint, want string
		start                          *job.Start
	}{
		{"anew", `{}`, "", "onnx begun anew", nil},
		{"from the serving model", `{}`, "", "onnx begun best", &job.Start{Checkpoint: []byte("best")}},
		{"from a bucket", `{"weights": "gs://b/w.pt"}`, "", "onnx begun from the bucket", nil},
		{"from a path", `{"weights": "` + file + `", "require_weights": true, "model": "yolo26x"}`, "", "onnx begun from a file", nil},
		{"from its checkpoint before all else", `{"weights": "gs://b/w.pt"}`, "after epoch 7", "onnx begun after epoch 7", &job.Start{Checkpoint: []byte("best")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := trainer(t, "trains", objects)
			recipe, err := u.Complete(json.RawMessage(tt.recipe))
			if err != nil {
				t.Fatal(err)
			}
			k := &kept{checkpoint: []byte(tt.checkpoint)}
			m, err := u.Train(t.Context(), data, recipe, tt.start, k.hooks())
			if err != nil {
				t.Fatal(err)
			}
			if string(m.ONNX) != tt.want || m.ImageSize != 64 || m.Licence != "AGPL-3.0" {
				t.Errorf("model %q, %d px, licence %s", m.ONNX, m.ImageSize, m.Licence)
			}
			if string(k.checkpoint) != "after epoch 1" || len(k.notes) != 1 {
				t.Errorf("kept %q, notes %q", k.checkpoint, k.notes)
			}
			if d := cmp.Diff([]string{"1 2 map[metrics/mAP50-95B:0.125 metrics/mAP50B:0.25 train/box_loss:2.5]"}, k.steps); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff([]modelpackage.Metrics{{MAP50: 0.25, MAP50_95: 0.125}}, k.measured); d != "" {
				t.Error(d)
			}
			photo, err := all[2].Photo(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				found, err := m.Predict(t.Context(), photo, job.Query{Conf: 0.5})
				if want := fmt.Sprintf("%d bytes.jpeg", len(photo)); err != nil || len(found) != 1 || found[0].Class != want || found[0].Confidence != 0.5 {
					t.Errorf("found %+v, %v; want class %q", found, err, want)
				}
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
			left, err := os.ReadDir(os.Getenv("TMPDIR"))
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestTrain_laysOutWhatUltralyticsReads(t *testing.T) {
	all := samples(t, 3)
	u := trainer(t, "trains", nil)
	var dir string
	k := &kept{}
	h := k.hooks()
	h.Note = func(context.Context, string) error { // while the program is at work
		found, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "*", "data"))
		if err != nil || len(found) != 1 {
			return fmt.Errorf("data at %v, %v", found, err)
		}
		dir = t.TempDir()
		return os.CopyFS(dir, os.DirFS(found[0]))
	}
	m, err := u.Train(t.Context(), job.Data{Classes: []string{"can", "no: yes"}, Train: all}, json.RawMessage(`{}`), nil, h)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, split := range []string{"train", "val"} { // nothing is held out: both are the same
		for i, s := range all {
			photo, err := s.Photo(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(filepath.Join(dir, "images", split, fmt.Sprintf("%07d.jpg", i))); err != nil || string(got) != string(photo) {
				t.Errorf("photo %d of %s: %d bytes, %v", i, split, len(got), err)
			}
			labels, err := os.ReadFile(filepath.Join(dir, "labels", split, fmt.Sprintf("%07d.txt", i)))
			if err != nil || strings.Count(string(labels), "\n") != len(s.Boxes) {
				t.Errorf("labels %q, %v; want %d", labels, err, len(s.Boxes))
			}
			for k, row := range slices.Collect(strings.Lines(string(labels))) {
				var class int
				var x, y, w, h float64
				if _, err := fmt.Sscan(row, &class, &x, &y, &w, &h); err != nil {
					t.Fatal(err)
				}
				b := s.Boxes[k]
				got := dataset.Box{Class: class, X: (x - w/2) * drawing.Width, Y: (y - h/2) * drawing.Height, W: w * drawing.Width, H: h * drawing.Height}
				if class != b.Class || max(abs(got.X-b.X), abs(got.Y-b.Y), abs(got.W-b.W), abs(got.H-b.H)) > 0.01 {
					t.Errorf("row %q of box %+v", row, b)
				}
			}
		}
	}
	var yaml struct {
		Path, Train, Val string
		Names            []string
	}
	if err := json.Unmarshal(m.Checkpoint, &yaml); err != nil || yaml.Names[1] != "no: yes" || yaml.Train != "images/train" {
		t.Errorf("data.yaml %s: %v", m.Checkpoint, err)
	}
}

func abs(x float64) float64 { return max(x, -x) }

func TestTrain_tellsWhatWentWrong(t *testing.T) {
	data := job.Data{Classes: []string{"can"}, Train: samples(t, 1)}
	tests := []struct {
		name, play, recipe string
		code               errs.Code // empty: transient
		want               string
	}{
		{"data that can't be trained on", "fails", `{}`, ultralytics.Untrainable, "no labels found"},
		{"a killed program", "dies", `{}`, "", "AttributeError: something of Python's"},
		{"a program that is something else", "babbles", `{}`, "", "hear the training program"},
		{"an unknown model", "trains", `{"model": "yolov5n", "epochs": 0}`, ultralytics.InvalidRecipe, "epochs 0"},
		{"an argument that the job decides", "trains", `{"options": {"save_dir": "/"}}`, ultralytics.InvalidRecipe, "options.save_dir"},
		{"a parameter misspelt", "trains", `{"epoch": 3}`, ultralytics.InvalidRecipe, `"epoch"`},
		{"weights that are not there", "trains", `{"weights": "/no/such.pt"}`, ultralytics.WeightsMissing, "/no/such.pt"},
		{"weights that are not in the bucket", "trains", `{"weights": "gs://b/no.pt"}`, ultralytics.WeightsMissing, "gs://b/no.pt"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := trainer(t, tt.play, nil).Train(t.Context(), data, json.RawMessage(tt.recipe), nil, (&kept{}).hooks())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want one that tells %q", err, tt.want)
			}
			if code, _ := errs.Reason(err); code != tt.code {
				t.Errorf("code %q, want %q (%v)", code, tt.code, err)
			}
		})
	}
}

func TestTrain_endsWithItsJob(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	k := &kept{}
	h := k.hooks()
	h.Step = func(int, int, map[string]float64) { cancel() }
	_, err := trainer(t, "trains", nil).Train(ctx, job.Data{Classes: []string{"can"}, Train: samples(t, 1)}, json.RawMessage(`{}`), nil, h)
	if err == nil {
		t.Fatal("a cancelled training ended well")
	}
	if _, permanent := errs.Reason(err); permanent {
		t.Errorf("cancelled for good: %v", err)
	}
	if errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data went before the program: %v", err)
	}
}

// Environments are gigabytes: what is wrong with a recipe is said before one is made.
func TestTrain_looksAtTheRecipeBeforeAnythingIsFetched(t *testing.T) {
	u := ultralytics.New(ultralytics.Options{
		Python: func(context.Context) (string, error) { t.Error("Python is asked for"); return "", errors.New("none") },
		Open: func(context.Context, string) (io.ReadCloser, error) {
			t.Error("weights are asked for")
			return nil, errs.NotFound
		},
	})
	for recipe, says := range map[string]string{
		`{"model": "yolo12t"}`:                          `model "yolo12t"`,
		`{"model": "yolo26n-seg"}`:                      `model "yolo26n-seg"`,
		`{"model": "../yolo11n"}`:                       `model "../yolo11n"`,
		`{"weights": "gs://b/w.onnx"}`:                  "ending in .pt",
		`{"weights": "", "require_weights": true}`:      "require_weights",
		`{"image_size": 333, "weights": "gs://b/w.pt"}`: "multiple of 32",
	} {
		_, err := u.Train(t.Context(), job.Data{Classes: []string{"can"}}, json.RawMessage(recipe), nil, (&kept{}).hooks())
		if code, _ := errs.Reason(err); code != ultralytics.InvalidRecipe || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", recipe, err)
		}
	}
	for _, family := range []string{"yolov8", "yolo11", "yolo12", "yolo26"} {
		for _, size := range "nsmlx" {
			if _, err := u.Complete(json.RawMessage(`{"model": "` + family + string(size) + `"}`)); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestFits(t *testing.T) {
	u := ultralytics.New(ultralytics.Options{})
	card := func(name, model any) job.Start {
		return job.Start{Card: modelpackage.Card{Recipe: map[string]any{"name": name, "model": model}}}
	}
	for _, tt := range []struct {
		name  string
		start job.Start
		fits  bool
	}{
		{"the same model", card("ultralytics", "yolo11n"), true},
		{"another size", card("ultralytics", "yolo11s"), false},
		{"the embedded trainer's", card("scratch", nil), false},
	} {
		if err := u.Fits(tt.start, nil, json.RawMessage(`{}`)); (err == nil) != tt.fits {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
