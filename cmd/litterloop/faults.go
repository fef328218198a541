package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/litterloop/litterloop/localcloud"
)

// crashes is how often a demo with faults is killed; noCrash is further than any
// demo gets.
const (
	crashes = 8
	noCrash = 1 << 40
)

// faults are those of one life of the demo.
func (c *demoCmd) faults() localcloud.Faults {
	if c.Faults == 0 {
		return localcloud.Faults{}
	}
	return localcloud.Faults{Seed: c.Faults, Duplicate: 0.2, Reorder: 0.2, Delay: 0.1, MaxDelay: 300 * time.Millisecond,
		Unavailable: 0.02, LoseAnswer: 0.02, CrashAfter: c.Crash}
}

// survive runs the demo in processes that are killed again and again, each time
// later in the story, until one reaches its end.
func (c *demoCmd) survive(ctx context.Context, g *globals) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(c.Faults, 0))
	for life := range crashes + 1 {
		crash := noCrash
		if life < crashes {
			crash = 20 + r.IntN(200)
		}
		err := c.live(ctx, g, self, crash)
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == localcloud.Crashed {
			fmt.Fprintf(g.stderr, "-- killed at commit %d; started again\n", crash)
			continue
		}
		return err
	}
	return errors.New("the demo was killed more often than asked for")
}

func (c *demoCmd) live(ctx context.Context, g *globals, self string, crash int) error {
	args := []string{"demo", "--state", g.State, "--seed", strconv.FormatUint(c.Seed, 10), "--faults", strconv.FormatUint(c.Faults, 10), "--crash", strconv.Itoa(crash)}
	if c.From != "" {
		args = append(args, "--from", c.From)
	}
	if c.Data != "" {
		args = append(args, "--data", c.Data)
	}
	if g.JSON {
		args = append(args, "--json")
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = time.Minute
	cmd.Stdin, cmd.Stderr = os.Stdin, g.stderr
	cmd.Stdout = io.Writer(g.stdout)
	return cmd.Run()
}
