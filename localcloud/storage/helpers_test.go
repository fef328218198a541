package storage_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	gcs "cloud.google.com/go/storage"
	"google.golang.org/api/option"

	"github.com/litterloop/litterloop/localcloud/storage"
)

type serverOptions = storage.Options

func options(tb testing.TB, change ...func(*serverOptions)) serverOptions {
	o := serverOptions{Dir: tb.TempDir()}
	for _, c := range change {
		c(&o)
	}
	return o
}

// newServer serves o until the test ends, with a bucket "bench".
func newServer(tb testing.TB, o serverOptions) string {
	tb.Helper()
	url, stop := restartable(tb, o)
	tb.Cleanup(stop)
	return url
}

func newClient(tb testing.TB, url string) *gcs.Client {
	c, err := gcs.NewClient(tb.Context(), option.WithEndpoint(url+"/storage/v1/"), option.WithoutAuthentication())
	if err != nil {
		tb.Fatal(err)
	}
	c.SetRetry(gcs.WithPolicy(gcs.RetryNever))
	tb.Cleanup(func() { c.Close() })
	return c
}

// answer is what came back from a request, its body read.
type answer struct {
	status int
	header http.Header
	body   string
}

// call makes one request; header lines are "Name: value".
func call(tb testing.TB, method, url, body string, header ...string) answer {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, url, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	for _, line := range header {
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			continue // "" in a table: no header
		}
		if name == "Host" {
			req.Host = value
		}
		req.Header.Add(name, value)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer res.Body.Close()
	p, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(p)}
}

// document decodes an answer that must be a success.
func document(tb testing.TB, a answer) map[string]any {
	tb.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil || a.status != http.StatusOK {
		tb.Fatalf("status %d, %v: %s", a.status, err, a.body)
	}
	return v
}

// upload stores content and returns the object's resource.
func upload(tb testing.TB, url, name, content string) map[string]any {
	tb.Helper()
	return document(tb, call(tb, "POST", url+"/upload/storage/v1/b/bench/o?uploadType=media&name="+name, content))
}

// restartable serves o until stop is called.
func restartable(tb testing.TB, o serverOptions) (url string, stop func()) {
	tb.Helper()
	srv := open(tb, o)
	ts := httptest.NewServer(srv)
	return ts.URL, func() {
		ts.Close()
		if err := srv.Close(); err != nil {
			tb.Error(err)
		}
	}
}

// open opens o with a bucket "bench".
func open(tb testing.TB, o serverOptions) *storage.Server {
	tb.Helper()
	srv, err := storage.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	if err := srv.CreateBucket(context.Background(), "bench"); err != nil {
		tb.Fatal(err)
	}
	return srv
}
