package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/litterloop/litterloop/cmd/litterloop/progress"
	"github.com/litterloop/litterloop/shared/tracking/mlflow"
	"github.com/litterloop/litterloop/shared/tracking/server"
)

// chosen is what a copy of runs takes.
type chosen struct {
	Experiment []string `help:"Only experiments of these names." sep:"none" placeholder:"NAME"`
	Filter     string   `help:"Only runs that match, in MLflow's grammar."`
}

func (c chosen) choice() mlflow.Choice {
	return mlflow.Choice{Runs: true, Experiments: c.Experiment, Filter: c.Filter}
}

type runsExportCmd struct {
	chosen
	To string `required:"" help:"A directory, or the address of a tracking server that speaks MLflow's REST API." placeholder:"DIR|URL"`
}

// Run exports runs.
func (c *runsExportCmd) Run(ctx context.Context, g *globals) error {
	return g.transfer(ctx, c.To, true, c.choice())
}

type runsImportCmd struct {
	chosen
	From string `required:"" help:"An exported directory, or the address of a tracking server." placeholder:"DIR|URL"`
}

// Run imports runs.
func (c *runsImportCmd) Run(ctx context.Context, g *globals) error {
	return g.transfer(ctx, c.From, false, c.choice())
}

type modelsExportCmd struct {
	To    string   `required:"" help:"A directory, or the address of a tracking server that speaks MLflow's REST API." placeholder:"DIR|URL"`
	Model []string `help:"Only registered models of these names." sep:"none" placeholder:"NAME"`
}

// Run exports models, and the runs that they came from.
func (c *modelsExportCmd) Run(ctx context.Context, g *globals) error {
	return g.transfer(ctx, c.To, true, mlflow.Choice{Models: true, Names: c.Model})
}

type modelsImportCmd struct {
	From  string   `required:"" help:"An exported directory, or the address of a tracking server." placeholder:"DIR|URL"`
	Model []string `help:"Only registered models of these names." sep:"none" placeholder:"NAME"`
}

// Run imports models, and the runs that they came from.
func (c *modelsImportCmd) Run(ctx context.Context, g *globals) error {
	return g.transfer(ctx, c.From, false, mlflow.Choice{Models: true, Names: c.Model})
}

// transfer copies from the deployment to place, or the other way round.
func (g *globals) transfer(ctx context.Context, place string, export bool, choice mlflow.Choice) error {
	own, stop, err := g.ownServer(ctx)
	if err != nil {
		return err
	}
	defer stop()
	var from mlflow.Source = own
	var to mlflow.Destination = mlflow.NewServer(own)
	if strings.HasPrefix(place, "http://") || strings.HasPrefix(place, "https://") {
		peer := mlflow.NewClient(place, http.DefaultClient, credentials())
		if export {
			to = mlflow.NewServer(peer)
		} else {
			from = peer
		}
	} else {
		dir, err := mlflow.OpenDirectory(place, export)
		if err != nil {
			return err
		}
		defer dir.Close()
		if export {
			to = dir
		} else {
			from = dir
		}
	}
	board := progress.New(g.stderr)
	defer board.Close()
	verb, way := "import", "from "
	if export {
		verb, way = "export", "to "
	}
	stage := board.Stage(verb)
	rep, err := mlflow.Copy(ctx, from, to, choice, func(what string, done, total int) {
		stage.Set(done, total, "%d of %d %s", done, total, what)
	})
	if err != nil {
		stage.Fail(err)
		return fmt.Errorf("%s %s%s: %w; the same command goes on from here", verb, way, place, err)
	}
	stage.Done("%d runs, %d versions; %d were there already", rep.Runs, rep.Versions, rep.Already)
	if err := g.answer(rep, func(w io.Writer) {
		fmt.Fprintf(w, "%d runs and %d model versions copied %s%s; %d runs were there already.\n", rep.Runs, rep.Versions, way, place, rep.Already)
		for _, note := range rep.Notes {
			fmt.Fprintln(w, "  note:", note)
		}
		for _, clash := range rep.Clashes {
			fmt.Fprintln(w, "  left out:", clash)
		}
	}); err != nil {
		return err
	}
	if n := len(rep.Clashes); n > 0 {
		return fmt.Errorf("%d things clash, and were left out", n)
	}
	return nil
}

// credentials are those that MLflow's own clients take.
func credentials() http.Header {
	h := http.Header{}
	r := http.Request{Header: h}
	if token := os.Getenv("MLFLOW_TRACKING_TOKEN"); token != "" {
		h.Set("Authorization", "Bearer "+token)
	} else if name := os.Getenv("MLFLOW_TRACKING_USERNAME"); name != "" {
		r.SetBasicAuth(name, os.Getenv("MLFLOW_TRACKING_PASSWORD"))
	}
	return h
}

// ownServer serves the deployment's bucket to this process alone.
func (g *globals) ownServer(ctx context.Context) (c *mlflow.Client, stop func(), err error) {
	cl, err := g.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "litterloop-*")
	if err != nil {
		return nil, nil, errors.Join(err, cl.Close())
	}
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket) // in a directory that is closed to others
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir), cl.Close())
	}
	s := &http.Server{Handler: server.New(server.Options{Bucket: cl.Bucket(cl.Models), Now: time.Now, Log: slog.New(slog.DiscardHandler)})}
	go func() { _ = s.Serve(l) }() // Close ends it
	who := http.Request{Header: http.Header{}}
	name := "litterloop import"
	if u, err := user.Current(); err == nil {
		name += " by " + u.Username
	}
	who.SetBasicAuth(name, "")
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	return mlflow.NewClient("http://localhost", &http.Client{Transport: transport}, who.Header), func() {
		_ = s.Close() // nothing is under way
		_ = os.RemoveAll(dir)
		_ = cl.Close()
	}, nil
}
