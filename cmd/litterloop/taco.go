package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/litterloop/litterloop/cmd/litterloop/progress"
	"github.com/litterloop/litterloop/shared/dataset/taco"
	"github.com/litterloop/litterloop/shared/detector/remote"
	"github.com/litterloop/litterloop/shared/filelock"
)

type tacoCmd struct {
	Out         string  `arg:"" help:"Directory for the photos and their annotations.json; a download that stopped goes on." type:"path"`
	Annotations string  `help:"COCO file whose images have a flickr_url or coco_url: official, unofficial, FILE or URL." default:"official" placeholder:"FILE|URL"`
	Parallel    int     `help:"Photos at a time." default:"8"`
	Rate        float64 `help:"Requests a second; 0: as fast as they go." default:"10"`
	Attempts    int     `help:"Attempts in a row that may bring nothing, for each photo." default:"5"`
	Private     bool    `help:"Fetch from addresses of this machine and of private networks too."`
}

// Run downloads the photos and tells which are gone.
func (c *tacoCmd) Run(ctx context.Context, g *globals) error {
	if c.Parallel < 1 || c.Attempts < 1 || c.Rate < 0 {
		return errors.New("--parallel and --attempts must be at least 1, --rate at least 0")
	}
	state := filepath.Join(c.Out, ".taco")
	if err := os.MkdirAll(state, 0o777); err != nil {
		return err
	}
	release, err := filelock.Acquire(ctx, filepath.Join(state, "lock"))
	if err != nil {
		return err
	}
	defer release()
	o := taco.DefaultOptions()
	o.Client, o.Now, o.Sleep = webClient(c.Private), time.Now, sleep
	o.Parallel, o.Rate, o.Attempts = c.Parallel, c.Rate, c.Attempts
	labels, err := taco.Annotations(ctx, c.Annotations, state, o)
	if err != nil {
		return err
	}
	board := progress.New(g.stderr)
	stage := board.Stage("photos")
	o.Progress = func(p taco.Progress) {
		stage.Set(p.Done, p.Total, "%d of %d, %.1f MB, %d missing", p.Done, p.Total, float64(p.Bytes)/1e6, p.Missing)
	}
	open := func() (io.ReadCloser, error) { return os.Open(labels) }
	r, err := taco.Download(ctx, open, c.Out, o)
	if err != nil {
		stage.Fail(err)
		board.Close()
		return err
	}
	stage.Done("%d fetched, %d were there, %d missing, %.1f MB", r.Fetched, r.Present, len(r.Missing), float64(r.Bytes)/1e6)
	board.Close()
	return errors.Join(g.answer(r, func(w io.Writer) { c.tell(w, r) }), missing(r))
}

func (c *tacoCmd) tell(w io.Writer, r taco.Report) {
	fmt.Fprintf(w, "%d of %d photos are in %s. `litterloop drop %s` takes them in.\n", r.Fetched+r.Present, r.Photos, c.Out, c.Out)
	if len(r.Missing) == 0 {
		return
	}
	fmt.Fprintln(w, "The others are left out of its annotations.json:")
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	defer t.Flush()
	for _, m := range r.Missing {
		fmt.Fprintf(t, "  %s\t%s\t%s\n", m.Name, m.Code, m.Reason)
	}
}

// missing is the error for which a download with missing photos exits with 1.
func missing(r taco.Report) error {
	again := 0
	for _, m := range r.Missing {
		if m.Again {
			again++
		}
	}
	switch n := len(r.Missing); {
	case n == 0:
		return nil
	case again == 0:
		return fmt.Errorf("%d of %d photos are gone", n, r.Photos)
	default:
		return fmt.Errorf("%d of %d photos are missing; %d of them may be had by the same command later", n, r.Photos, again)
	}
}

// webClient speaks to servers of the open internet alone, unless private ones
// are allowed: the addresses come from a file, and must not lead to what only
// this machine reaches. Behind a proxy it is the proxy that decides.
func webClient(private bool) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 16
	proxied := false
	for _, v := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"} {
		proxied = proxied || os.Getenv(v) != ""
	}
	if !private && !proxied {
		t.DialContext = (&net.Dialer{Timeout: 20 * time.Second, Control: publicOnly}).DialContext
	}
	return &http.Client{Transport: t}
}

func publicOnly(_, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err == nil && !remote.Public(a.Addr()) {
		return fmt.Errorf("%s is an address of this machine or of a private network: --private allows it", strings.Trim(a.Addr().String(), "[]"))
	}
	return err
}

// sleep waits for d.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
