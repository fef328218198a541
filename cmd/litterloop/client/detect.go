package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/litterloop/litterloop/shared/modelpackage"
)

// Answer is the detector's answer to one photo.
type Answer struct {
	ID    string `json:"id"`
	Model struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	} `json:"model"`
	Image struct {
		Width  int `json:"width"`
		Height int `json:"height"`
	} `json:"image"`
	Detections []modelpackage.Detection `json:"detections"`
	Raw        []byte                   `json:"-"`
	Revision   string                   `json:"-"` // that answered, where the platform tells
}

// Detect sends a photo to the detector at url.
func (c *Client) Detect(ctx context.Context, url string, photo []byte, conf float64) (a Answer, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("%s/v1/detect?conf=%g", url, conf), bytes.NewReader(photo))
	if err != nil {
		return a, err
	}
	req.Header.Set("Content-Type", http.DetectContentType(photo))
	res, err := c.HTTP().Do(req)
	if err != nil {
		return a, fmt.Errorf("call the detector: %w", err)
	}
	defer res.Body.Close()
	a.Raw, err = io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return a, fmt.Errorf("read the detector's answer: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		var problem struct{ Title, Detail string }
		_ = json.Unmarshal(a.Raw, &problem) // a proxy's answer is no JSON; then the text has to do
		if problem.Detail == "" {
			problem.Detail = strings.TrimSpace(string(a.Raw[:min(len(a.Raw), 300)]))
		}
		return a, fmt.Errorf("the detector answered %d: %s", res.StatusCode, problem.Detail)
	}
	return a, json.Unmarshal(a.Raw, &a)
}
