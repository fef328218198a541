package run_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/run/apiv2/runpb"
	"github.com/google/go-cmp/cmp"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/litterloop/litterloop/localcloud/run"
)

func TestService_environmentOfARevision(t *testing.T) {
	t.Parallel()
	c, _ := open(t, options(t.TempDir()))
	s := must(c.create(t, "litter", template("litter-v1", "server", "MODEL_URI=models:/litter/1", "OVERRIDDEN=container")))(t)
	body, h, _ := get(t, s.Uri+"/env")
	var env map[string]string
	if err := json.Unmarshal([]byte(body), &env); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]string{
		"K_SERVICE": "litter", "K_REVISION": "litter-v1", "K_CONFIGURATION": "litter",
		"MODEL_URI": "models:/litter/1", "OVERRIDDEN": "container",
	} {
		if env[k] != want {
			t.Errorf("%s=%q, want %q", k, env[k], want)
		}
	}
	if env["PORT"] == "" {
		t.Error("PORT is not set")
	}
	if got := h.Get(run.RevisionHeader); got != "litter-v1" {
		t.Errorf("%s: %q", run.RevisionHeader, got)
	}
}

func TestService_refusals(t *testing.T) {
	t.Parallel()
	c, _ := open(t, options(t.TempDir()))
	must(c.create(t, "litter", template("litter-v1", "server")))(t)
	two := template("x-v1", "server")
	two.Containers = append(two.Containers, two.Containers[0])
	secret := template("x-v1", "server")
	secret.Containers[0].Env = []*runpb.EnvVar{{Name: "KEY", Values: &runpb.EnvVar_ValueSource{}}}
	for name, test := range map[string]struct {
		id      string
		tmpl    *runpb.RevisionTemplate
		traffic []*runpb.TrafficTarget
		want    codes.Code
	}{
		"exists":                    {"litter", template("litter-v1", "server"), nil, codes.AlreadyExists},
		"name leaves the directory": {"../x", template("", "server"), nil, codes.InvalidArgument},
		"unknown image":             {"x", template("", "nothing"), nil, codes.InvalidArgument},
		"two containers":            {"x", two, nil, codes.InvalidArgument},
		"secret":                    {"x", secret, nil, codes.InvalidArgument},
		"reserved variable":         {"x", template("", "server", "PORT=80"), nil, codes.InvalidArgument},
		"revision of another name":  {"x", template("y-v1", "server"), nil, codes.InvalidArgument},
		"shares make 90":            {"x", template("x-v1", "server"), []*runpb.TrafficTarget{to("x-v1", 90)}, codes.InvalidArgument},
		"negative share":            {"x", template("x-v1", "server"), []*runpb.TrafficTarget{to("x-v1", 110), to("x-v1", -10)}, codes.InvalidArgument},
		"unknown revision":          {"x", template("x-v1", "server"), []*runpb.TrafficTarget{to("x-v9", 100)}, codes.InvalidArgument},
		"tag twice":                 {"x", template("x-v1", "server"), []*runpb.TrafficTarget{to("x-v1", 100, "a"), to("x-v1", 0, "a")}, codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.create(t, test.id, test.tmpl, test.traffic...)
			if got := status.Code(err); got != test.want {
				t.Errorf("got %v (%v), want %v", got, err, test.want)
			}
		})
	}
}

func TestUpdateService(t *testing.T) {
	t.Parallel()
	c, _ := open(t, options(t.TempDir()))
	first := must(c.create(t, "litter", template("litter-v1", "server"), to("litter-v1", 100)))(t)

	t.Run("a stale etag is aborted", func(t *testing.T) {
		must(c.update(t, "litter", func(s *runpb.Service) { s.Description = "changed" }))(t)
		first.Description = "lost"
		_, err := c.services.UpdateService(t.Context(), &runpb.UpdateServiceRequest{Service: first})
		if status.Code(err) != codes.Aborted {
			t.Errorf("got %v, want Aborted", err)
		}
	})
	t.Run("a mask changes only what it names", func(t *testing.T) {
		op := must(c.services.UpdateService(t.Context(), &runpb.UpdateServiceRequest{
			Service:    &runpb.Service{Name: first.Name, Labels: map[string]string{"a": "b"}, Template: template("", "nothing")},
			UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"labels"}},
		}))(t)
		s := must(op.Wait(t.Context()))(t)
		if s.Labels["a"] != "b" || s.Description != "changed" || s.Template.Revision != "litter-v1" {
			t.Errorf("got %v", s)
		}
	})
	t.Run("a revision's configuration never changes", func(t *testing.T) {
		_, err := c.update(t, "litter", func(s *runpb.Service) { s.Template = template("litter-v1", "server", "A=b") })
		if status.Code(err) != codes.AlreadyExists {
			t.Errorf("got %v, want AlreadyExists", err)
		}
	})
	t.Run("a missing service is created when allowed", func(t *testing.T) {
		req := &runpb.UpdateServiceRequest{Service: &runpb.Service{Name: parent + "/services/new", Template: template("", "server")}}
		if _, err := c.services.UpdateService(t.Context(), req); status.Code(err) != codes.NotFound {
			t.Errorf("got %v, want NotFound", err)
		}
		req.AllowMissing = true
		s := must(must(c.services.UpdateService(t.Context(), req))(t).Wait(t.Context()))(t)
		if !strings.HasPrefix(s.LatestReadyRevision, s.Name+"/revisions/new-00001-") {
			t.Errorf("latest ready revision %q", s.LatestReadyRevision)
		}
	})
}

func TestService_tagReachesARevisionWithoutTraffic(t *testing.T) {
	t.Parallel()
	c, _ := open(t, options(t.TempDir()))
	must(c.create(t, "litter", template("litter-v1", "server"), to("litter-v1", 100)))(t)
	s := must(c.update(t, "litter", func(s *runpb.Service) {
		s.Template = template("litter-v2", "server")
		s.Traffic = append(s.Traffic, to("litter-v2", 0, "v2"))
	}))(t)
	if _, h, _ := get(t, s.TrafficStatuses[1].Uri+"/pid"); h.Get(run.RevisionHeader) != "litter-v2" {
		t.Errorf("the tag's URL was answered by %q", h.Get(run.RevisionHeader))
	}
	for range 50 {
		if _, h, _ := get(t, s.Uri+"/pid"); h.Get(run.RevisionHeader) != "litter-v1" {
			t.Fatalf("the service's URL was answered by %q", h.Get(run.RevisionHeader))
		}
	}
}

func TestService_splitsTrafficRepeatably(t *testing.T) {
	t.Parallel()
	sequence := func() (string, []run.RevisionStats) {
		c, stop := open(t, options(t.TempDir()))
		defer stop()
		must(c.create(t, "litter", template("litter-v1", "server")))(t)
		s := must(c.update(t, "litter", func(s *runpb.Service) {
			s.Template = template("litter-v2", "server")
			s.Traffic = []*runpb.TrafficTarget{to("litter-v1", 80), to("litter-v2", 20)}
		}))(t)
		var out strings.Builder
		for i := range 500 {
			path := "/pid"
			if i%100 == 0 {
				path = "/fail"
			}
			_, h, _ := get(t, s.Uri+path)
			out.WriteByte(h.Get(run.RevisionHeader)[len("litter-v")])
		}
		return out.String(), c.Stats("litter")
	}
	a, stats := sequence()
	b, _ := sequence()
	if a != b {
		t.Error("the same seed chose other revisions")
	}
	second := int64(strings.Count(a, "2"))
	if second < 75 || second > 125 { // 100 expected, deviation 9
		t.Errorf("20 %% of 500 requests were %d", second)
	}
	var requests, errors int64
	for _, st := range stats {
		requests += st.Requests
		errors += st.Errors
		if st.P50 <= 0 || st.P99 < st.P50 {
			t.Errorf("latencies of %+v", st)
		}
	}
	if requests != 500 || errors != 5 || stats[1].Requests != second || stats[1].Percent != 20 {
		t.Errorf("stats %+v, %d of 500 to the second", stats, second)
	}
}

func TestService_aRevisionThatCannotStart(t *testing.T) {
	t.Parallel()
	for name, tmpl := range map[string]*runpb.RevisionTemplate{
		"ends":       template("litter-v2", "exit"),
		"no program": {Revision: "litter-v2", Containers: []*runpb.Container{{Command: []string{"/nonexistent/program"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := open(t, options(t.TempDir()))
			must(c.create(t, "litter", template("litter-v1", "server"), to("litter-v1", 100)))(t)
			_, err := c.update(t, "litter", func(s *runpb.Service) {
				s.Template = tmpl
				s.Traffic = []*runpb.TrafficTarget{to("litter-v1", 0), to("litter-v2", 100)}
			})
			if err == nil || !strings.Contains(err.Error(), "litter-v2 is not ready") {
				t.Fatalf("the update ended with %v", err)
			}
			r := must(c.revisions.GetRevision(t.Context(), &runpb.GetRevisionRequest{Name: parent + "/services/litter/revisions/litter-v2"}))(t)
			if r.Conditions[0].State != runpb.Condition_CONDITION_FAILED {
				t.Errorf("condition %v", r.Conditions[0])
			}
			s := must(c.services.GetService(t.Context(), &runpb.GetServiceRequest{Name: parent + "/services/litter"}))(t)
			if _, h, code := get(t, s.Uri+"/pid"); code != 200 || h.Get(run.RevisionHeader) != "litter-v1" {
				t.Errorf("traffic did not stay: %d from %q", code, h.Get(run.RevisionHeader))
			}
			// The way back is open.
			if _, err := c.update(t, "litter", func(s *runpb.Service) { s.Traffic = []*runpb.TrafficTarget{to("litter-v1", 100)} }); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestService_requestsInFlightSurviveASwitch(t *testing.T) {
	t.Parallel()
	c, _ := open(t, options(t.TempDir()))
	s := must(c.create(t, "litter", template("litter-v1", "server"), to("litter-v1", 100, "v1")))(t)
	resp := must(http.Get(s.Uri + "/hold"))(t)
	defer resp.Body.Close()
	body := bufio.NewReader(resp.Body)
	if _, err := body.ReadString(' '); err != nil { // it is in the handler
		t.Fatal(err)
	}
	// /release is asked through a connection of its own before the switch, so
	// that it reaches the old revision.
	tagged := s.TrafficStatuses[0].Uri
	must(c.update(t, "litter", func(s *runpb.Service) {
		s.Template = template("litter-v2", "server")
		s.Traffic = []*runpb.TrafficTarget{to("litter-v2", 100), to("litter-v1", 0, "v1")}
	}))(t)
	if _, h, _ := get(t, s.Uri+"/pid"); h.Get(run.RevisionHeader) != "litter-v2" {
		t.Fatalf("answered by %q", h.Get(run.RevisionHeader))
	}
	must(http.Get(tagged + "/release"))(t).Body.Close()
	rest, err := io.ReadAll(body)
	if err != nil || string(rest) != "and released" {
		t.Errorf("the request in flight got %q, %v", rest, err)
	}
}

func TestService_aRetiredRevisionDrains(t *testing.T) {
	t.Parallel()
	c, _ := open(t, options(t.TempDir()))
	s := must(c.create(t, "litter", template("litter-v1", "server"), to("litter-v1", 100)))(t)
	resp := must(http.Get(s.Uri + "/hold"))(t)
	defer resp.Body.Close()
	body := bufio.NewReader(resp.Body)
	if _, err := body.ReadString(' '); err != nil {
		t.Fatal(err)
	}
	env, _, _ := get(t, s.Uri+"/env")
	var vars map[string]string
	json.Unmarshal([]byte(env), &vars)
	must(c.update(t, "litter", func(s *runpb.Service) {
		s.Template = template("litter-v2", "server")
		s.Traffic = []*runpb.TrafficTarget{to("litter-v2", 100)}
	}))(t)
	// No URL leads to the old revision any more, but its process lives.
	// It ends as soon as it is idle, perhaps before it has answered this.
	if resp, err := http.Get("http://127.0.0.1:" + vars["PORT"] + "/release"); err == nil {
		resp.Body.Close()
	}
	rest, err := io.ReadAll(body)
	if err != nil || string(rest) != "and released" {
		t.Errorf("the request in flight got %q, %v", rest, err)
	}
}

func TestService_startsAgainWhatDied(t *testing.T) {
	t.Parallel()
	c, _ := open(t, options(t.TempDir()))
	s := must(c.create(t, "litter", template("litter-v1", "server")))(t)
	before, _, _ := get(t, s.Uri+"/pid")
	if _, _, code := get(t, s.Uri+"/die"); code != http.StatusServiceUnavailable {
		t.Errorf("a request that killed its process got %d", code)
	}
	// A request may still meet the dying process; those after it wait for the
	// new one.
	for {
		after, _, code := get(t, s.Uri+"/pid")
		if code == http.StatusServiceUnavailable {
			continue
		}
		if code != 200 || after == before {
			t.Errorf("got %d from process %s, before %s", code, after, before)
		}
		return
	}
}

func TestService_tellsWhyAProvenRevisionNoLongerStarts(t *testing.T) {
	t.Parallel()
	c, _ := open(t, options(t.TempDir()))
	broken := filepath.Join(t.TempDir(), "broken")
	s := must(c.create(t, "litter", template("litter-v1", "server", "BROKEN_FILE="+broken)))(t)
	if err := os.WriteFile(broken, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	get(t, s.Uri+"/die")
	for { // a request may still meet the dying process
		body, _, code := get(t, s.Uri+"/pid")
		if code != http.StatusServiceUnavailable {
			t.Fatalf("got %d: %s", code, body)
		}
		if strings.Contains(body, "exit status 4; see "+string(filepath.Separator)) {
			break
		}
	}
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	for { // it is tried again all the while
		if _, _, code := get(t, s.Uri+"/pid"); code == 200 {
			return
		}
	}
}

func TestService_anIdleRevisionIsStoppedUntilTheNextRequest(t *testing.T) {
	t.Parallel()
	o := options(t.TempDir())
	o.IdleAfter = 50 * time.Millisecond
	c, _ := open(t, o)
	s := must(c.create(t, "litter", template("litter-v1", "server")))(t)
	port, _, _ := get(t, s.Uri+"/port")
	if resp, err := http.Get("http://127.0.0.1:" + port + "/hold"); err == nil { // it may have been stopped already
		defer resp.Body.Close()
		if _, err := io.ReadAll(resp.Body); err == nil { // ends with the process
			t.Error("the idle process answered")
		}
	}
	if _, h, code := get(t, s.Uri+"/pid"); code != 200 || h.Get(run.RevisionHeader) != "litter-v1" {
		t.Errorf("the next request got %d from %q", code, h.Get(run.RevisionHeader))
	}
}

func TestClose_refusesCallsAfterwards(t *testing.T) {
	t.Parallel()
	s := must(run.New(options(t.TempDir())))(t)
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	g := grpc.NewServer()
	s.Register(g)
	go g.Serve(l)
	defer g.Stop()
	c := dial(t, l.Addr().String())
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	once := gax.WithRetry(nil) // the client repeats what is unavailable
	_, err := c.services.CreateService(t.Context(), &runpb.CreateServiceRequest{Parent: parent, ServiceId: "x", Service: &runpb.Service{Template: template("", "server")}}, once)
	if status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
}

func TestDeleteRevision(t *testing.T) {
	t.Parallel()
	c, _ := open(t, options(t.TempDir()))
	must(c.create(t, "litter", template("litter-v1", "server")))(t)
	must(c.update(t, "litter", func(s *runpb.Service) {
		s.Template = template("litter-v2", "server")
		s.Traffic = []*runpb.TrafficTarget{to("litter-v1", 100)}
	}))(t)
	del := func(r string) codes.Code {
		_, err := c.revisions.DeleteRevision(t.Context(), &runpb.DeleteRevisionRequest{Name: parent + "/services/litter/revisions/" + r})
		return status.Code(err)
	}
	got := []codes.Code{del("litter-v1"), del("litter-v2"), del("litter-v3")}
	must(c.update(t, "litter", func(s *runpb.Service) { s.Traffic = []*runpb.TrafficTarget{to("litter-v2", 100)} }))(t)
	got = append(got, del("litter-v1"), del("litter-v1"))
	want := []codes.Code{codes.FailedPrecondition, codes.FailedPrecondition, codes.NotFound, codes.OK, codes.NotFound}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDeleteService(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, stop := open(t, options(dir))
	s := must(c.create(t, "litter", template("litter-v1", "server")))(t)
	op := must(c.services.DeleteService(t.Context(), &runpb.DeleteServiceRequest{Name: s.Name}))(t)
	must(op.Wait(t.Context()))(t)
	if _, err := c.services.GetService(t.Context(), &runpb.GetServiceRequest{Name: s.Name}); status.Code(err) != codes.NotFound {
		t.Errorf("got %v", err)
	}
	again := must(c.create(t, "litter", template("litter-v1", "server", "NEW=1")))(t)
	if again.Uid == s.Uid {
		t.Error("the new service has the old one's uid")
	}
	stop()
	c, _ = open(t, options(dir))
	if got := must(c.services.GetService(t.Context(), &runpb.GetServiceRequest{Name: s.Name}))(t); got.Uid != again.Uid {
		t.Errorf("after a restart uid %s, want %s", got.Uid, again.Uid)
	}
}

func TestService_survivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, stop := open(t, options(dir))
	before := must(c.create(t, "litter", template("litter-v1", "server"), to("litter-v1", 100, "v1")))(t)
	stop()
	c, _ = open(t, options(dir))
	after := must(c.services.GetService(t.Context(), &runpb.GetServiceRequest{Name: before.Name}))(t)
	if diff := cmp.Diff([]string{before.Uri, before.TrafficStatuses[0].Uri, before.Etag}, []string{after.Uri, after.TrafficStatuses[0].Uri, after.Etag}); diff != "" {
		t.Error(diff)
	}
	for _, url := range []string{after.Uri, after.TrafficStatuses[0].Uri} {
		if _, h, code := get(t, url+"/pid"); code != 200 || h.Get(run.RevisionHeader) != "litter-v1" {
			t.Errorf("%s: %d from %q", url, code, h.Get(run.RevisionHeader))
		}
	}
}

func TestNew_refusesADirectoryInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open(t, options(dir))
	if s, err := run.New(options(dir)); err == nil {
		s.Close(t.Context())
		t.Error("a second server opened the same directory")
	}
}
