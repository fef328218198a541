package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/litterloop/litterloop/localcloud/iam"
)

// Refusals is the path, at the functions' address of a local cloud that enforces
// policies, of what they did not allow.
const Refusals = "/refusals"

// Refused returns what IAM policies did not allow since the local cloud started;
// nothing where they are not enforced, or on Google Cloud, whose audit logs tell.
func (c *Client) Refused(ctx context.Context) ([]iam.Refusal, error) {
	if c.Functions == "" || c.MetadataServer == "" {
		return nil, nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Functions+Refusals, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("refused calls: %s", resp.Status)
	}
	var all []iam.Refusal
	return all, json.NewDecoder(resp.Body).Decode(&all)
}
