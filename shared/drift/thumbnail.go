package drift

import "context"

func (c *Checker) thumbnail(ctx context.Context) func(string) []byte { return nil }
