package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/litterloop/litterloop/cmd/litterloop/client"
	"github.com/litterloop/litterloop/shared/dataset/taco"
)

// What `litterloop taco` leaves is a batch that `litterloop drop` takes, and says
// by its exit status that photos are gone.
func TestTaco(t *testing.T) {
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, image.NewGray(image.Rect(0, 0, 40, 30)), nil); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	defer srv.Close()
	mux.HandleFunc("/annotations.json", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"images":[{"id":1,"file_name":"b/1.jpg","width":40,"height":30,"flickr_url":"%[1]s/1"},{"id":2,"file_name":"b/2.jpg","width":40,"height":30,"flickr_url":"%[1]s/2"}],
			"annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[1,1,5,5]}],"categories":[{"id":1,"name":"Can"}]}`, srv.URL)
	})
	mux.HandleFunc("/1", func(w http.ResponseWriter, _ *http.Request) { w.Write(photo.Bytes()) })
	dir := filepath.Join(t.TempDir(), "batch")
	var out bytes.Buffer
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	status := run(t.Context(), []string{"taco", "--json", "--private", "--annotations", srv.URL + "/annotations.json", dir}, &out, stderr)
	var r taco.Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err, out.String())
	}
	if status != 1 || r.Fetched != 1 || len(r.Missing) != 1 || r.Missing[0].Code != taco.Gone {
		t.Errorf("status %d, %+v", status, r)
	}
	files, err := client.Directory(dir)
	if err != nil || len(files) != 2 || files[0].Name != "annotations.json" || files[1].Name != "b/1.jpg" {
		t.Error(files, err)
	}
	srv.Close()
	if status := run(t.Context(), []string{"taco", "--private", "--annotations", srv.URL + "/nothing", "--attempts", "1", dir}, &out, stderr); status != 1 {
		t.Error("without annotations the status is", status)
	}
	text, _ := os.ReadFile(stderr.Name())
	if !bytes.Contains(text, []byte("--annotations FILE")) {
		t.Errorf("the error does not say what to do: %s", text)
	}
}
