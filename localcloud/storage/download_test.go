package storage_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestDownload_ranges(t *testing.T) {
	url := newServer(t, options(t))
	upload(t, url, "small", "0123456789")
	large := strings.Repeat("0123456789", 10_000) // lies in a file of its own
	upload(t, url, "large", large)
	upload(t, url, "empty", "")
	for _, c := range []struct {
		object, header string
		status         int
		want, span     string
	}{
		{"small", "bytes=0-3", 206, "0123", "bytes 0-3/10"},
		{"small", "bytes=4-", 206, "456789", "bytes 4-9/10"},
		{"small", "bytes=-3", 206, "789", "bytes 7-9/10"},
		{"small", "bytes=-99", 206, "0123456789", "bytes 0-9/10"},
		{"small", "bytes=8-99", 206, "89", "bytes 8-9/10"},
		{"small", "bytes=10-", 416, "", "bytes */10"},
		{"small", "bytes=5-2", 416, "", ""},
		{"large", "bytes=99990-", 206, "0123456789", "bytes 99990-99999/100000"},
		{"large", "bytes=50000-50009", 206, "0123456789", "bytes 50000-50009/100000"},
		{"large", "bytes=100000-", 416, "", "bytes */100000"},
		{"empty", "bytes=0-", 200, "", ""},
	} {
		for _, path := range []string{"/bench/" + c.object, "/storage/v1/b/bench/o/" + c.object + "?alt=media", "/download/storage/v1/b/bench/o/" + c.object + "?alt=media"} {
			got := call(t, "GET", url+path, "", "Range: "+c.header)
			if got.status != c.status || got.header.Get("Content-Range") != c.span || c.status < 300 && got.body != c.want {
				t.Errorf("%s %s: status %d, Content-Range %q, %d bytes", path, c.header, got.status, got.header.Get("Content-Range"), len(got.body))
			}
		}
	}
	if got := call(t, "GET", url+"/bench/large", ""); got.body != large {
		t.Errorf("the whole: %d bytes", len(got.body))
	}
}

func TestDownload_headers(t *testing.T) {
	url := newServer(t, options(t))
	o := upload(t, url, "o", "hello")
	for _, method := range []string{"GET", "HEAD"} {
		got := call(t, method, url+"/bench/o", "")
		if want := []string{"crc32c=mnG7TA==", "md5=XUFAKrxLKna5cZ2REBfFkg=="}; !slices.Equal(got.header["X-Goog-Hash"], want) {
			t.Errorf("%s: X-Goog-Hash %q", method, got.header["X-Goog-Hash"])
		}
		if got.header.Get("X-Goog-Generation") != o["generation"] || got.header.Get("Content-Length") != "5" {
			t.Errorf("%s: headers %v", method, got.header)
		}
	}
	etag := call(t, "GET", url+"/bench/o", "").header.Get("ETag")
	if got := call(t, "GET", url+"/bench/o", "", "If-None-Match: "+etag); got.status != http.StatusNotModified {
		t.Errorf("If-None-Match: status %d", got.status)
	}
}

// A reader keeps its generation while the object is overwritten and deleted.
func TestDownload_overwrittenWhileRead(t *testing.T) {
	url := newServer(t, options(t))
	large := strings.Repeat("old!", 1<<20)
	upload(t, url, "o", large)
	r, err := newClient(t, url).Bucket("bench").Object("o").NewReader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	head := make([]byte, 4)
	if _, err := r.Read(head); err != nil {
		t.Fatal(err)
	}
	upload(t, url, "o", "new")
	call(t, "DELETE", url+"/storage/v1/b/bench/o/o", "")
	rest := new(strings.Builder)
	if _, err := r.WriteTo(rest); err != nil || rest.Len() != len(large)-4 {
		t.Errorf("read %d bytes, %v", rest.Len()+4, err)
	}
}
