package embedded

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// taco are the real photos beside the repository: many megapixels, turned by
// EXIF, sixty classes of which most are empty, boxes of a few pixels. Those that
// the list of held-out photos names are in Val.
func taco(t testing.TB) Data {
	t.Helper()
	root := filepath.Join("..", "..", "..", "..", "shared", "data")
	dir := filepath.Join(root, "taco_subset")
	labels, err := os.ReadFile(filepath.Join(dir, "annotations.json"))
	if err != nil {
		t.Skip("needs real photos beside the repository:", err)
	}
	heldOut, err := os.ReadFile(filepath.Join(root, "taco_subset_val.txt"))
	if err != nil {
		t.Skip("needs the list of held-out photos:", err)
	}
	var coco struct {
		Images []struct {
			ID       int
			FileName string `json:"file_name"`
		}
		Annotations []struct {
			ImageID    int `json:"image_id"`
			CategoryID int `json:"category_id"`
			BBox       [4]float64
		}
		Categories []struct {
			ID   int
			Name string
		}
	}
	if err := json.Unmarshal(labels, &coco); err != nil {
		t.Fatal(err)
	}
	var data Data
	class := map[int]int{}
	for i, c := range coco.Categories {
		data.Classes = append(data.Classes, c.Name)
		class[c.ID] = i
	}
	for _, im := range coco.Images {
		s := Sample{Name: im.FileName, Load: func(context.Context) ([]byte, error) {
			return os.ReadFile(filepath.Join(dir, im.FileName))
		}}
		for _, a := range coco.Annotations {
			if a.ImageID == im.ID {
				b := a.BBox
				s.Boxes = append(s.Boxes, Box{class[a.CategoryID], b[0], b[1], b[0] + b[2], b[1] + b[3]})
			}
		}
		if strings.Contains(string(heldOut), im.FileName) {
			data.Val = append(data.Val, s)
		} else {
			data.Train = append(data.Train, s)
		}
	}
	return data
}

func TestTrain_realPhotos(t *testing.T) {
	needRuntime(t)
	data := taco(t)
	data.Train, data.Val = data.Train[:min(12, len(data.Train))], data.Val[:min(4, len(data.Val))]
	r := smallRecipe(5)
	r.ImageSize = 320
	m := train(t, data, r, Hooks{})
	if m.Metrics.Photos != len(data.Val) || m.Metrics.Boxes == 0 {
		t.Errorf("metrics %+v, want those of %d photos", m.Metrics, len(data.Val))
	}
}

// BenchmarkTrainRealPhotos is the default recipe at 416 px on the real photos,
// as one class: seventy-six photos are too few to tell sixty classes apart.
func BenchmarkTrainRealPhotos(b *testing.B) {
	needRuntime(b)
	data := taco(b)
	data.Classes = []string{"litter"}
	for _, part := range [][]Sample{data.Train, data.Val} {
		for i := range part {
			for j := range part[i].Boxes {
				part[i].Boxes[j].Class = 0
			}
		}
	}
	r := recipe(b)
	r.ImageSize = 416
	for b.Loop() {
		start := cpuTime()
		m, err := Train(b.Context(), data, r, Hooks{})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(m.Metrics.MAP50, "mAP50")
		b.ReportMetric((cpuTime() - start).Seconds(), "cpu-s/op")
		if err := m.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
