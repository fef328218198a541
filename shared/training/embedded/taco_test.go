package embedded

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Photos as people take them: many megapixels, turned by EXIF, sixty classes of
// which most are empty, boxes of a few pixels.
func TestTrain_realPhotos(t *testing.T) {
	needRuntime(t)
	dir := filepath.Join("..", "..", "..", "..", "shared", "data", "taco_subset")
	labels, err := os.ReadFile(filepath.Join(dir, "annotations.json"))
	if err != nil {
		t.Skip("needs real photos beside the repository:", err)
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
	for _, im := range coco.Images[:min(12, len(coco.Images))] {
		s := Sample{Name: im.FileName, Load: func(context.Context) ([]byte, error) {
			return os.ReadFile(filepath.Join(dir, im.FileName))
		}}
		for _, a := range coco.Annotations {
			if a.ImageID == im.ID {
				b := a.BBox
				s.Boxes = append(s.Boxes, Box{class[a.CategoryID], b[0], b[1], b[0] + b[2], b[1] + b[3]})
			}
		}
		data.Train = append(data.Train, s)
	}
	data.Val = data.Train[:4]
	r := smallRecipe(5)
	r.ImageSize = 320
	m := train(t, data, r, Hooks{})
	if m.Metrics.Photos != 4 || m.Metrics.Boxes == 0 {
		t.Errorf("metrics %+v, want those of 4 photos", m.Metrics)
	}
}
