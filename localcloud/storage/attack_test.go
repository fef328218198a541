package storage_test

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// hostile are names that have led other servers out of their directory.
var hostile = []string{
	"../escape", "../../../../etc/cron.d/escape", "/etc/escape", "a/../../escape", "..\\..\\escape", "./escape",
	"%2e%2e/escape", "..%2fescape", "....//escape", "a/./b", "a//b", "~/escape", "$HOME/escape", "escape;rm -rf .",
	"a\x00b", "con", "C:\\escape", "file:///escape", "escape/", "escape/.", "escape/..", "\u202e../escape", "journal.00000000", "../lock",
	strings.Repeat("../", 300) + "escape", strings.Repeat("k/", 500), strings.Repeat("漢", 341),
}

// Whatever an object is called, it is stored under that very name, and the only
// files that come into being are the store's own.
func TestObjectName_pathTraversal(t *testing.T) {
	parent := t.TempDir()
	o := options(t, func(o *serverOptions) { o.Dir = filepath.Join(parent, "a", "b", "c") })
	base := newServer(t, o)
	before := files(t, parent)
	for _, name := range hostile {
		escaped := url.PathEscape(name)
		paths := map[string]string{
			"media": base + "/upload/storage/v1/b/bench/o?uploadType=media&name=" + url.QueryEscape(name),
			"XML":   base + "/bench/" + escaped,
		}
		for kind, path := range paths {
			method := "POST"
			if kind == "XML" {
				method = "PUT"
			}
			if got := call(t, method, path, "of "+name); got.status != http.StatusOK {
				t.Errorf("%s %q: status %d: %s", kind, name, got.status, got.body)
			}
			if got := call(t, "GET", base+"/bench/"+escaped, ""); got.body != "of "+name {
				t.Errorf("%s %q: read %q", kind, name, got.body)
			}
			if got := document(t, call(t, "GET", base+"/storage/v1/b/bench/o/"+escaped, "")); got["name"] != name {
				t.Errorf("%s %q: called %q", kind, name, got["name"])
			}
		}
	}
	if after := files(t, parent); len(after) != len(before) {
		t.Errorf("files before: %q, after small uploads: %q", before, after)
	}
	big := strings.Repeat("x", 100_000) // each a file of its own
	for _, name := range hostile {
		call(t, "POST", base+"/upload/storage/v1/b/bench/o?uploadType=media&name="+url.QueryEscape(name), big)
	}
	for _, path := range files(t, parent) {
		if !strings.HasPrefix(path, filepath.Join(parent, "a", "b", "c", "objects")+"/") || strings.Contains(path, "escape") {
			t.Errorf("a file came into being at %s", path)
		}
	}
}

func TestBucketName_pathTraversal(t *testing.T) {
	o := options(t)
	base := newServer(t, o)
	before := files(t, o.Dir)
	for _, name := range []string{"..", "../up", "a/b", "", "A", "ab", "a b", "-ab", "ab-", ".abc", strings.Repeat("a", 300), "abc\n", "a\x00b"} {
		body := `{"name":` + quote(name) + `}`
		if got := call(t, "POST", base+"/storage/v1/b?project=p", body); got.status != http.StatusBadRequest {
			t.Errorf("%q: status %d", name, got.status)
		}
	}
	if after := files(t, o.Dir); len(after) != len(before) {
		t.Errorf("files before: %q, after: %q", before, after)
	}
}

func TestUploadID_pathTraversal(t *testing.T) {
	o := options(t)
	base := newServer(t, o)
	secret := filepath.Join(o.Dir, "secret.data")
	for _, f := range []string{secret, filepath.Join(o.Dir, "secret.json")} {
		if err := os.WriteFile(f, []byte(`{"bucket":"bench","query":"name=o","attributes":{}}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"../secret", "..%2fsecret", "/etc/passwd", "../uploads/../secret", strings.Repeat("A", 26) + "/../../secret"} {
		for _, method := range []string{"PUT", "POST", "DELETE"} {
			if got := call(t, method, base+"/upload/storage/v1/b/bench/o?uploadType=resumable&upload_id="+url.QueryEscape(id), "x"); got.status != http.StatusGone {
				t.Errorf("%s %q: status %d", method, id, got.status)
			}
		}
	}
	if _, err := os.Stat(secret); err != nil {
		t.Error(err)
	}
}

// A web page that made its own host name resolve to 127.0.0.1, or that posts
// here from elsewhere, gets nothing.
func TestHost_dnsRebinding(t *testing.T) {
	base := newServer(t, options(t))
	upload(t, base, "o", "secret")
	for name, c := range map[string]struct {
		header string
		status int
	}{
		"a foreign host":              {"Host: evil.example", 403},
		"a foreign host with port":    {"Host: evil.example:4443", 403},
		"a host that looks local":     {"Host: localhost.evil.example", 403},
		"an address of the network":   {"Host: 192.168.0.7", 403},
		"any address":                 {"Host: 0.0.0.0:80", 403},
		"a foreign page":              {"Origin: https://evil.example", 403},
		"a page of no origin":         {"Origin: null", 403},
		"localhost":                   {"Host: localhost:1234", 200},
		"a name under localhost":      {"Host: storage.localhost", 200},
		"IPv6":                        {"Host: [::1]:1234", 200},
		"IPv6 without port":           {"Host: [::1]", 200},
		"a page of this machine":      {"Origin: http://localhost:8080", 200},
		"another address of loopback": {"Host: 127.8.9.10", 200},
	} {
		t.Run(name, func(t *testing.T) {
			got := call(t, "GET", base+"/bench/o", "", c.header)
			if got.status != c.status || got.status != 200 && strings.Contains(got.body, "secret") {
				t.Errorf("status %d: %s", got.status, got.body)
			}
		})
	}
}

// What was uploaded is served so that no browser runs it as a page of this host.
func TestDownload_uploadedPage(t *testing.T) {
	base := newServer(t, options(t))
	call(t, "PUT", base+"/bench/page.html", "<script>alert(1)</script>", "Content-Type: text/html", "X-Goog-Meta-K: v")
	got := call(t, "GET", base+"/bench/page.html", "")
	if got.header.Get("Content-Security-Policy") != "sandbox" || got.header.Get("X-Content-Type-Options") != "nosniff" || got.header.Get("X-Goog-Meta-K") != "v" {
		t.Errorf("headers %v", got.header)
	}
}

// Metadata that would end a header and begin another comes back harmless.
func TestMetadata_headerInjection(t *testing.T) {
	base := newServer(t, options(t))
	upload(t, base, "o", "x")
	call(t, "PATCH", base+"/storage/v1/b/bench/o/o", `{"contentType":"a\r\nX-Evil: 1","metadata":{"k":"v\r\nX-Evil: 1","bad key\r\nX-Evil":"1"}}`)
	if got := call(t, "GET", base+"/bench/o", ""); got.status != 200 || got.header.Get("X-Evil") != "" {
		t.Errorf("status %d, headers %v", got.status, got.header)
	}
}

func FuzzObjectName(f *testing.F) {
	for _, name := range append(hostile, "", ".", "..", "a\nb", "\xff") {
		f.Add(name)
	}
	o := options(f)
	srv := open(f, o)
	f.Cleanup(func() { srv.Close() })
	f.Fuzz(func(t *testing.T, name string) {
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, httptest.NewRequest("POST", "http://localhost/upload/storage/v1/b/bench/o?uploadType=media&name="+url.QueryEscape(name), strings.NewReader(name)))
		legal := name != "" && len(name) <= 1024 && utf8.ValidString(name) && !strings.ContainsAny(name, "\r\n") &&
			name != "." && name != ".." && !strings.HasPrefix(name, ".well-known/acme-challenge/")
		if (w.Code == http.StatusOK) != legal {
			t.Fatalf("%q: status %d: %s", name, w.Code, w.Body)
		}
		if !legal {
			return
		}
		w = httptest.NewRecorder()
		srv.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/bench/"+url.PathEscape(name), nil))
		if w.Body.String() != name {
			t.Errorf("%q holds %q", name, w.Body)
		}
	})
}

// files lists every file under dir.
func files(t *testing.T, dir string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func quote(s string) string {
	return `"` + strings.NewReplacer("\n", `\n`, "\x00", `\u0000`).Replace(s) + `"`
}
