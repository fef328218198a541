package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/user"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/litterloop/litterloop/shared/registry"
)

// registered calls do with the deployment's registry and the model of the name
// given, or the deployment's own.
func (g *globals) registered(ctx context.Context, name string, do func(r *registry.Registry, model string) error) error {
	cl, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	if name == "" {
		name = cl.Model
	}
	return do(registry.New(cl.Bucket(cl.Models), time.Now), name)
}

// ofModel chooses a registered model.
type ofModel struct {
	Model string `help:"Of this registered model; the deployment's own by default." placeholder:"NAME"`
}

// signature is who changes an alias, and why; both are kept in its history.
type signature struct {
	Who string `help:"Who says so; by default who is logged in."`
	Why string `required:"" help:"Why; kept in the history of aliases."`
}

func (s signature) check() (who, why string, err error) {
	who, why = strings.TrimSpace(s.Who), strings.TrimSpace(s.Why)
	if who == "" {
		if u, err := user.Current(); err == nil {
			who = u.Username
		}
	}
	if who == "" || why == "" {
		return "", "", errors.New("an alias moves with a name and a reason: give --who and --why")
	}
	return who, why, nil
}

type modelsShowCmd struct {
	ofModel
}

// modelShown is a model, its versions and the moves of its aliases.
type modelShown struct {
	Model    registry.Model     `json:"model"`
	Versions []registry.Version `json:"versions"`
	Moves    []registry.Move    `json:"moves"` // oldest first
}

// Run shows a model.
func (c *modelsShowCmd) Run(ctx context.Context, g *globals) error {
	return g.registered(ctx, c.Model, func(r *registry.Registry, model string) error {
		m, versions, err := r.Versions(ctx, model)
		if err != nil {
			return absent(err, "model", model)
		}
		moves, err := r.History(ctx, model)
		if err != nil {
			return err
		}
		return g.answer(modelShown{m, versions, moves}, func(w io.Writer) {
			t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
			defer t.Flush()
			fmt.Fprintf(t, "%s\tregistered %s\t%s\n", m.Name, m.Created.Local().Format(time.DateTime), m.Description)
			printModels(t, versions, m.Aliases)
			for _, v := range moves {
				fmt.Fprintf(t, "  %s\t@%s\t%s -> %s\t%s: %s\n", v.Time.Local().Format(time.DateTime), v.Alias, versionOrNone(v.From), versionOrNone(v.To), v.Who, v.Why)
			}
		})
	})
}

func versionOrNone(n int) string {
	if n == 0 {
		return "none"
	}
	return strconv.Itoa(n)
}

type modelsAliasCmd struct {
	ofModel
	signature
	Alias   string `arg:"" help:"The alias, such as staging."`
	Version int    `arg:"" optional:"" help:"The version that it shall name."`
	Remove  bool   `help:"Remove the alias."`
}

// Run moves or removes an alias.
func (c *modelsAliasCmd) Run(ctx context.Context, g *globals) error {
	who, why, err := c.check()
	if err != nil {
		return err
	}
	if c.Remove == (c.Version != 0) {
		return errors.New("name the version that the alias shall name, or --remove")
	}
	return g.registered(ctx, c.Model, func(r *registry.Registry, model string) error {
		if c.Remove {
			err = r.DeleteAlias(ctx, model, c.Alias, who, why)
		} else {
			err = r.SetAlias(ctx, model, c.Alias, c.Version, who, why)
		}
		if err != nil {
			return absent(err, "model", fmt.Sprintf("%s/%d", model, c.Version))
		}
		return g.answer(map[string]any{"model": model, "alias": c.Alias, "version": c.Version, "who": who, "why": why}, func(w io.Writer) {
			fmt.Fprintf(w, "%s@%s names %s\n", model, c.Alias, versionOrNone(c.Version))
		})
	})
}

type modelsDeleteCmd struct {
	ofModel
	Who     string `help:"Who deletes; by default who is logged in."`
	Version int    `arg:"" optional:"" help:"The version."`
	All     bool   `help:"Delete the model with all of its versions."`
}

// Run deletes a version, and with it the aliases that name it; or a model.
func (c *modelsDeleteCmd) Run(ctx context.Context, g *globals) error {
	who, _, err := signature{c.Who, "deleted"}.check()
	if err != nil {
		return err
	}
	if c.All == (c.Version != 0) {
		return errors.New("name a version to delete, or --all for the model")
	}
	return g.registered(ctx, c.Model, func(r *registry.Registry, model string) error {
		name := model
		if c.All {
			err = r.DeleteModel(ctx, model, who)
		} else {
			name = fmt.Sprintf("%s/%d", model, c.Version)
			err = r.DeleteVersion(ctx, model, c.Version, who)
		}
		if err != nil {
			return absent(err, "model", name)
		}
		return g.answer(map[string]any{"deleted": name, "who": who}, func(w io.Writer) {
			fmt.Fprintf(w, "deleted %s: `litterloop models restore %s` brings it back for some time; numbers are never given again, and what runs logged stays\n", name, name)
		})
	})
}
