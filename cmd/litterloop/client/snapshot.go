package client

import (
	"context"

	"github.com/litterloop/litterloop/shared/status"
)

// Snapshot is where the loop stands.
type Snapshot = status.Snapshot

// Snapshot reads where the loop stands. With an error comes what could be read.
func (c *Client) Snapshot(ctx context.Context) (Snapshot, error) {
	return status.Read(ctx, c.Sources())
}
