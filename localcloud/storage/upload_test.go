package storage_test

import (
	"cmp"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestUpload_multipart(t *testing.T) {
	url := newServer(t, options(t))
	boundaries := map[string]string{"with bare line feeds": "'==b=='"} // gcloud's quotes
	for name, body := range map[string]string{
		"as the standard says": "--==b==\r\nContent-Type: application/json\r\n\r\n{\"name\":\"o\",\"metadata\":{\"k\":\"v\"}}\r\n--==b==\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n\x00\n--==b=\r\n\r\n--==b==--",
		// gcloud ends its lines so.
		"with bare line feeds": "--==b==\nContent-Type: application/json\nMIME-Version: 1.0\n\n{\"name\":\"o\",\"metadata\":{\"k\":\"v\"}}\n--==b==\nContent-Type: image/png\nMIME-Version: 1.0\nContent-Transfer-Encoding: binary\n\n\x89PNG\r\n\x00\n--==b=\r\n\n--==b==--",
		// The content is what was sent, whatever it calls itself.
		"with a transfer encoding": "--==b==\r\nContent-Type: application/json\r\n\r\n{\"name\":\"o\",\"metadata\":{\"k\":\"v\"}}\r\n--==b==\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\x89PNG\r\n\x00\n--==b=\r\n\r\n--==b==--\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			boundary := cmp.Or(boundaries[name], `"==b=="`)
			o := document(t, call(t, "POST", url+"/upload/storage/v1/b/bench/o?uploadType=multipart", body, "Content-Type: multipart/related; boundary="+boundary))
			if o["contentType"] != "image/png" || o["metadata"].(map[string]any)["k"] != "v" {
				t.Errorf("stored as %v", o)
			}
			if got := call(t, "GET", url+"/bench/o", ""); got.body != "\x89PNG\r\n\x00\n--==b=\r\n" {
				t.Errorf("content %q", got.body)
			}
		})
	}
}

// What is refused leaves no object behind, and says why.
func TestUpload_refused(t *testing.T) {
	url := newServer(t, options(t))
	up := "/upload/storage/v1/b/bench/o"
	multipart := "Content-Type: multipart/related; boundary=b"
	for name, c := range map[string]struct {
		path, body, header string
		status             int
	}{
		"no such bucket":           {"/upload/storage/v1/b/nowhere/o?uploadType=media&name=o", "x", "", 404},
		"no upload type":           {up + "?name=o", "x", "", 400},
		"no name":                  {up + "?uploadType=media", "x", "", 400},
		"no boundary":              {up + "?uploadType=multipart&name=o", "x", "Content-Type: multipart/related", 400},
		"empty multipart":          {up + "?uploadType=multipart&name=o", "", multipart, 400},
		"multipart cut off":        {up + "?uploadType=multipart&name=o", "--b\r\n\r\n{}\r\n--b\r\n\r\nhalf of i", multipart, 400},
		"one part":                 {up + "?uploadType=multipart&name=o", "--b\r\n\r\n{}\r\n--b--", multipart, 400},
		"attributes not JSON":      {up + "?uploadType=multipart&name=o", "--b\r\n\r\n{name\r\n--b\r\n\r\nx\r\n--b--", multipart, 400},
		"wrong MD5":                {up + "?uploadType=media&name=o", "x", "X-Goog-Hash: md5=AAAAAAAAAAAAAAAAAAAAAA==", 400},
		"wrong CRC32C":             {up + "?uploadType=media&name=o", "x", "X-Goog-Hash: crc32c=AAAAAA==", 400},
		"wrong Content-MD5":        {up + "?uploadType=media&name=o", "x", "Content-MD5: AAAAAAAAAAAAAAAAAAAAAA==", 400},
		"MD5 not base64":           {up + "?uploadType=media&name=o", "x", "Content-MD5: ???", 400},
		"wrong MD5 in attributes":  {up + "?uploadType=multipart", "--b\r\n\r\n{\"name\":\"o\",\"md5Hash\":\"AAAAAAAAAAAAAAAAAAAAAA==\"}\r\n--b\r\n\r\nx\r\n--b--", multipart, 400},
		"name of 1,025 bytes":      {up + "?uploadType=media&name=" + strings.Repeat("k", 1025), "x", "", 400},
		"name with a line break":   {up + "?uploadType=media&name=a%0Ab", "x", "", 400},
		"name not UTF-8":           {up + "?uploadType=media&name=%ff", "x", "", 400},
		"name of two dots":         {up + "?uploadType=media&name=..", "x", "", 400},
		"an unknown upload":        {up + "?uploadType=resumable&upload_id=ABCDEFGHIJKLMNOPQRSTUVWXYZ", "x", "", 410},
		"a resumable, no bucket":   {"/upload/storage/v1/b/nowhere/o?uploadType=resumable&name=o", "", "", 404},
		"a resumable with no name": {up + "?uploadType=resumable", "{}", "", 400},
	} {
		t.Run(name, func(t *testing.T) {
			got := call(t, "POST", url+c.path, c.body, c.header)
			if got.status != c.status || !strings.Contains(got.body, `"message":"`) {
				t.Errorf("status %d, want %d: %s", got.status, c.status, got.body)
			}
			if list := document(t, call(t, "GET", url+"/storage/v1/b/bench/o", "")); list["items"] != nil {
				t.Errorf("an object was left: %v", list)
			}
		})
	}
}

func begin(t *testing.T, url, query string, header ...string) (session string) {
	t.Helper()
	got := call(t, "POST", url+"/upload/storage/v1/b/bench/o?uploadType=resumable&"+query, `{"metadata":{"k":"v"}}`, header...)
	if got.status != http.StatusOK {
		t.Fatalf("begin: status %d: %s", got.status, got.body)
	}
	return got.header.Get("Location")
}

func TestUpload_resumable(t *testing.T) {
	url := newServer(t, options(t))
	content := strings.Repeat("0123456789abcdef", 8<<10) // 128 KiB
	half, size := len(content)/2, len(content)
	chunk := func(first, last int, total any) string {
		return fmt.Sprintf("Content-Range: bytes %d-%d/%v", first, last, total)
	}
	type step struct {
		body, header string
		status       int
		span         string // the answer's Range
	}
	upTo := func(n int) string { return fmt.Sprintf("bytes=0-%d", n-1) }
	for name, steps := range map[string][]step{
		"whole, with no range":         {{content, "", 200, ""}},
		"whole, total known":           {{content, chunk(0, size-1, size), 200, ""}},
		"in chunks":                    {{content[:half], chunk(0, half-1, size), 308, upTo(half)}, {content[half:], chunk(half, size-1, size), 200, ""}},
		"in chunks, total known last":  {{content[:half], chunk(0, half-1, "*"), 308, upTo(half)}, {content[half:], chunk(half, size-1, size), 200, ""}},
		"total told after the content": {{content, chunk(0, size-1, "*"), 308, upTo(size)}, {"", fmt.Sprintf("Content-Range: bytes */%d", size), 200, ""}},
		"asking for the state": {
			{"", "Content-Range: bytes */*", 308, ""},
			{content[:half], chunk(0, half-1, size), 308, upTo(half)},
			{"", fmt.Sprintf("Content-Range: bytes */%d", size), 308, upTo(half)},
			{content[half:], chunk(half, size-1, size), 200, ""},
			{"", fmt.Sprintf("Content-Range: bytes */%d", size), 200, ""},
		},
		"bytes sent again": {
			{content[:half], chunk(0, half-1, size), 308, upTo(half)},
			{content[:half], chunk(0, half-1, size), 308, upTo(half)},
			{content[100:], chunk(100, size-1, size), 200, ""},
			{content[100:], chunk(100, size-1, size), 200, ""},
		},
		"a gap is refused":                 {{content[half:], chunk(half, size-1, size), 400, ""}, {content, chunk(0, size-1, size), 200, ""}},
		"a chunk shorter than it says":     {{content[:half-7], chunk(0, half-1, size), 400, ""}, {"", "Content-Range: bytes */*", 308, upTo(half - 7)}, {content[half-7:], chunk(half-7, size-1, size), 200, ""}},
		"a range that is none":             {{"", "Content-Range: bytes 9-x/y", 400, ""}, {content, "", 200, ""}},
		"more than the total said at last": {{content, chunk(0, size-1, "*"), 308, upTo(size)}, {"", "Content-Range: bytes */5", 400, ""}, {"", fmt.Sprintf("Content-Range: bytes */%d", size), 200, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			session := begin(t, url, "name=o", "X-Upload-Content-Type: image/jpeg")
			for i, s := range steps {
				got := call(t, "PUT", session, s.body, s.header)
				if got.status != s.status || got.header.Get("Range") != s.span {
					t.Fatalf("step %d: status %d, Range %q, want %d, %q: %s", i+1, got.status, got.header.Get("Range"), s.status, s.span, got.body)
				}
			}
			o := document(t, call(t, "GET", url+"/storage/v1/b/bench/o/o", ""))
			sum := md5.Sum([]byte(content))
			if o["contentType"] != "image/jpeg" || o["metadata"].(map[string]any)["k"] != "v" || o["md5Hash"] != base64.StdEncoding.EncodeToString(sum[:]) {
				t.Errorf("stored as %v", o)
			}
			if got := call(t, "GET", url+"/bench/o", ""); got.body != content {
				t.Errorf("the object holds %d bytes", len(got.body))
			}
			call(t, "DELETE", url+"/storage/v1/b/bench/o/o", "")
		})
	}
}

func TestUpload_resumableEmptyAndCancelled(t *testing.T) {
	url := newServer(t, options(t))
	if got := call(t, "PUT", begin(t, url, "name=empty"), "", "Content-Range: bytes */0"); document(t, got)["size"] != "0" {
		t.Errorf("an empty upload: %s", got.body)
	}
	session := begin(t, url, "name=never")
	call(t, "PUT", session, "half", "Content-Range: bytes 0-3/8")
	if got := call(t, "DELETE", session, ""); got.status != 499 {
		t.Errorf("cancel: status %d", got.status)
	}
	if got := call(t, "PUT", session, "", "Content-Range: bytes */8"); got.status != http.StatusGone {
		t.Errorf("after the cancel: status %d", got.status)
	}
}

// The condition counts when the upload ends, not only when it begins.
func TestUpload_resumableLosesTheRace(t *testing.T) {
	url := newServer(t, options(t))
	session := begin(t, url, "name=o&ifGenerationMatch=0")
	upload(t, url, "o", "first")
	if got := call(t, "PUT", session, "second"); got.status != http.StatusPreconditionFailed {
		t.Errorf("status %d: %s", got.status, got.body)
	}
}

func TestUpload_resumableWrongSum(t *testing.T) {
	url := newServer(t, options(t))
	session := begin(t, url, "name=o")
	if got := call(t, "PUT", session, "content", "X-Goog-Hash: crc32c=AAAAAA=="); got.status != http.StatusBadRequest {
		t.Errorf("status %d: %s", got.status, got.body)
	}
}

// What the server confirmed of an upload, and what it made, it knows after a
// restart: a client whose last answer was lost asks again and gets the object.
func TestUpload_resumableAcrossRestarts(t *testing.T) {
	o := options(t)
	content := strings.Repeat("x", 100_000)
	restart := func() (string, func()) { return restartable(t, o) }

	url, stop := restart()
	session := strings.TrimPrefix(begin(t, url, "name=o"), url)
	call(t, "PUT", url+session, content[:60_000], "Content-Range: bytes 0-59999/100000")
	stop()

	url, stop = restart()
	if got := call(t, "PUT", url+session, "", "Content-Range: bytes */100000"); got.status != 308 || got.header.Get("Range") != "bytes=0-59999" {
		t.Fatalf("after a restart: status %d, Range %q", got.status, got.header.Get("Range"))
	}
	made := document(t, call(t, "PUT", url+session, content[60_000:], "Content-Range: bytes 60000-99999/100000"))
	stop()

	url, stop = restart()
	defer stop()
	again := document(t, call(t, "PUT", url+session, "", "Content-Range: bytes */100000"))
	if again["generation"] != made["generation"] {
		t.Errorf("asked again, made %v, want %v", again["generation"], made["generation"])
	}
	if got := call(t, "GET", url+"/bench/o", ""); got.body != content {
		t.Errorf("the object holds %d bytes", len(got.body))
	}
}
