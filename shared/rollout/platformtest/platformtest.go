// Package platformtest is the conformance suite of rollout.Platform: what its
// documentation promises, checked on a live platform.
package platformtest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/rollout"
)

// Harness is a platform with nothing on it. Its revisions answer GET / with the
// value of their environment variable NAME, and do not start when BROKEN is not
// empty.
type Harness struct {
	Platform rollout.Platform
	Client   *http.Client
}

const service = "litter"

// Run runs the suite; each test gets a harness of its own.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	for name, test := range map[string]func(*testing.T, Harness){
		"a service that does not exist is not found":   missing,
		"the first revision gets all traffic":          first,
		"a further revision gets a tag and no traffic": further,
		"traffic and tags are replaced as a whole":     traffic,
		"a revision that cannot start changes nothing": broken,
		"what serves or is newest cannot be deleted":   deletion,
		"the only revision takes the service with it":  only,
		"concurrent changes are whole or in conflict":  concurrent,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func (h Harness) ensure(t *testing.T, n int) {
	t.Helper()
	if err := h.Platform.EnsureRevision(t.Context(), service, revision(n)); err != nil {
		t.Fatal(err)
	}
}

func revision(n int) rollout.Revision {
	name := fmt.Sprintf("%s-v%d", service, n)
	return rollout.Revision{Name: name, Tag: fmt.Sprintf("v%d", n), Env: map[string]string{"NAME": name, "BROKEN": ""}}
}

func (h Harness) set(t *testing.T, shares ...rollout.Share) {
	t.Helper()
	if err := h.Platform.SetTraffic(t.Context(), service, shares); err != nil {
		t.Fatal(err)
	}
}

// want compares the revisions, URLs aside; those are followed.
func (h Harness) want(t *testing.T, want ...rollout.Status) rollout.Service {
	t.Helper()
	s, err := h.Platform.Describe(t.Context(), service)
	if err != nil {
		t.Fatal(err)
	}
	var got []rollout.Status
	for _, st := range s.Revisions {
		if st.Tag != "" && st.Ready {
			if name := h.get(t, st.URL); name != st.Revision {
				t.Errorf("the URL of tag %s was answered by %q", st.Tag, name)
			}
		}
		st.URL = ""
		got = append(got, st)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("revisions (-want +got):\n%s", diff)
	}
	return s
}

func status(n, percent int, tag string) rollout.Status {
	return rollout.Status{Share: share(n, percent, tag), Ready: true}
}

func share(n, percent int, tag string) rollout.Share {
	return rollout.Share{Revision: revision(n).Name, Percent: percent, Tag: tag}
}

func (h Harness) get(t *testing.T, url string) string {
	t.Helper()
	resp, err := h.Client.Get(url + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	p, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}

func missing(t *testing.T, h Harness) {
	if _, err := h.Platform.Describe(t.Context(), service); !errors.Is(err, errs.NotFound) {
		t.Errorf("Describe: %v", err)
	}
	if err := h.Platform.SetTraffic(t.Context(), service, []rollout.Share{share(1, 100, "")}); !errors.Is(err, errs.NotFound) {
		t.Errorf("SetTraffic: %v", err)
	}
	if err := h.Platform.DeleteRevision(t.Context(), service, revision(1).Name); err != nil {
		t.Errorf("DeleteRevision: %v", err)
	}
}

func first(t *testing.T, h Harness) {
	for range 2 { // the second time it is so already
		h.ensure(t, 1)
		s := h.want(t, status(1, 100, "v1"))
		if name := h.get(t, s.URL); name != revision(1).Name {
			t.Errorf("the service was answered by %q", name)
		}
	}
}

func further(t *testing.T, h Harness) {
	h.ensure(t, 1)
	for range 2 {
		h.ensure(t, 2)
		s := h.want(t, status(1, 100, "v1"), status(2, 0, "v2"))
		for range 20 {
			if name := h.get(t, s.URL); name != revision(1).Name {
				t.Fatalf("the service was answered by %q", name)
			}
		}
	}
}

func traffic(t *testing.T, h Harness) {
	h.ensure(t, 1)
	h.ensure(t, 2)
	h.ensure(t, 3)
	for range 2 {
		h.set(t, share(2, 40, "v2"), share(1, 60, "previous"))
		s := h.want(t, status(1, 60, "previous"), status(2, 40, "v2"), status(3, 0, ""))
		seen := map[string]int{}
		for range 200 {
			seen[h.get(t, s.URL)]++
		}
		if seen[revision(2).Name] < 40 || seen[revision(1).Name] < 60 || seen[revision(3).Name] != 0 {
			t.Errorf("60:40 of 200 requests went %v", seen)
		}
	}
	h.set(t, share(3, 100, ""))
	h.want(t, status(1, 0, ""), status(2, 0, ""), status(3, 100, ""))
	if err := h.Platform.SetTraffic(t.Context(), service, []rollout.Share{share(9, 100, "")}); err == nil {
		t.Error("a revision that does not exist got traffic")
	}
	if err := h.Platform.SetTraffic(t.Context(), service, []rollout.Share{share(3, 90, "")}); err == nil {
		t.Error("shares that make 90 were taken")
	}
	h.want(t, status(1, 0, ""), status(2, 0, ""), status(3, 100, ""))
}

func broken(t *testing.T, h Harness) {
	h.ensure(t, 1)
	bad := revision(2)
	bad.Env["BROKEN"] = "1"
	for range 2 {
		err := h.Platform.EnsureRevision(t.Context(), service, bad)
		if code, _ := errs.Reason(err); code != rollout.CodeNotReady {
			t.Fatalf("got %v, want code %s", err, rollout.CodeNotReady)
		}
		s, err := h.Platform.Describe(t.Context(), service)
		if err != nil {
			t.Fatal(err)
		}
		if name := h.get(t, s.URL); name != revision(1).Name {
			t.Errorf("the service was answered by %q", name)
		}
	}
	h.set(t, share(1, 100, "v1"))
	h.want(t, status(1, 100, "v1"), rollout.Status{Share: share(2, 0, "")})
	h.ensure(t, 3)
	h.want(t, status(1, 100, "v1"), rollout.Status{Share: share(2, 0, "")}, status(3, 0, "v3"))
}

func deletion(t *testing.T, h Harness) {
	h.ensure(t, 1)
	h.ensure(t, 2)
	for _, n := range []int{1, 2} {
		if err := h.Platform.DeleteRevision(t.Context(), service, revision(n).Name); !errors.Is(err, errs.Conflict) {
			t.Errorf("deleting revision %d: %v", n, err)
		}
	}
	h.set(t, share(2, 100, "v2"))
	for range 2 {
		if err := h.Platform.DeleteRevision(t.Context(), service, revision(1).Name); err != nil {
			t.Error(err)
		}
	}
	h.want(t, status(2, 100, "v2"))
}

func only(t *testing.T, h Harness) {
	h.ensure(t, 1)
	for range 2 {
		if err := h.Platform.DeleteRevision(t.Context(), service, revision(1).Name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Platform.Describe(t.Context(), service); !errors.Is(err, errs.NotFound) {
		t.Errorf("Describe: %v", err)
	}
	h.ensure(t, 2)
	h.want(t, status(2, 100, "v2"))
}

func concurrent(t *testing.T, h Harness) {
	h.ensure(t, 1)
	h.ensure(t, 2)
	var wg sync.WaitGroup
	for i := range 8 {
		n := i%2 + 1
		wg.Go(func() {
			err := h.Platform.SetTraffic(t.Context(), service, []rollout.Share{share(n, 100, "live")})
			if err != nil && !errors.Is(err, errs.Conflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s, err := h.Platform.Describe(t.Context(), service)
	if err != nil {
		t.Fatal(err)
	}
	live := 0
	for _, st := range s.Revisions {
		if st.Percent == 100 && st.Tag == "live" {
			live++
		} else if st.Percent != 0 || st.Tag != "" {
			t.Errorf("a mixture: %+v", s.Revisions)
		}
	}
	if live != 1 {
		t.Errorf("revisions %+v", s.Revisions)
	}
}
