package setup

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"
)

type recorder struct{ sent []string }

func (r *recorder) RoundTrip(q *http.Request) (*http.Response, error) {
	r.sent = append(r.sent, q.URL.Host+" "+q.Header.Get("Authorization"))
	return httptest.NewRecorder().Result(), nil
}

type failing struct{}

func (failing) Token() (*oauth2.Token, error) { return nil, errors.New("metadata server away") }

func TestSigned_provesWhoCalls(t *testing.T) {
	var next recorder
	opened := map[string]int{}
	s := newSigned(&next, "")
	s.open = func(_ context.Context, audience string) (oauth2.TokenSource, error) {
		opened[audience]++
		switch audience {
		case "https://person.run.app":
			return nil, errors.New("unsupported credentials type")
		case "https://away.run.app":
			return failing{}, nil
		}
		return oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "for " + audience}), nil
	}
	get := func(url, authorization string) error {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		_, err = s.RoundTrip(r)
		return err
	}
	for _, c := range [][2]string{
		{"https://litter-abc.a.run.app/v1/detect", ""},
		{"https://v2---litter-abc.a.run.app/readyz", ""},
		{"http://127.0.0.1:8080/v1/detect", ""},
		{"https://litter-abc.a.run.app/", "Bearer own"},
		{"https://person.run.app/", ""},
	} {
		if err := get(c[0], c[1]); err != nil {
			t.Errorf("%s: %v", c[0], err)
		}
	}
	want := []string{
		"litter-abc.a.run.app Bearer for https://litter-abc.a.run.app",
		"v2---litter-abc.a.run.app Bearer for https://litter-abc.a.run.app",
		"127.0.0.1:8080 ",
		"litter-abc.a.run.app Bearer own",
		"person.run.app ",
	}
	if d := cmp.Diff(want, next.sent); d != "" {
		t.Error(d)
	}
	if opened["https://litter-abc.a.run.app"] != 1 {
		t.Errorf("sources opened: %v", opened)
	}
	if err := get("https://away.run.app/", ""); err == nil {
		t.Error("a token that could not be had was done without")
	}
}

// On a local cloud that enforces policies, its metadata server says who calls,
// and nobody beside this machine is told.
func TestSigned_onTheLocalCloud(t *testing.T) {
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Metadata-Flavor") != "Google" || r.URL.Path != "/computeMetadata/v1/instance/service-accounts/default/identity" {
			http.Error(w, "what is asked?", http.StatusBadRequest)
			return
		}
		w.Write([]byte("for " + r.FormValue("audience")))
	}))
	defer metadata.Close()
	var next recorder
	s := newSigned(&next, metadata.Listener.Addr().String())
	for _, url := range []string{"http://127.0.0.1:1/predict", "http://127.0.0.1:1/again", "http://192.0.2.1/elsewhere"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.RoundTrip(r); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	want := []string{"127.0.0.1:1 Bearer for http://127.0.0.1:1", "127.0.0.1:1 Bearer for http://127.0.0.1:1", "192.0.2.1 "}
	if d := cmp.Diff(want, next.sent); d != "" {
		t.Errorf("sent (-want +got):\n%s", d)
	}
	metadata.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:2", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.RoundTrip(r); err == nil {
		t.Error("asked without an identity while the metadata server was away")
	}
}
