package storage_test

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// However an upload is malformed, the answer is a success or a refusal, never a
// panic or a fault of the server, and what is stored can be read.
func FuzzUploadMultipart(f *testing.F) {
	const related = `multipart/related; boundary="b"`
	f.Add(related, "--b\r\nContent-Type: application/json\r\n\r\n{\"name\":\"o\"}\r\n--b\r\n\r\nx\r\n--b--")
	f.Add(related, "--b\n\n{\"name\":\"o\",\"crc32c\":\"AAAA\"}\n--b\n\nx\n--b--")
	f.Add(related, "--b\r\n\r\n{\"name\":\"o\",\"metadata\":{\"k\":null},\"customTime\":\"2026-01-01T00:00:00Z\"}\r\n--b\r\n\r\n\r\n--b--")
	f.Add("multipart/related", "")
	srv := open(f, options(f))
	f.Cleanup(func() { srv.Close() })
	f.Fuzz(func(t *testing.T, contentType, body string) {
		r := httptest.NewRequest("POST", "http://localhost/upload/storage/v1/b/bench/o?uploadType=multipart", strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, r)
		if w.Code != 200 && w.Code != 400 {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}

func FuzzUploadResumable(f *testing.F) {
	f.Add("bytes 0-3/4", "abcd")
	f.Add("bytes 0-3/*", "abcd")
	f.Add("bytes */4", "")
	f.Add("", "abcd")
	f.Add("bytes 9223372036854775807-9223372036854775807/*", "a")
	f.Add("bytes 3-1/2", "a")
	srv := open(f, options(f))
	f.Cleanup(func() { srv.Close() })
	f.Fuzz(func(t *testing.T, span, body string) {
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, httptest.NewRequest("POST", "http://localhost/upload/storage/v1/b/bench/o?uploadType=resumable&name=o", nil))
		session := w.Header().Get("Location")
		for range 2 { // the second time finds what the first left
			r := httptest.NewRequest("PUT", session, strings.NewReader(body))
			r.Header.Set("Content-Range", span)
			w = httptest.NewRecorder()
			srv.ServeHTTP(w, r)
			if w.Code != 200 && w.Code != 308 && w.Code != 400 {
				t.Errorf("status %d: %s", w.Code, w.Body)
			}
		}
		srv.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("DELETE", session, nil))
	})
}
