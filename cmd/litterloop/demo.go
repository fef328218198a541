package main

import "context"

type demoCmd struct{}

func (*demoCmd) Run(ctx context.Context, g *globals) error { return nil }
