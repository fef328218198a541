package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/cmd/litterloop/client"
	"github.com/litterloop/litterloop/localcloud"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/datasettest"
	"github.com/litterloop/litterloop/shared/validation"
)

// dataCloud is a local cloud without functions whose data set bucket holds two
// versions, the first of them blocked.
func dataCloud(t *testing.T) (state string, versions [2]dataset.Version) {
	t.Helper()
	state = t.TempDir()
	cloud, err := localcloud.Start(t.Context(), localcloud.Options{Dir: state})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cloud.Close(t.Context()); err != nil {
			t.Logf("close: %v", err)
		}
	})
	for _, kv := range cloud.Endpoints.Environ() { // connecting sets them: put back what was
		key, value, _ := strings.Cut(kv, "=")
		t.Setenv(key, value)
	}
	cl, err := client.Local(t.Context(), cloud.Endpoints, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	res, err := http.Post("http://"+cloud.Endpoints.Storage+"/storage/v1/b?project=local", "application/json", strings.NewReader(`{"name":"`+cl.Datasets+`"}`))
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("create the bucket: %+v, %v", res, err)
	}
	res.Body.Close()
	w := datasettest.New(t)
	classes, photos := datasettest.Sample()
	versions[0] = w.Drop("b", classes, photos...)
	photos[0].Boxes = photos[0].Boxes[:1]
	versions[1] = w.Drop("b", classes, photos[:3]...)
	blocked := validation.Result{Dataset: versions[0].ID, Findings: []validation.Finding{{Code: validation.TinyBox, Severity: validation.Block, Count: 1}}}
	if _, err := blob.WriteJSON(t.Context(), w.Datasets, dataset.VersionObject(versions[0].ID, dataset.ValidationFile), blocked, blob.Any); err != nil {
		t.Fatal(err)
	}
	b := cl.Bucket(cl.Datasets)
	for a, err := range w.Datasets.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		data, _, err := blob.ReadAll(t.Context(), w.Datasets, a.Name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Write(t.Context(), a.Name, bytes.NewReader(data), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
			t.Fatal(err)
		}
	}
	return state, versions
}

func TestData(t *testing.T) {
	state, versions := dataCloud(t)
	quiet, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer quiet.Close()
	// do runs a command and returns what it printed as JSON.
	do := func(wantStatus int, args ...string) map[string]any {
		t.Helper()
		var out bytes.Buffer
		if status := run(t.Context(), append([]string{"--state", state, "--json", "data"}, args...), &out, quiet); status != wantStatus {
			text, _ := os.ReadFile(quiet.Name())
			t.Fatalf("%v: exit status %d, want %d\n%s%s", args, status, wantStatus, out.Bytes(), text)
		}
		var v map[string]any
		if out.Len() > 0 {
			if err := json.Unmarshal(out.Bytes(), &v); err != nil {
				t.Fatalf("%v: %v\n%s", args, err, out.Bytes())
			}
		}
		return v
	}
	// field checks one value on the path of keys.
	field := func(v map[string]any, want any, path ...string) {
		t.Helper()
		var at any = v
		for _, key := range path {
			m, _ := at.(map[string]any)
			at = m[key]
		}
		if d := cmp.Diff(want, at); d != "" {
			t.Errorf("%v: %s", path, d)
		}
	}
	dir, first := filepath.Join(t.TempDir(), "data"), versions[0].ID

	if all, _ := do(0, "list")["versions"].([]any); len(all) != 2 {
		t.Errorf("versions: %v", all)
	}
	field(do(0, "show", first[:6]), first, "id")
	do(1, "show") // none is current
	do(1, "show", "nosuch")
	field(do(0, "verify", first), []any{}, "damage")
	field(do(0, "verify", first, "--quick"), float64(9), "files")
	field(do(0, "pull", "1", dir), float64(9), "fetched")
	field(do(0, "verify", "1", "--dir", dir), []any{}, "damage")
	if err := os.WriteFile(filepath.Join(dir, "data.yaml"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if damage, _ := do(1, "verify", "1", "--dir", dir)["damage"].([]any); len(damage) != 1 {
		t.Errorf("damage: %v", damage)
	}
	field(do(0, "pull", "1", dir), float64(1), "repaired")
	d := do(0, "diff", "1", "2")
	field(d, float64(1), "photos", "removed")
	field(d, float64(1), "boxes", "removed")
	field(do(0, "export-dvc", "2", filepath.Join(dir, "repo")), versions[1].ID, "dataset")

	field(do(0, "approve", "1", "--who", "ann@example.org", "--why", "small but real"), first, "dataset")
	field(do(0, "show", "1"), "ann@example.org", "approval", "who")
	do(1, "approve", "1", "--who", "bob", "--why", "again")
	do(2, "approve", "2")
	do(1, "approve", "2", "--who", "bob", "--why", "not validated yet")
}

func TestData_convert(t *testing.T) {
	dir := t.TempDir()
	labels := filepath.Join(dir, "labels.json")
	const coco = `{"images":[{"id":1,"file_name":"a.jpg","width":100,"height":100}],"categories":[{"id":7,"name":"Can"}],
		"annotations":[{"id":1,"image_id":1,"category_id":7,"bbox":[-5,10,20,20]},{"id":1,"image_id":1,"category_id":7,"bbox":[NaN,0,1,1]}]}`
	if err := os.WriteFile(labels, []byte(coco), 0o666); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if status := run(t.Context(), []string{"data", "convert", labels, filepath.Join(dir, "out"), "--json"}, &out, os.Stderr); status != 0 {
		t.Fatalf("exit status %d", status)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "findings")
	delete(got, "splits")
	want := map[string]any{
		"images": 1.0, "boxes": 1.0, "classes": 1.0, "labels_only": true,
		"clipped": map[string]any{"box-negative-origin": 1.0}, "quarantined": map[string]any{"box-not-finite": 1.0}, "duplicates": map[string]any{"annotation-id-duplicate": 1.0},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
