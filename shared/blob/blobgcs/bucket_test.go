package blobgcs_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	gcs "cloud.google.com/go/storage"
	"google.golang.org/api/option"

	"github.com/litterloop/litterloop/localcloud/storage"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobgcs"
	"github.com/litterloop/litterloop/shared/errs"
)

// verbs is every request that a Bucket makes.
func verbs(ctx context.Context, b blob.Bucket) map[string]func() error {
	return map[string]func() error{
		"open": func() error { _, _, err := b.Open(ctx, "o", 0, -1); return err },
		"stat": func() error { _, err := b.Stat(ctx, "o"); return err },
		"write": func() error {
			_, err := b.Write(ctx, "o", strings.NewReader("x"), blob.WriteOptions{IfGeneration: blob.Any})
			return err
		},
		"write large": func() error {
			_, err := b.Write(ctx, "o", strings.NewReader(strings.Repeat("x", 2<<20)), blob.WriteOptions{IfGeneration: blob.Any})
			return err
		},
		"copy": func() error {
			_, err := b.Copy(ctx, "o", nil, "src", blob.WriteOptions{IfGeneration: blob.Any})
			return err
		},
		"delete": func() error { return b.Delete(ctx, "o", blob.Any) },
		"list": func() error {
			for _, err := range b.List(ctx, "") {
				return err
			}
			return nil
		},
	}
}

func TestErrors(t *testing.T) {
	for status, want := range map[int]error{
		http.StatusNotFound: errs.NotFound, http.StatusPreconditionFailed: errs.Conflict,
		http.StatusTooManyRequests: errs.Unavailable, http.StatusInternalServerError: errs.Unavailable,
		http.StatusBadGateway: errs.Unavailable, http.StatusServiceUnavailable: errs.Unavailable,
		http.StatusForbidden: nil, http.StatusBadRequest: nil,
	} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			b := blobgcs.New(dial(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				w.WriteHeader(status)
			})), "bucket")
			for verb, do := range verbs(t.Context(), b) {
				t.Run(verb, func(t *testing.T) {
					t.Parallel()
					err := do()
					for _, sentinel := range []error{errs.NotFound, errs.Conflict, errs.Unavailable} {
						if err == nil || errors.Is(err, sentinel) != (sentinel == want) {
							t.Errorf("got error %v, want %v alone", err, want)
						}
					}
					if err != nil && !strings.Contains(err.Error(), "gs://bucket/") {
						t.Errorf("the error does not say where: %v", err)
					}
				})
			}
		})
	}
}

func TestErrors_nobodyThere(t *testing.T) {
	ts := httptest.NewServer(http.NotFoundHandler())
	ts.Close()
	client, err := gcs.NewClient(t.Context(), option.WithEndpoint(ts.URL+"/storage/v1/"), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for verb, do := range verbs(t.Context(), blobgcs.New(client, "bucket")) {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			if err := do(); !errors.Is(err, errs.Unavailable) {
				t.Errorf("got error %v, want one that is %q", err, errs.Unavailable)
			}
		})
	}
}

// The caller giving up is neither the service's fault nor worth repeating.
func TestErrors_callerGaveUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := localBuckets(t, storage.Options{})(t)
	for verb, do := range verbs(ctx, b) {
		if err := do(); !errors.Is(err, context.Canceled) || errors.Is(err, errs.Unavailable) {
			t.Errorf("%s: got error %v", verb, err)
		}
	}
}

// loseFirst forwards each request and loses the answer to the first that changes
// something, after telling meanwhile what happens next.
type loseFirst struct {
	next      http.Handler
	lost      atomic.Bool
	meanwhile func()
}

func (l *loseFirst) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet || !l.lost.CompareAndSwap(false, true) {
		l.next.ServeHTTP(w, r)
		return
	}
	l.next.ServeHTTP(httptest.NewRecorder(), r)
	l.meanwhile()
	panic(http.ErrAbortHandler) // the connection breaks
}

// A write whose answer was lost succeeded, unless it was another that did.
func TestWrite_answerLost(t *testing.T) {
	for name, c := range map[string]struct {
		fate func(t *testing.T, direct blob.Bucket) // what else happens before the next try
		want error
	}{
		"the write had succeeded": {func(*testing.T, blob.Bucket) {}, nil},
		"another wrote the same bytes since": {func(t *testing.T, direct blob.Bucket) {
			if err := direct.Delete(t.Context(), "o", blob.Any); err != nil {
				t.Error(err)
			}
			if _, err := direct.Write(t.Context(), "o", strings.NewReader("mine"), blob.WriteOptions{IfGeneration: blob.Absent}); err != nil {
				t.Error(err)
			}
		}, errs.Conflict},
	} {
		t.Run(name, func(t *testing.T) {
			srv, err := storage.New(storage.Options{Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { srv.Close() })
			if err := srv.CreateBucket(t.Context(), "bucket"); err != nil {
				t.Fatal(err)
			}
			direct := blobgcs.New(dial(t, srv), "bucket")
			b := blobgcs.New(dial(t, &loseFirst{next: srv, meanwhile: func() { c.fate(t, direct) }}), "bucket")
			a, err := b.Write(t.Context(), "o", strings.NewReader("mine"), blob.WriteOptions{IfGeneration: blob.Absent, Metadata: map[string]string{"k": "v"}})
			if !errors.Is(err, c.want) {
				t.Errorf("got error %v, want %v", err, c.want)
			}
			if err == nil && (len(a.Metadata) != 1 || a.Metadata["k"] != "v") {
				t.Errorf("metadata %v", a.Metadata)
			}
		})
	}
}

// An upload in several chunks goes on where it was when an answer is lost.
func TestWrite_largeAnswerLost(t *testing.T) {
	b := localBuckets(t, storage.Options{Faults: storage.Faults{Seed: 3, LoseAnswer: 0.3}})(t)
	want := strings.Repeat("0123456789abcdef", 2<<20) // 32 MiB: five requests
	if _, err := b.Write(t.Context(), "o", strings.NewReader(want), blob.WriteOptions{IfGeneration: blob.Absent}); err != nil {
		t.Fatal(err)
	}
	r, _, err := b.Open(t.Context(), "o", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != want {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
}
