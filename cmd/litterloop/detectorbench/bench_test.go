package detectorbench

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/litterloop/litterloop/shared/imaging"
)

func TestSample_percentiles(t *testing.T) {
	var s sample
	for i := range 200 {
		s.Latency = append(s.Latency, time.Duration(200-i)*time.Millisecond)
	}
	s.Wall = 10 * time.Second
	if p50, p99 := s.percentile(0.5), s.percentile(0.99); p50 != 101*time.Millisecond || p99 != 199*time.Millisecond {
		t.Errorf("p50 %v, p99 %v", p50, p99)
	}
	if s.perSecond() != 20 {
		t.Errorf("%v a second", s.perSecond())
	}
}

func TestPhotos_areTheWorkloads(t *testing.T) {
	small, large, err := photos("")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		photo []byte
		w, h  int
	}{{small, 640, 480}, {large, 4000, 3000}} {
		if info, err := imaging.Header(c.photo); err != nil || info.W != c.w || info.H != c.h {
			t.Errorf("%+v, %v, want %dx%d", info, err, c.w, c.h)
		}
	}
}

// The processor time of a process counts that of its children.
func TestMeasure_countsTheWholeTree(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no /proc here")
	}
	cmd := exec.Command("sh", "-c", "sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo done; exec sleep 2' & wait")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skip("no shell: ", err)
	}
	defer cmd.Process.Kill()
	if _, err := out.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	u, err := measure(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if u.CPU < 2*tick || u.PeakMB <= 0 {
		t.Errorf("%+v for a loop of 300,000 steps in a child", u)
	}
}

func TestRound_failsWhereAServerRefuses(t *testing.T) {
	stub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no such model", http.StatusInternalServerError)
	}))
	defer stub.Close()
	s := &server{url: stub.URL, cmd: &exec.Cmd{Process: &os.Process{Pid: os.Getpid()}}}
	if _, err := round(context.Background(), s, stub.Client(), nil, 2, 4); err == nil || !strings.Contains(err.Error(), "no such model") {
		t.Errorf("error %v", err)
	}
}

func TestReport_judges(t *testing.T) {
	lat := func(d time.Duration) sample { return sample{Latency: []time.Duration{d, d}, Wall: 2 * d, CPU: 2 * d} }
	rep := NewReport([]Result{{
		Size: "640x480", Run: 30 * time.Millisecond,
		Servers: []*Measured{
			{contender: contender{Who: "ours"}, One: lat(17 * time.Millisecond), Many: lat(33 * time.Millisecond), Start: first{Wall: 200 * time.Millisecond}},
			{contender: contender{Who: "slow"}, One: lat(40 * time.Millisecond), Many: lat(50 * time.Millisecond), Start: first{Wall: time.Second}},
			{contender: contender{Who: "best"}, One: lat(20 * time.Millisecond), Many: lat(40 * time.Millisecond), Start: first{Wall: 2 * time.Second}},
		},
	}})
	want := map[string]bool{"640x480: p50, 1 caller": true, "640x480: throughput, 16 callers": false, "640x480: CPU of a request": false}
	for _, r := range rep.Rows {
		met, judged := want[r.What]
		if judged && (r.Met == nil || *r.Met != met) {
			t.Errorf("%s: %+v, want met %v", r.What, r, met)
		}
		if r.What == "640x480: p50, 1 caller" && !strings.HasPrefix(r.Against, "best") {
			t.Errorf("compared with %s", r.Against)
		}
	}
	var text strings.Builder
	rep.Print(&text)
	if !strings.Contains(text.String(), "missed") {
		t.Error(text.String())
	}
}
