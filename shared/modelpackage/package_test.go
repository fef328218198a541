package modelpackage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/modelpackage"
)

const prefix = "artifacts/1/r1/artifacts/model/"

var can = modelpackage.Detection{Box: [4]float64{10, 10, 30, 30}, Class: "can", Confidence: 0.9}

func content() modelpackage.Content {
	return modelpackage.Content{
		Card:  modelpackage.Card{Name: "litter", Run: "r1", Created: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Dataset: "d1", Classes: []string{"can", `"bottle": {`}},
		Model: []byte("onnx"),
		Golden: modelpackage.Golden{Conf: 0.25, IoU: 0.7, MaxDet: 300, Photos: []modelpackage.GoldenPhoto{
			{File: "00.jpg", Detections: []modelpackage.Detection{can}}, {File: "01.jpg"},
		}},
		Photos:    map[string][]byte{"00.jpg": []byte("a photo"), "01.jpg": []byte("an empty beach")},
		Reference: []byte("rows"),
	}
}

func write(t *testing.T, b blob.Bucket, c modelpackage.Content) modelpackage.Card {
	t.Helper()
	card, err := modelpackage.Write(t.Context(), b, prefix, c)
	if err != nil {
		t.Fatal(err)
	}
	return card
}

func TestWrite_whatIsReadIsWhatWasWritten(t *testing.T) {
	b := blobmem.New("models")
	card := write(t, b, content())
	p, err := modelpackage.Load(t.Context(), b, prefix)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(card, p.Card); diff != "" {
		t.Errorf("card (-written +read):\n%s", diff)
	}
	if err := p.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	g, err := p.Golden(t.Context())
	if err != nil || len(g.Photos) != 2 || g.Photos[0].SHA256 == "" {
		t.Fatalf("golden %+v, %v", g, err)
	}
	if photo, err := p.Photo(t.Context(), g.Photos[0]); err != nil || string(photo) != "a photo" {
		t.Errorf("photo %q, %v", photo, err)
	}
	if _, err := p.Read(t.Context(), modelpackage.CheckpointFile); !errors.Is(err, errs.NotFound) {
		t.Errorf("a checkpoint that was not written: %v", err)
	}
	mlmodel, err := p.Read(t.Context(), modelpackage.MLmodelFile)
	if err != nil || !strings.Contains(string(mlmodel), "loader_module: litterloop_pyfunc") {
		t.Errorf("MLmodel %s, %v", mlmodel, err)
	}
}

func TestWrite_aCompletePackageNeverChanges(t *testing.T) {
	b := blobmem.New("models")
	first := write(t, b, content())
	other := content()
	other.Model = []byte("another model")
	if diff := cmp.Diff(first, write(t, b, other)); diff != "" {
		t.Errorf("the package changed (-first +second):\n%s", diff)
	}
}

// dying is a bucket whose writes fail after the first n.
type dying struct {
	*blobmem.Bucket
	writes int
}

func (d *dying) Write(ctx context.Context, name string, r io.Reader, o blob.WriteOptions) (blob.Attrs, error) {
	if d.writes--; d.writes < 0 {
		return blob.Attrs{}, errs.Unavailable
	}
	return d.Bucket.Write(ctx, name, r, o)
}

func TestWrite_diedHalfWay(t *testing.T) {
	for n := 0; ; n++ {
		b := &dying{blobmem.New("models"), n}
		_, err := modelpackage.Write(t.Context(), b, prefix, content())
		if err == nil {
			if n < 8 {
				t.Fatalf("complete after %d writes", n)
			}
			return
		}
		if _, err := modelpackage.Load(t.Context(), b, prefix); !errors.Is(err, errs.NotFound) {
			t.Fatalf("half a package after %d writes: %v", n, err)
		}
		b.writes = 100
		again := content()
		again.Model = []byte("trained anew")
		card := write(t, b, again)
		p, err := modelpackage.Load(t.Context(), b, prefix)
		if err == nil {
			err = p.Verify(t.Context())
		}
		if model, readErr := p.Read(t.Context(), modelpackage.ModelFile); err != nil || readErr != nil || string(model) != "trained anew" {
			t.Fatalf("after %d writes: model %q, %v, %v, card %+v", n, model, err, readErr, card)
		}
	}
}

func TestWrite_refusesWhatIsNoPackage(t *testing.T) {
	for name, spoil := range map[string]func(*modelpackage.Content){
		"no model":                         func(c *modelpackage.Content) { c.Model = nil },
		"no golden photo":                  func(c *modelpackage.Content) { c.Golden.Photos = nil },
		"a golden photo without its bytes": func(c *modelpackage.Content) { delete(c.Photos, "01.jpg") },
		"a golden photo that leaves its place": func(c *modelpackage.Content) {
			c.Golden.Photos[0].File = "../card.json"
			c.Photos["../card.json"] = nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := content()
			spoil(&c)
			_, err := modelpackage.Write(t.Context(), blobmem.New("models"), prefix, c)
			if code, _ := errs.Reason(err); code != modelpackage.CodeIncomplete {
				t.Error(err)
			}
		})
	}
}

func TestRead_damagedFile(t *testing.T) {
	b := blobmem.New("models")
	write(t, b, content())
	if _, err := b.Write(t.Context(), prefix+modelpackage.ModelFile, bytes.NewReader([]byte("onnX")), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
		t.Fatal(err)
	}
	p, err := modelpackage.Load(t.Context(), b, prefix)
	if err != nil {
		t.Fatal(err)
	}
	if code, _ := errs.Reason(p.Verify(t.Context())); code != modelpackage.CodeDamaged {
		t.Error("a damaged model was not noticed")
	}
}

func TestCompare(t *testing.T) {
	moved := can
	moved.Box[2] += 0.3
	moved.Confidence -= 0.0005
	far := can
	far.Box = [4]float64{100, 100, 130, 130}
	bottle := can
	bottle.ClassID = 1
	faint := far
	faint.Confidence = 0.2505
	photo := func(d ...modelpackage.Detection) modelpackage.GoldenPhoto {
		return modelpackage.GoldenPhoto{File: "00.jpg", Detections: d}
	}
	type detections = []modelpackage.Detection
	tests := map[string]struct {
		want   modelpackage.GoldenPhoto
		found  detections
		pixels float64
		score  float64
		faults int
	}{
		"the same":                    {want: photo(can, far), found: detections{can, far}},
		"in another order":            {want: photo(can, far), found: detections{far, can}},
		"nothing on either side":      {want: photo()},
		"slightly off":                {want: photo(can), found: detections{moved}, pixels: 0.3, score: 0.0005},
		"not found":                   {want: photo(can), faults: 1},
		"found beside":                {want: photo(can), found: detections{can, far}, faults: 1},
		"somewhere else":              {want: photo(can), found: detections{far}, faults: 2},
		"of another class":            {want: photo(can), found: detections{bottle}, faults: 2},
		"one for two":                 {want: photo(can, can), found: detections{can}, faults: 1},
		"at the threshold, not found": {want: photo(faint)},
		"at the threshold, found":     {want: photo(), found: detections{faint}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := modelpackage.Golden{Conf: 0.25}.Compare(tt.want, tt.found)
			if fmt.Sprintf("%.6f %.6f %d", d.Pixels, d.Score, len(d.Faults)) != fmt.Sprintf("%.6f %.6f %d", tt.pixels, tt.score, tt.faults) {
				t.Errorf("%+v; want %v px, %v, %d faults", d, tt.pixels, tt.score, tt.faults)
			}
		})
	}
}
