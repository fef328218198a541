package dataset

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/litterloop/litterloop/shared/dataset/coco"
	"github.com/litterloop/litterloop/shared/errs"
)

func TestFromCOCO_quirks(t *testing.T) {
	in := `{"images":[{"id":7,"file_name":"b.jpg","width":10,"height":20},{"id":"x","file_name":"./a.jpg"},{"id":7,"file_name":"c.jpg"},{"id":9,"file_name":"b.jpg"},{"id":10},{"id":11,"file_name":"../z.jpg"}],
	"categories":[{"id":5,"name":" Can "},{"id":2,"name":"Cup"},{"id":9,"name":"Can"},{"id":5,"name":"Bag"},{"id":30}],
	"annotations":[
		{"id":1,"image_id":7,"category_id":5,"bbox":[1,1,2,2]},
		{"id":1,"image_id":9,"category_id":9,"bbox":[-3,1,5,5]},
		{"id":2,"image_id":"x","category_id":30,"bbox":[1,1,2,2]},
		{"id":3,"image_id":"x","category_id":2,"bbox":[NaN,1,2,2]},
		{"id":4,"image_id":"x","category_id":2,"bbox":[1,1,0,2]},
		{"id":5,"image_id":"x","category_id":2,"bbox":[1,1,2,-2]},
		{"id":6,"image_id":"x","category_id":2,"bbox":[1,1,2]},
		{"id":7,"image_id":"x","category_id":3,"bbox":[1,1,2,2]},
		{"id":8,"image_id":404,"category_id":2,"bbox":[1,1,2,2]},
		{"id":9,"image_id":"x","category_id":2,"bbox":[1,1,2,2],"iscrowd":1},
		{"id":10,"image_id":11,"category_id":2,"bbox":[1,1,2,2]}]}`
	f, err := coco.Read(strings.NewReader(in), coco.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := FromCOCO(f)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[errs.Code]int{}
	for _, f := range got.Findings {
		counts[f.Code] = f.Count
		if f.Message == "" || f.Kind == "" || len(f.Examples) != f.Count {
			t.Errorf("%s is not explained: %+v", f.Code, f)
		}
	}
	want := map[errs.Code]int{
		BoxNotFinite: 1, BoxEmpty: 2, BoxMissing: 1, BoxCrowd: 1, CategoryUnknown: 1, ImageUnknown: 2,
		AnnotationDuplicate: 1, ImageDuplicate: 1, NameDuplicate: 1, NameMissing: 1, NameUnsafe: 1, CategoryDuplicate: 2, CategoryNameless: 1,
	}
	if d := cmp.Diff(want, counts); d != "" {
		t.Error(d)
	}
	got.Findings = nil
	if d := cmp.Diff(Labels{Classes: []string{"Can", "Cup", "class 30"}, Photos: []LabelledPhoto{
		{Name: "a.jpg", Boxes: []Box{{2, 1, 1, 2, 2}}},
		{Name: "b.jpg", Width: 10, Height: 20, Boxes: []Box{{0, 1, 1, 2, 2}, {0, -3, 1, 5, 5}}},
		{Name: "c.jpg"},
	}}, got, cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
}

func TestFromCOCO_nothingUsable(t *testing.T) {
	_, err := FromCOCO(&coco.File{Images: []coco.Image{{FileName: "../x"}}})
	if code, _ := errs.Reason(err); code != "labels-empty" {
		t.Errorf("got %v", err)
	}
}

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func TestAssemble_classIDsStay(t *testing.T) {
	var head Head
	rec := func(batch string, classes ...string) Record {
		return Record{Batch: batch, Classes: classes, Photos: []RecordPhoto{{Name: "a.jpg", File: "a.jpg", MD5: MD5Hex([]byte(batch)), Width: 10, Height: 10, Boxes: []Box{{len(classes) - 1, 1, 1, 2, 2}}}}}
	}
	first, err := Assemble(&head, nil, nil, rec("one", "Can", "Cup"), "h1", 1, DefaultPolicy(), noon)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Assemble(&head, first.Photos, nil, rec("ONE", "Bag", "Can"), "h2", 2, DefaultPolicy(), noon)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"Can", "Cup", "Bag"}, second.Version.Classes); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]int{1, 1, 0}, second.Version.PerClass); d != "" {
		t.Error(d)
	}
	var paths []string
	for _, p := range second.Photos {
		paths = append(paths, p.Path)
	}
	if d := cmp.Diff([]string{"images/train/ONE-" + shortHash("ONE") + "/a.jpg", "images/train/one/a.jpg"}, paths); d != "" {
		t.Error(d)
	}
	again := head
	third, err := Assemble(&again, second.Photos, nil, rec("ONE", "Bag", "Can"), "h3", 3, DefaultPolicy(), noon)
	if err != nil || third.Version.ID != second.Version.ID || again.Version.Sequence != 2 {
		t.Errorf("the same content made another version: %+v %v", third.Version, err)
	}
}

func TestNewRecord_keepsTheLabelledDuplicate(t *testing.T) {
	same := Seen{Measured: Measured{MD5: MD5Hex(nil), Width: 10, Height: 10}}
	l := Labels{Classes: []string{"Can"}, Photos: []LabelledPhoto{{Name: "a.jpg"}, {Name: "b.jpg", Boxes: []Box{{0, 1, 1, 2, 2}}}, {Name: "c.jpg", Boxes: []Box{{0, 2, 2, 2, 2}}}}}
	rec := NewRecord("b", l, map[string]Seen{"a.jpg": same, "b.jpg": same, "c.jpg": same})
	var faults []errs.Code
	for _, p := range rec.Photos {
		faults = append(faults, p.Fault)
	}
	if d := cmp.Diff([]errs.Code{PhotoDuplicate, "", PhotoDuplicate}, faults); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"a.jpg is b.jpg", "c.jpg is b.jpg"}, rec.Findings[0].Examples); d != "" {
		t.Error(d)
	}
}
