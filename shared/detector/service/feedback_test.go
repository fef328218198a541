package service

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
)

func TestFeedback_isKeptOnce(t *testing.T) {
	predictions := blobmem.New("predictions")
	s := start(t, func(c *Config, d *Deps) {
		c.LogTo = "gs://predictions"
		d.Bucket = func(context.Context, string) (blob.Bucket, error) { return predictions, nil }
	})
	a := s.detect(t, "", "image/png", read(t, testdata+"exact.png"))
	body := fmt.Sprintf(`{"id":%q,"boxes":[{"box":[1,2,30,40],"class":"glove"}],"author":"kim"}`, a.ID)
	var out struct{ Object string }
	for range 2 {
		code, _, p := s.do(t, http.MethodPost, "/v1/feedback", "application/json", strings.NewReader(body))
		if code != http.StatusCreated || json.Unmarshal(p, &out) != nil || !strings.Contains(out.Object, a.ID) {
			t.Fatalf("%d: %s", code, p)
		}
	}
	n := 0
	for o, err := range predictions.List(t.Context(), "feedback/") {
		if err != nil {
			t.Fatal(err)
		}
		if o.Name != out.Object {
			t.Errorf("unexpected %s", o.Name)
		}
		n++
	}
	if n != 1 {
		t.Errorf("kept %d times, want once", n)
	}
	var doc kept
	if _, err := blob.ReadJSON(t.Context(), predictions, out.Object, &doc); err != nil || doc.Boxes[0].Class != "glove" || doc.Model.Name != "dynamic" {
		t.Errorf("%+v, %v", doc, err)
	}
	for name, bad := range map[string]string{
		"an id of no answer":    `{"id":"../../x","boxes":[]}`,
		"a box turned around":   fmt.Sprintf(`{"id":%q,"boxes":[{"box":[30,2,1,40],"class":"x"}]}`, a.ID),
		"a box without a class": fmt.Sprintf(`{"id":%q,"boxes":[{"box":[1,2,30,40],"class":""}]}`, a.ID),
		"no boxes at all":       fmt.Sprintf(`{"id":%q}`, a.ID),
	} {
		if code, _, p := s.do(t, http.MethodPost, "/v1/feedback", "application/json", strings.NewReader(bad)); code != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", name, code, p)
		}
	}
}

func TestFeedback_withoutLog(t *testing.T) {
	s := start(t, nil)
	body := `{"id":"0198c0de-0000-7000-8000-000000000000","boxes":[]}`
	if code, _, p := s.do(t, http.MethodPost, "/v1/feedback", "application/json", strings.NewReader(body)); code != http.StatusConflict || !strings.Contains(string(p), "feedback-off") {
		t.Errorf("%d %s", code, p)
	}
}
