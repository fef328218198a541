package bulk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/coco"
	"github.com/litterloop/litterloop/shared/dataset/labelformat"
	"github.com/litterloop/litterloop/shared/errs"
)

func source(labels string) Source {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(labels)), nil }
}

// plainly converts as package directory does, with everything in memory.
func plainly(t testing.TB, labels string) (map[string]string, Result, error) {
	t.Helper()
	f, err := coco.Read(strings.NewReader(labels), coco.Limits{})
	if err != nil {
		return nil, Result{}, err
	}
	for i := range f.Images {
		f.Images[i].FileName = labelformat.Uploaded(f.Images[i].FileName)
	}
	l, err := dataset.FromCOCO(f)
	if err != nil {
		return nil, Result{}, err
	}
	seen := map[string]dataset.Seen{}
	for _, p := range l.Photos {
		seen[p.Name] = dataset.Declared(p)
	}
	rec := dataset.NewRecord("", l, seen)
	r := Result{Classes: rec.Classes, Splits: map[dataset.Split]dataset.Counts{}, Findings: rec.Findings}
	files := map[string]string{}
	for _, p := range rec.Layout(nil, dataset.DefaultPolicy()) {
		files[dataset.LabelPath(p.Path)] = string(dataset.YOLO(p))
		n := r.Splits[p.Split]
		r.Splits[p.Split] = dataset.Counts{Photos: n.Photos + 1, Boxes: n.Boxes + len(p.Boxes)}
	}
	names, err := dataset.DataYAML(rec.Classes)
	if err != nil {
		t.Fatal(err)
	}
	files[dataset.DataYAMLFile] = string(names)
	return files, r, nil
}

func options(t testing.TB) Options {
	return Options{Policy: dataset.DefaultPolicy(), Scratch: t.TempDir()}
}

func tree(t testing.TB, dir string) map[string]string {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(p)
		rel, _ := filepath.Rel(dir, p)
		files[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

var loose = []cmp.Option{cmpopts.EquateEmpty()}

// quirks are labels of every kind of fault, at random: lists in any order,
// twice, ids and names shared, sizes missing, boxes of all sorts.
func quirks(r *rand.Rand) string {
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	list := func(n int, item func(i int) string) string {
		var all []string
		for i := range n {
			all = append(all, item(i))
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	id := func() string {
		return pick(fmt.Sprint(r.IntN(30)), fmt.Sprint(r.IntN(30)), fmt.Sprint(r.IntN(30)), `"a"`, `"7"`, "null", "1e3")
	}
	images := func() string {
		return list(r.IntN(40), func(int) string {
			name := pick(`"x%d.jpg"`, `"x%d.JPG"`, `"X%d.jpg"`, `"images/x%d.jpg"`, `"a/../x%d.jpg"`, `"../x%d.jpg"`, `"sub/x%d.png"`, `""`, `"x:%d.jpg"`, `"ü%d.jpg"`, `"/data/upload/3/x%d.jpg"`)
			if strings.Contains(name, "%d") {
				name = fmt.Sprintf(name, r.IntN(20))
			}
			return fmt.Sprintf(`{"id":%s,"file_name":%s,"width":%s,"height":%s}`, id(), name, pick("100", "100", "100", "0", "null", "64"), pick("100", "80", "80", "0"))
		})
	}
	number := func() string {
		return pick(fmt.Sprint(r.IntN(90)), fmt.Sprintf("%.2f", 90*r.Float64()), fmt.Sprintf("%.7f", 120*r.Float64()-10), "0", "-3", "NaN", "Infinity", "1e999", "500")
	}
	annotations := func() string {
		return list(r.IntN(120), func(int) string {
			box := fmt.Sprintf("[%d,%d,%.1f,%.3f]", r.IntN(80), r.IntN(60), 40*r.Float64(), 40*r.Float64())
			if r.IntN(3) == 0 {
				box = "[" + strings.Join([]string{number(), number(), number(), number()}, ",") + "]"
			}
			return fmt.Sprintf(`{"id":%s,"image_id":%s,"category_id":%s,"bbox":%s,"iscrowd":%s}`, pick(id(), fmt.Sprint(r.IntN(1000))), id(), pick("1", "2", "3", "9", `"k"`), pick(box, box, box, "null", "[1,2]"), pick("0", "0", "0", "0", "1", "true"))
		})
	}
	categories := func() string {
		return list(r.IntN(6), func(int) string {
			return fmt.Sprintf(`{"id":%s,"name":%s}`, pick("1", "2", "3", `"k"`), pick(`"Can"`, `"Cup"`, `""`, `" Can "`, `"Bag"`))
		})
	}
	lists := []string{`"images":` + images(), `"annotations":` + annotations(), `"categories":` + categories(), `"info":{"a":[1]}`}
	if r.IntN(4) == 0 {
		lists = append(lists, `"images":`+images())
	}
	if r.IntN(4) == 0 {
		lists = append(lists, `"annotations":`+annotations())
	}
	r.Shuffle(len(lists), func(i, j int) { lists[i], lists[j] = lists[j], lists[i] })
	return "{" + strings.Join(lists, ",") + "}"
}

// same compares both ways of converting labels, dealt to n shards in one process
// or by a task each.
func same(t *testing.T, labels string, n int, tasks bool) {
	t.Helper()
	want, wantResult, wantErr := plainly(t, labels)
	made := t.TempDir()
	o := options(t)
	var got Result
	var err error
	if tasks {
		parts := t.TempDir()
		for shard := range n {
			o.Scratch = t.TempDir()
			err = errors.Join(err, MakePart(t.Context(), source(labels), shard, n, parts, o))
		}
		if err == nil {
			got, err = Merge(t.Context(), parts, n, made, o)
		}
	} else {
		got, err = Convert(t.Context(), source(labels), n, made, o)
	}
	wantCode, _ := errs.Reason(wantErr)
	if code, _ := errs.Reason(err); (err == nil) != (wantErr == nil) || code != wantCode {
		t.Fatalf("got %v, plainly %v\n%s", err, wantErr, labels)
	}
	if err != nil {
		return
	}
	if d := cmp.Diff(wantResult, got, loose...); d != "" {
		t.Errorf("%s\n%s", d, labels)
	}
	if d := cmp.Diff(want, tree(t, made)); d != "" {
		t.Errorf("%s\n%s", d, labels)
	}
}

func TestConvert_asInMemory(t *testing.T) {
	for seed := range uint64(60) {
		labels := quirks(rand.New(rand.NewPCG(seed, 1)))
		same(t, labels, []int{1, 2, 7}[seed%3], seed%2 == 0)
		if t.Failed() {
			t.Fatal("seed", seed)
		}
	}
}

func TestConvert_TACO(t *testing.T) {
	labels, err := os.ReadFile("../../../../shared/data/taco/annotations.json")
	if err != nil {
		t.Skip("the real input is not on this machine: ", err)
	}
	same(t, string(labels), 3, false)
}

func TestMakePart_keepsWhatIsThereAndRefusesOthers(t *testing.T) {
	labels := quirks(rand.New(rand.NewPCG(3, 1)))
	parts := t.TempDir()
	for shard := range 2 {
		if err := MakePart(t.Context(), source(labels), shard, 2, parts, options(t)); err != nil {
			t.Fatal(err)
		}
	}
	if !Complete(parts, 2) || Complete(parts, 3) {
		t.Error("what is complete is not known")
	}
	again := func() (io.ReadCloser, error) { return nil, errors.New("read again") }
	if err := MakePart(t.Context(), again, 1, 2, parts, options(t)); err != nil {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(parts, partName(1, 2)+summaryEnding)); err != nil {
		t.Fatal(err)
	}
	if _, err := Merge(t.Context(), parts, 2, t.TempDir(), options(t)); !errors.Is(err, errs.NotFound) {
		t.Error("merged without a part:", err)
	}
	other := strings.Replace(labels, "Can", "Tin", 1) + " "
	if err := MakePart(t.Context(), source(other), 1, 2, parts, options(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := Merge(t.Context(), parts, 2, t.TempDir(), options(t)); !isCode(err, PartsDiffer) {
		t.Error("merged parts of different labels:", err)
	}
	if err := MakePart(t.Context(), source(labels), 2, 2, parts, options(t)); !isCode(err, "shard-unknown") {
		t.Error(err)
	}
}

func isCode(err error, want errs.Code) bool {
	code, _ := errs.Reason(err)
	return code == want
}

func TestMerge_damagedParts(t *testing.T) {
	labels := quirks(rand.New(rand.NewPCG(3, 1)))
	parts := t.TempDir()
	if err := MakePart(t.Context(), source(labels), 0, 1, parts, options(t)); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(parts, partName(0, 1))
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(whole); n += 5 {
		for _, damaged := range [][]byte{whole[:n], bytes.Join([][]byte{whole[:n], {whole[n] ^ 0xff}, whole[n+1:]}, nil)} {
			if err := os.WriteFile(name, damaged, 0o666); err != nil {
				t.Fatal(err)
			}
			_, _ = Merge(t.Context(), parts, 1, t.TempDir(), options(t)) // must not panic
		}
	}
}

func TestConvert_stops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Convert(ctx, source(quirks(rand.New(rand.NewPCG(3, 1)))), 2, t.TempDir(), options(t)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
