package labelformat_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
)

func newReader(s string) io.Reader { return strings.NewReader(s) }

// cocoText are COCO labels of photos with a box each.
func cocoText(names ...string) string {
	var images, annotations []string
	for i, n := range names {
		images = append(images, fmt.Sprintf(`{"id":%d,"file_name":"%s","width":10,"height":10}`, i, n))
		annotations = append(annotations, fmt.Sprintf(`{"id":%d,"image_id":%d,"category_id":1,"bbox":[1,1,2,2]}`, i, i))
	}
	return fmt.Sprintf(`{"images":[%s],"annotations":[%s],"categories":[{"id":1,"name":"Can"}]}`, strings.Join(images, ","), strings.Join(annotations, ","))
}

func checkLabels(t *testing.T, l dataset.Labels, want []string, found map[errs.Code]int) {
	t.Helper()
	var got []string
	for _, p := range l.Photos {
		got = append(got, fmt.Sprintf("%s %d", p.Name, len(p.Boxes)))
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	codes := map[errs.Code]int{}
	for _, f := range l.Findings {
		codes[f.Code] = f.Count
		if f.Message == "" || f.Kind == "" {
			t.Errorf("%s is not explained", f.Code)
		}
	}
	if found == nil {
		found = map[errs.Code]int{}
	}
	if d := cmp.Diff(found, codes); d != "" {
		t.Error(d)
	}
}
