package local

import (
	"io"
	"net/http"
	"testing"

	"cloud.google.com/go/storage"

	"github.com/litterloop/litterloop/cmd/litterloop/client"
	"github.com/litterloop/litterloop/localcloud"
)

func TestProvision_outlastsRefusalsAndLostAnswers(t *testing.T) {
	for seed := range uint64(2) {
		c, err := localcloud.Start(t.Context(), localcloud.Options{Dir: t.TempDir(), Images: map[string][]string{localcloud.TrainerImage: {"true"}},
			Faults: localcloud.Faults{Seed: seed + 1, Unavailable: 0.05, LoseAnswer: 0.05}})
		if err != nil {
			t.Fatal(err)
		}
		c.ServeFunctions(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
		cl, err := client.Local(t.Context(), c.Endpoints, func(string) string { return "" })
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time finds everything there
			if err := provision(t.Context(), c.Endpoints, cl.Config); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		gcs, err := storage.NewClient(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range Notifications {
			bucket := gcs.Bucket(n.Bucket(cl.Config)).Retryer(storage.WithPolicy(storage.RetryAlways))
			there, err := bucket.Notifications(t.Context())
			if err != nil || len(there) != 1 {
				t.Errorf("seed %d: bucket %s has %d notifications, %v; want one", seed, n.Bucket(cl.Config), len(there), err)
			}
		}
		gcs.Close()
		cl.Close()
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
