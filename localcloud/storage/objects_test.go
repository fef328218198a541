package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	gcs "cloud.google.com/go/storage"
	"github.com/google/go-cmp/cmp"
)

func TestPatch(t *testing.T) {
	url := newServer(t, options(t))
	b := newClient(t, url).Bucket("bench")
	before := upload(t, url, "o", "content")
	custom := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
	a, err := b.Object("o").Update(t.Context(), gcs.ObjectAttrsToUpdate{
		ContentType: "text/plain", CacheControl: "no-store", CustomTime: custom, Metadata: map[string]string{"a": "1", "b": "2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(a.Generation) != before["generation"] || a.Metageneration != 2 || a.ContentType != "text/plain" || a.CacheControl != "no-store" || !a.CustomTime.Equal(custom) {
		t.Errorf("patched to %+v", a)
	}
	document(t, call(t, "PATCH", url+"/storage/v1/b/bench/o/o", `{"metadata":{"a":null,"c":"3"},"cacheControl":""}`))
	a, err = b.Object("o").Attrs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"b": "2", "c": "3"}, a.Metadata); diff != "" || a.CacheControl != "" || a.ContentType != "text/plain" {
		t.Errorf("merged to %+v (-want +got):\n%s", a, diff)
	}
	if got := call(t, "PATCH", url+"/storage/v1/b/bench/o/o", `{"customTime":"2023-01-01T00:00:00Z"}`); got.status != http.StatusBadRequest {
		t.Errorf("customTime set back: status %d", got.status)
	}
	if got := call(t, "PATCH", url+"/storage/v1/b/bench/o/o", `{`); got.status != http.StatusBadRequest {
		t.Errorf("no JSON: status %d", got.status)
	}
	if got, err := read(t.Context(), b.Object("o")); err != nil || string(got) != "content" {
		t.Errorf("content %q, %v", got, err)
	}
	o := document(t, call(t, "PUT", url+"/storage/v1/b/bench/o/o", `{"contentType":"image/png"}`))
	if o["metadata"] != nil || o["contentType"] != "image/png" {
		t.Errorf("replaced by %v", o)
	}
}

// A patch that races with writes never brings an old content back.
func TestPatch_racingWrites(t *testing.T) {
	url := newServer(t, options(t))
	b := newClient(t, url).Bucket("bench")
	upload(t, url, "o", "0")
	stop := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				b.Object("o").Update(t.Context(), gcs.ObjectAttrsToUpdate{Metadata: map[string]string{"k": "v"}})
			}
		}
	})
	for i := range 200 {
		want := fmt.Sprint(i)
		upload(t, url, "o", want)
		if got, err := read(t.Context(), b.Object("o")); err != nil || string(got) != want {
			t.Fatalf("read %q, %v after writing %q", got, err, want)
		}
	}
	close(stop)
	group.Wait()
}

func TestCompose(t *testing.T) {
	url := newServer(t, options(t))
	b := newClient(t, url).Bucket("bench")
	large := strings.Repeat("x", 50_000)
	first := upload(t, url, "1", large)
	upload(t, url, "2", "end")
	c := b.Object("all").ComposerFrom(b.Object("1"), b.Object("2"))
	c.ContentType = "text/plain"
	a, err := c.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := large + "end"
	if a.ComponentCount != 2 || len(a.MD5) > 0 || a.CRC32C != crc32.Checksum([]byte(want), crc32.MakeTable(crc32.Castagnoli)) || a.ContentType != "text/plain" {
		t.Errorf("composed %+v", a)
	}
	if got, err := read(t.Context(), b.Object("all")); err != nil || string(got) != want {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	if a, err := b.Object("copy").CopierFrom(b.Object("all")).Run(t.Context()); err != nil || len(a.MD5) > 0 || a.ComponentCount != 2 {
		t.Errorf("copied as %+v, %v", a, err)
	}
	if a, err := b.Object("more").ComposerFrom(b.Object("all"), b.Object("2")).Run(t.Context()); err != nil || a.ComponentCount != 3 {
		t.Errorf("composed again: %+v, %v", a, err)
	}
	api := url + "/storage/v1/b/bench/o/new/compose"
	many := strings.Repeat(`{"name":"2"},`, 33)
	for body, status := range map[string]int{
		`{"sourceObjects":[]}`: 400,
		`{"sourceObjects":[` + strings.TrimSuffix(many, ",") + `]}`: 400,
		`{"sourceObjects":[{"name":"absent"}]}`:                     404,
		`{"sourceObjects":[{"name":"1","generation":"1"}]}`:         404,
		`{"sourceObjects":[{"name":"1","generation":"` + first["generation"].(string) + `","objectPreconditions":{"ifGenerationMatch":"1"}}]}`: 412,
	} {
		if got := call(t, "POST", api, body); got.status != status {
			t.Errorf("%s: status %d, want %d", body, got.status, status)
		}
	}
}

// Copies of large objects share the disk space; each lives on without the other.
func TestCopy_independentOfSource(t *testing.T) {
	o := options(t)
	url := newServer(t, o)
	client := newClient(t, url)
	b := client.Bucket("bench")
	if err := client.Bucket("other").Create(t.Context(), "p", nil); err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("x"), 1<<20)
	if err := write(t.Context(), b.Object("src"), content); err != nil {
		t.Fatal(err)
	}
	dst := client.Bucket("other").Object("dst")
	if _, err := dst.CopierFrom(b.Object("src")).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Object("src").CopierFrom(b.Object("src")).Run(t.Context()); err != nil { // onto itself
		t.Fatal(err)
	}
	for _, object := range []*gcs.ObjectHandle{b.Object("src"), dst} {
		if got, err := read(t.Context(), object); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s holds %d bytes, %v", object.ObjectName(), len(got), err)
		}
	}
	if err := b.Object("src").Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := read(t.Context(), dst); err != nil || !bytes.Equal(got, content) {
		t.Errorf("without its source the copy holds %d bytes, %v", len(got), err)
	}
}

func TestMove(t *testing.T) {
	url := newServer(t, options(t))
	b := newClient(t, url).Bucket("bench")
	upload(t, url, "from", "x")
	if _, err := b.Object("from").Move(t.Context(), gcs.MoveObjectDestination{Object: "to"}); err != nil {
		t.Fatal(err)
	}
	if got, err := read(t.Context(), b.Object("to")); err != nil || string(got) != "x" {
		t.Errorf("moved to %q, %v", got, err)
	}
	if _, err := b.Object("from").Attrs(t.Context()); !errors.Is(err, gcs.ErrObjectNotExist) {
		t.Errorf("the source: %v", err)
	}
}

// The Google client compares what it sent with what is there.
func TestUpload_clientChecksums(t *testing.T) {
	b := newClient(t, newServer(t, options(t))).Bucket("bench")
	for name, set := range map[string]func(*gcs.Writer){
		"CRC32C": func(w *gcs.Writer) { w.SendCRC32C, w.CRC32C = true, 1 },
		"MD5":    func(w *gcs.Writer) { w.MD5 = bytes.Repeat([]byte{1}, 16) },
	} {
		for _, size := range []int{3, 1 << 20} {
			w := b.Object("o").NewWriter(t.Context())
			w.ChunkSize = 256 << 10
			set(w)
			w.Write(make([]byte, size))
			if err := w.Close(); err == nil {
				t.Errorf("%d bytes with a wrong %s were taken", size, name)
			}
		}
	}
}
