package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/litterloop/litterloop/shared/registry"
)

type modelsRestoreCmd struct {
	Name string `arg:"" optional:"" help:"The model, with the versions and aliases that it had; or MODEL/VERSION, without aliases."`
	Who  string `help:"Who restores; by default who is logged in."`
}

// Run restores a model or a version, or lists what can be restored.
func (c *modelsRestoreCmd) Run(ctx context.Context, g *globals) error {
	if c.Name == "" {
		return g.registered(ctx, "", c.list(ctx, g))
	}
	who, _, err := signature{c.Who, "restored"}.check()
	if err != nil {
		return err
	}
	model, version, one := strings.Cut(c.Name, "/")
	n, err := strconv.Atoi(version)
	if one && (err != nil || n < 1) {
		return fmt.Errorf("%q: name a model, or MODEL/VERSION", c.Name)
	}
	return g.registered(ctx, model, func(r *registry.Registry, model string) (err error) {
		if one {
			_, err = r.RestoreVersion(ctx, model, n)
		} else {
			_, err = r.RestoreModel(ctx, model, who)
		}
		if err != nil {
			return fmt.Errorf("restore %s: %w; `litterloop models restore` lists what can be", c.Name, err)
		}
		return g.answer(map[string]any{"restored": c.Name}, func(w io.Writer) {
			fmt.Fprintln(w, "restored", c.Name)
			if one {
				fmt.Fprintln(w, "no alias names it: `litterloop models alias` does that")
			}
		})
	})
}

// list prints what can be restored.
func (c *modelsRestoreCmd) list(ctx context.Context, g *globals) func(*registry.Registry, string) error {
	return func(r *registry.Registry, _ string) error {
		deleted, err := r.Deleted(ctx)
		if err != nil {
			return err
		}
		return g.answer(map[string]any{"deleted": deleted}, func(w io.Writer) {
			if len(deleted) == 0 {
				fmt.Fprintln(w, "Nothing that was deleted can be restored.")
				return
			}
			t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
			defer t.Flush()
			for _, d := range deleted {
				name := d.Model
				if d.Version > 0 {
					name += "/" + strconv.Itoa(d.Version)
				}
				fmt.Fprintf(t, "%s\tdeleted %s\tby %s\t%s\n", name, d.Time.Local().Format(time.DateTime), d.Who, strings.Join(d.Aliases, ", "))
			}
		})
	}
}
