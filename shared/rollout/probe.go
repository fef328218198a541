package rollout

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/litterloop/litterloop/shared/modelpackage"
)

// maxAnswer bounds what is read of an answer; 300 detections are 50 kB.
const maxAnswer = 16 << 20

// NoLogHeader, with the value "off", asks the detector not to enter a request in
// its prediction log: a check is no traffic, and must not look like drift.
const NoLogHeader = "Litterloop-Log"

// prober asks one revision over HTTP.
type prober struct {
	now    func() time.Time
	client *http.Client
	url    string
}

func (p prober) do(ctx context.Context, method, path, contentType string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, p.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set(NoLogHeader, "off")
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s %s answered %s: %.200q", method, path, resp.Status, data)
	}
	return data, nil
}

// smoke asks whether the revision is ready and serves the very model it should.
func (p prober) smoke(ctx context.Context, version int, sha256 string) error {
	if _, err := p.do(ctx, http.MethodGet, "/readyz", "", nil); err != nil {
		return err
	}
	data, err := p.do(ctx, http.MethodGet, "/v1/model", "", nil)
	if err != nil {
		return err
	}
	var m struct {
		Version json.Number `json:"version"` // a number, or a string of one
		SHA256  string      `json:"sha256"`
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("GET /v1/model: %w", err)
	}
	if m.Version.String() != strconv.Itoa(version) || m.SHA256 != sha256 {
		return fmt.Errorf("GET /v1/model names version %s with sha256 %s; version %d with %s was deployed", m.Version, m.SHA256, version, sha256)
	}
	return nil
}

// detect posts a photo and returns what was found, and how long it took.
func (p prober) detect(ctx context.Context, photo []byte, g modelpackage.Golden) ([]modelpackage.Detection, time.Duration, error) {
	q := url.Values{
		"conf": {strconv.FormatFloat(g.Conf, 'g', -1, 64)}, "iou": {strconv.FormatFloat(g.IoU, 'g', -1, 64)},
		"max_det": {strconv.Itoa(g.MaxDet)},
	}
	began := p.now()
	data, err := p.do(ctx, http.MethodPost, "/v1/detect?"+q.Encode(), http.DetectContentType(photo), photo)
	took := p.now().Sub(began)
	if err != nil {
		return nil, 0, err
	}
	var answer struct {
		Detections []modelpackage.Detection `json:"detections"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return nil, 0, fmt.Errorf("POST /v1/detect: %w", err)
	}
	return answer.Detections, took, nil
}

// requestsMetric counts answers by status code.
const requestsMetric = "litterloop_requests_total"

// requests reads the revision's counters. A revision without them answers
// zeros: not every detector has metrics.
func (p prober) requests(ctx context.Context) (Requests, error) {
	data, err := p.do(ctx, http.MethodGet, "/metrics", "", nil)
	if err != nil {
		return Requests{}, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(data))
	if err != nil {
		return Requests{}, fmt.Errorf("GET /metrics: %w", err)
	}
	var r Requests
	for _, m := range families[requestsMetric].GetMetric() {
		n := m.GetCounter().GetValue() + m.GetUntyped().GetValue()
		r.Total += n
		for _, l := range m.GetLabel() {
			if l.GetName() == "code" && strings.HasPrefix(l.GetValue(), "5") {
				r.Errors += n
			}
		}
	}
	return r, nil
}
