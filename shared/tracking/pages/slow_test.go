package pages_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/storage"

	"github.com/litterloop/litterloop/shared/blob/blobgcs"
	"github.com/litterloop/litterloop/shared/status"
	"github.com/litterloop/litterloop/shared/tracking/pages"
)

// Behind Google's own client, which asks again for as long as it may, a store
// that does not answer, or fails again and again, holds no page up for ever.
func TestPages_aSlowStoreIsToldOf(t *testing.T) {
	for name, store := range map[string]http.HandlerFunc{
		"silent": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"failing": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "try again", http.StatusServiceUnavailable)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(store)
			defer s.Close()
			defer s.CloseClientConnections()
			t.Setenv("STORAGE_EMULATOR_HOST", s.URL)
			client, err := storage.NewClient(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			bucket := blobgcs.New(client, "models")
			p := pages.New(pages.Options{Bucket: bucket, Now: time.Now, Log: slog.New(slog.DiscardHandler), Patience: 100 * time.Millisecond,
				Loop: func(ctx context.Context) (status.Snapshot, error) {
					_, err := bucket.Stat(ctx, "anything")
					return status.Snapshot{}, err
				}})
			for _, path := range []string{"/", "/loop", "/runs/" + runA, "/models/litter", "/models/litter/1", "/compare?run=" + runA + "&run=" + runB, "/runs/" + runA + "/artifacts/notes.md"} {
				w := httptest.NewRecorder()
				p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
				if text := w.Body.String(); w.Code != http.StatusServiceUnavailable || !strings.Contains(text, "did not answer within 100ms") {
					t.Errorf("%s: %d %s", path, w.Code, text)
				}
			}
		})
	}
}

// What one part of the loop cannot tell, the others do.
func TestLoop_showsWhatCouldBeRead(t *testing.T) {
	p := pages.New(pages.Options{Bucket: nil, Now: time.Now, Log: slog.New(slog.DiscardHandler), Loop: func(context.Context) (status.Snapshot, error) {
		return status.Snapshot{Queues: []status.Queue{{Subscription: "dead-letters", Waiting: 2, Oldest: 7200}, {Subscription: "retrain", Waiting: 1}, {Subscription: "train", Waiting: 2, Oldest: 90}}},
			errors.New("cloud run: 403: run.services.get <denied>")
	}})
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/loop", nil))
	text := w.Body.String()
	for _, want := range []string{"Not everything could be read: cloud run: 403: run.services.get &lt;denied&gt;", "<b>2 dead letters</b>", "the oldest 2 h ago", ">3, since 1 min ago<"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if w.Code != http.StatusOK {
		t.Errorf("status %d", w.Code)
	}
}
