package directory

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/dataset"
)

func manyLabels(t *testing.T) string {
	var images, annotations []string
	for i := range 40 {
		images = append(images, fmt.Sprintf(`{"id":%d,"file_name":"b/%d.jpg","width":100,"height":80}`, i, i))
		for j := range 3 {
			annotations = append(annotations, fmt.Sprintf(`{"id":%d,"image_id":%d,"category_id":%d,"bbox":[%d,%d,10.5,20]}`, 3*i+j, i, i%5, 10*j-5, j))
		}
	}
	file := filepath.Join(t.TempDir(), "labels.json")
	text := fmt.Sprintf(`{"images":[%s],"annotations":[%s],"categories":[{"id":0,"name":"a"},{"id":1,"name":"b"},{"id":2,"name":"c"},{"id":3,"name":"d"},{"id":4,"name":"e"}]}`, strings.Join(images, ","), strings.Join(annotations, ","))
	if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return file
}

func contents(t *testing.T, dir string) map[string]string {
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(p)
		all[strings.TrimPrefix(p, dir)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Tasks make together what one process makes alone; which is last, and how often
// each runs, changes nothing.
func TestConvertShard_asOneProcess(t *testing.T) {
	file, dir := manyLabels(t), t.TempDir()
	o := Options{Policy: dataset.DefaultPolicy()}
	alone := filepath.Join(dir, "alone")
	want, err := Convert(t.Context(), file, alone, o)
	if err != nil {
		t.Fatal(err)
	}
	together := filepath.Join(dir, "together")
	var got Summary
	for i, shard := range []int{2, 0, 0, 3, 1} {
		s, merged, err := ConvertShard(t.Context(), file, together, shard, 4, o)
		if err != nil || merged != (i == 4) {
			t.Fatal(shard, merged, err)
		}
		if _, err := os.Stat(together); err == nil != merged {
			t.Error("the data set is there before it is whole")
		}
		got = s
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(contents(t, alone), contents(t, together)); d != "" {
		t.Error(d)
	}
	if _, merged, err := ConvertShard(t.Context(), file, together, 1, 4, o); err != nil || !merged {
		t.Error("a task that runs again:", merged, err)
	}
}

// stopping is a context that ends after so many looks at it: a kill at any point.
type stopping struct {
	context.Context
	left atomic.Int64
}

func (s *stopping) Err() error {
	if s.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

func TestConvert_stoppedAnywhere(t *testing.T) {
	file, dir := manyLabels(t), t.TempDir()
	o := Options{Policy: dataset.DefaultPolicy(), LabelsOnly: true}
	whole := filepath.Join(dir, "whole")
	if _, err := Convert(t.Context(), file, whole, o); err != nil {
		t.Fatal(err)
	}
	want := contents(t, whole)
	out := filepath.Join(dir, "out")
	for n := int64(0); ; n += 2 {
		stops := &stopping{Context: t.Context()}
		stops.left.Store(n)
		_, err := Convert(stops, file, out, o)
		if err == nil {
			break
		}
		if _, err := os.Stat(out); err == nil {
			t.Fatal("half a data set after a stop")
		}
	}
	if d := cmp.Diff(want, contents(t, out)); d != "" {
		t.Error(d)
	}
}

// A photo beside the labels is looked at, and its own size counts.
func TestConvert_onePhotoBesideStopsStreaming(t *testing.T) {
	file := manyLabels(t)
	dir := filepath.Join(filepath.Dir(file), "images", "b")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "7.jpg"), []byte("no photo"), 0o666); err != nil {
		t.Fatal(err)
	}
	s, err := Convert(t.Context(), file, filepath.Join(t.TempDir(), "out"), Options{Policy: dataset.DefaultPolicy()})
	if err != nil || s.LabelsOnly || s.Quarantined["photo-unreadable"] != 1 || s.Quarantined[photoMissing] != 39 {
		t.Errorf("%+v, %v", s, err)
	}
}
