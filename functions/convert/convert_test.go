package convert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	gcs "cloud.google.com/go/storage"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	"google.golang.org/api/option"

	"github.com/litterloop/litterloop/localcloud/storage"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobgcs"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/bus/busmem"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/drawing"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func newFunction(incoming, datasets blob.Bucket, b *busmem.Bus) *Function {
	return New(incoming, datasets, b, dataset.DefaultPolicy(), func() time.Time { return noon }, slog.New(slog.DiscardHandler))
}

func finalized(t testing.TB, bucket, name string) event.Event {
	e, err := event.New(event.ObjectFinalized, noon, event.Object{Bucket: bucket, Name: name}, name)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func write(t testing.TB, b blob.Bucket, name string, data []byte) {
	t.Helper()
	if _, err := b.Write(t.Context(), name, bytes.NewReader(data), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
		t.Fatal(err)
	}
}

// drawn is a batch of drawn photos: objects by name below the batch.
func drawn(t testing.TB, n int) (names []string, content map[string][]byte) {
	set, err := drawing.Set(1, n, drawing.Day)
	if err != nil {
		t.Fatal(err)
	}
	type m = map[string]any
	content = map[string][]byte{}
	images, annotations, categories := []m{}, []m{}, []m{}
	for i, c := range drawing.Classes {
		categories = append(categories, m{"id": i + 1, "name": c})
	}
	for i, p := range set {
		name := fmt.Sprintf("photos/%04d.jpg", i)
		names, content[name] = append(names, name), p.JPEG
		images = append(images, m{"id": i, "file_name": name, "width": p.W, "height": p.H})
		for _, b := range p.Boxes {
			annotations = append(annotations, m{"id": len(annotations), "image_id": i, "category_id": b.Class + 1, "bbox": []float64{b.X1, b.Y1, b.X2 - b.X1, b.Y2 - b.Y1}})
		}
	}
	labels, err := json.Marshal(m{"images": images, "annotations": annotations, "categories": categories})
	if err != nil {
		t.Fatal(err)
	}
	content[dataset.LabelsFile] = labels
	return append(names, dataset.LabelsFile), content
}

func TestHandle_rejectionIsPublished(t *testing.T) {
	incoming, datasets, b := blobmem.New("incoming"), blobmem.New("datasets"), &busmem.Bus{}
	f := newFunction(incoming, datasets, b)
	write(t, incoming, "bad/annotations.json", []byte("{\n]"))
	b.Fail = func(string) error { return errors.New("bus away") }
	if err := f.Handle(t.Context(), finalized(t, "incoming", "bad/annotations.json")); errs.Status(err) != 503 {
		t.Fatalf("with the bus away the event is answered %v", err)
	}
	b.Fail = nil
	for range 2 {
		if err := f.Handle(t.Context(), finalized(t, "incoming", "bad/annotations.json")); err != nil {
			t.Fatal(err)
		}
	}
	var got []event.AlertData
	for _, m := range b.Messages() {
		var a event.AlertData
		if err := json.Unmarshal(m.Event.Data, &a); err != nil || m.Topic != "alerts" {
			t.Fatal(m.Topic, err)
		}
		got = append(got, a)
	}
	want := []event.AlertData{{Code: "batch-rejected", Subject: "bad", Message: `batch "bad" was rejected; labels-not-json (1): labels are not JSON: line 2: ']' where a key in quotes is needed; see gs://incoming/rejected/bad.json`}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestHandle_refuses(t *testing.T) {
	incoming, b := blobmem.New("incoming"), &busmem.Bus{}
	f := newFunction(incoming, blobmem.New("datasets"), b)
	for name, e := range map[string]event.Event{
		"event-malformed":      {ID: "1", Data: json.RawMessage("[")},
		"event-misrouted":      finalized(t, "elsewhere", "b/a.jpg"),
		"object-outside-batch": finalized(t, "incoming", "a.jpg"),
		"name-unsafe":          finalized(t, "incoming", strings.Repeat("b", 401)+"/a.jpg"),
	} {
		err := f.Handle(t.Context(), e)
		if code, _ := errs.Reason(err); string(code) != name || errs.Status(err) != 200 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(b.Messages()); n != 2 {
		t.Errorf("%d alerts: the two objects in no batch need one each", n)
	}
}

func TestHandle_eventsOfWhatIsGone(t *testing.T) {
	f := newFunction(blobmem.New("incoming"), blobmem.New("datasets"), &busmem.Bus{})
	for _, name := range []string{"b/annotations.json", "b/a.jpg"} {
		if err := f.Handle(t.Context(), finalized(t, "incoming", name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// buckets are two of the local cloud, behind the Google client.
func buckets(t testing.TB, faults storage.Faults) (incoming, datasets blob.Bucket) {
	srv, err := storage.New(storage.Options{Dir: t.TempDir(), Faults: faults})
	if err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewServer(srv)
	client, err := gcs.NewClient(t.Context(), option.WithEndpoint(ts.URL+"/storage/v1/"), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		ts.Close()
		srv.Close()
	})
	for _, name := range []string{"incoming", "datasets"} {
		if err := srv.CreateBucket(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	return blobgcs.New(client, "incoming"), blobgcs.New(client, "datasets")
}

// deliver writes the objects and handles their events, several at once, each
// again until it is acknowledged.
func deliver(t testing.TB, f *Function, incoming blob.Bucket, names []string, content map[string][]byte) {
	t.Helper()
	var g errgroup.Group
	g.SetLimit(16)
	for _, name := range names {
		g.Go(func() error {
			write(t, incoming, "b/"+name, content[name])
			for {
				if err := f.Handle(t.Context(), finalized(t, "incoming", "b/"+name)); errs.Status(err) < 300 || t.Context().Err() != nil {
					return err
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestHandle_localCloudWithFaults(t *testing.T) {
	names, content := drawn(t, 20)
	ids := map[string]bool{}
	for _, faults := range []storage.Faults{{}, {Seed: 3, Unavailable: 0.02, LoseAnswer: 0.02}} {
		incoming, datasets := buckets(t, faults)
		deliver(t, newFunction(incoming, datasets, &busmem.Bus{}), incoming, names, content)
		all, err := dataset.List(t.Context(), datasets)
		if err != nil || len(all) != 1 || all[0].Counts.Photos != 20 {
			t.Fatalf("%d versions, %v", len(all), err)
		}
		ids[all[0].ID] = true
	}
	if len(ids) != 1 {
		t.Errorf("faults changed the version: %v", ids)
	}
}

// A batch of 200 photos dropped on the local cloud: every upload, every event,
// one version. The labels come first, or last.
func BenchmarkHandle_batch(b *testing.B) {
	names, content := drawn(b, 200)
	for _, labels := range []string{"first", "last"} {
		b.Run("labels="+labels, func(b *testing.B) {
			order := names
			if labels == "first" {
				order = append([]string{dataset.LabelsFile}, names[:200]...)
			}
			for b.Loop() {
				incoming, datasets := buckets(b, storage.Faults{})
				deliver(b, newFunction(incoming, datasets, &busmem.Bus{}), incoming, order, content)
				if _, err := dataset.List(b.Context(), datasets); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
