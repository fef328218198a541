//go:build peers

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/litterloop/litterloop/cmd/litterloop/local"
	"github.com/litterloop/litterloop/deploy/queries"
	"github.com/litterloop/litterloop/localcloud"
	"github.com/litterloop/litterloop/shared/drawing"
)

// A real Prometheus, with the configuration that deploy/ ships, watches the loop
// close, then photos being asked about; and every panel and every rule gets
// something to show. However fast the story was, the detector is asked until it
// was scraped often enough for a rate.
func TestObservability_everyQueryReturnsData(t *testing.T) {
	needRuntime(t)
	binary, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("needs Debian's package prometheus")
	}
	state := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(state, 0o755); err != nil {
		t.Fatal(err)
	}
	address := startPrometheus(t, binary, state)
	began := time.Now()
	if _, err := smallDemo(t.Context(), t, state, localcloud.Faults{}); err != nil {
		t.Fatal(err)
	}

	all, err := queries.Dashboards("../../deploy")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := queries.Rules("../../deploy")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		all = append(all, r.Watched()...)
	}
	// Each metric by itself too: behind an `or`, one that is missing is not missed.
	for _, q := range slices.Clone(all) {
		for _, m := range queries.Metrics(q.Expr) {
			all = append(all, queries.Query{Where: q.Where + ", " + m, Expr: fmt.Sprintf(`count({__name__=~"%s(_bucket)?"})`, m)})
		}
	}
	asked := len(all)
	askUntilAnswered(t, state, address, began, all)
	t.Logf("%d questions over %s", asked, time.Since(began).Round(time.Second))
}

// askUntilAnswered sends photos to the detector that the story left deployed
// until Prometheus has an answer to each question.
func askUntilAnswered(t *testing.T, state, address string, began time.Time, questions []queries.Query) {
	t.Helper()
	l, err := local.Start(t.Context(), local.Options{State: state, Schedule: "0 4 * * *", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(t.Context())
	url, err := l.DetectorURL(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	photos, err := drawing.Set(1, 8, drawing.Day)
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for i := 0; ; i++ {
		if _, err := l.Detect(t.Context(), url, photos[i%len(photos)].JPEG, 0.01); err != nil {
			t.Fatal(err)
		}
		questions = slices.DeleteFunc(questions, func(q queries.Query) bool {
			samples, err := ask(t, address, q.Expr, began, time.Now())
			if err != nil {
				t.Fatalf("%s: %s: %v", q.Where, q.Expr, err)
			}
			return samples > 0
		})
		if len(questions) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			for _, q := range questions {
				t.Errorf("%s: no data: %s", q.Where, q.Expr)
			}
			return
		}
	}
}

// startPrometheus scrapes what the state's discovery file names, four times a second.
func startPrometheus(t *testing.T, binary, state string) string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/prometheus/prometheus.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Abs("../../deploy/prometheus/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for from, to := range map[string]string{"/state/": state + "/", "[rules.yaml]": "[" + rules + "]", "interval: 5s": "interval: 250ms", "interval: 15s": "interval: 1s"} {
		if !bytes.Contains(text, []byte(from)) {
			t.Fatalf("prometheus.yaml lacks %q", from)
		}
		text = bytes.ReplaceAll(text, []byte(from), []byte(to))
	}
	config := filepath.Join(dir, "prometheus.yaml")
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	var log bytes.Buffer
	cmd := exec.Command(binary, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s", log.String())
		}
	})
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(30 * time.Second); ; {
		if res, err := http.Get("http://" + address + "/-/ready"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return address
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("Prometheus did not get ready")
		}
	}
}

// ask runs a query over a time, as a panel does, and counts what is a number.
func ask(t *testing.T, address, expr string, from, to time.Time) (samples int, err error) {
	t.Helper()
	res, err := http.Get("http://" + address + "/api/v1/query_range?" + url.Values{
		"query": {expr}, "start": {fmt.Sprint(from.Unix())}, "end": {fmt.Sprint(to.Unix())}, "step": {"1"},
	}.Encode())
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	var answer struct {
		Error string
		Data  struct {
			Result []struct{ Values [][2]any }
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return 0, fmt.Errorf("%s: %w", strings.TrimSpace(string(text)), err)
	}
	if answer.Error != "" {
		return 0, fmt.Errorf("%s", answer.Error)
	}
	for _, series := range answer.Data.Result {
		for _, v := range series.Values {
			if f, err := strconv.ParseFloat(fmt.Sprint(v[1]), 64); err == nil && f == f {
				samples++
			}
		}
	}
	return samples, nil
}
