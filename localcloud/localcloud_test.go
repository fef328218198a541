package localcloud

import (
	"net/http"
	"strings"
	"testing"

	"cloud.google.com/go/storage"
	"google.golang.org/api/option"
)

func TestStart_stateAndAddressesSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	start := func() *Cloud {
		t.Helper()
		c, err := Start(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		c.ServeFunctions(http.NotFoundHandler())
		return c
	}
	c := start()
	client := func(c *Cloud) *storage.Client {
		t.Helper()
		s, err := storage.NewClient(t.Context(), option.WithEndpoint("http://"+c.Endpoints.Storage+"/storage/v1/"), option.WithoutAuthentication())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := c.Endpoints
	if err := client(c).Bucket("photos").Create(t.Context(), "local", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Options{Dir: dir}); err == nil {
		t.Error("a second local cloud opened the same directory")
	}
	if got, err := ReadEndpoints(dir); err != nil || got != first {
		t.Errorf("the refused start changed the endpoints: %+v, %v", got, err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	c = start()
	defer c.Close(t.Context())
	if c.Endpoints != first {
		t.Errorf("addresses changed from %+v to %+v", first, c.Endpoints)
	}
	if _, err := client(c).Bucket("photos").Attrs(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestEnviron_pointsEveryClientHere(t *testing.T) {
	all := strings.Join(Endpoints{Project: "p", Storage: "127.0.0.1:1", GRPC: "127.0.0.1:2", PubSubREST: "127.0.0.1:3"}.Environ(), "\n")
	for _, want := range []string{"STORAGE_EMULATOR_HOST=http://127.0.0.1:1", "PUBSUB_EMULATOR_HOST=127.0.0.1:2", "RUN_EMULATOR_HOST=127.0.0.1:2", "GOOGLE_CLOUD_PROJECT=p"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %s in\n%s", want, all)
		}
	}
}
