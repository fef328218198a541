package taco

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/imaging"
)

// userAgent tells the servers' owners who asks.
const userAgent = "litterloop/1 (+https://github.com/litterloop/litterloop; downloads the TACO data set)"

// fault is why a photo is not to be had; it ends nothing but that photo.
type fault struct {
	Code       errs.Code
	Reason     string
	unanswered bool // no server said a word
}

func faultf(code errs.Code, format string, args ...any) *fault {
	return &fault{Code: code, Reason: fmt.Sprintf(format, args...)}
}

// fetch has a photo, by as many requests as it takes.
func (d *download) fetch(ctx context.Context, p photo) (*fault, error) {
	u, err := url.Parse(p.url)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return faultf(AddressBad, "%.200q is no http or https address", p.url), nil
	}
	t, err := openPart(d.root, p)
	if err != nil {
		return nil, err
	}
	resumed := false
	for failed := 0; ; {
		if err := d.pace.wait(ctx, u.Host); err != nil {
			return nil, err
		}
		before := t.have
		again, f, err := d.request(ctx, u, t)
		if err == nil && f == nil {
			f, err = d.check(p, t)
			again = f != nil && f.Code == imaging.Unreadable // perhaps cut short on the way
		}
		switch {
		case err != nil:
			return nil, err
		case f == nil:
			if resumed || before > 0 && t.validator != "" {
				d.mu.Lock()
				d.report.Resumed++
				d.mu.Unlock()
			}
			return nil, t.finish(p.name)
		case !again:
			return f, t.discard()
		}
		if t.have >= before+piece {
			failed, resumed = 0, true // a server that drops every connection still brings the photo
		}
		if failed++; failed >= d.Attempts {
			return f, nil
		}
		if err := d.Sleep(ctx, backOff(failed)); err != nil {
			return nil, err
		}
	}
}

// backOff doubles from half a second to half a minute.
func backOff(failed int) time.Duration {
	return min(time.Second/2<<min(failed-1, 10), 30*time.Second)
}

// piece bytes a server must send within the patience, and an attempt must bring
// to count for something.
const piece = 64 << 10

// request asks for what is missing of a photo once. again tells whether
// another request may help against the fault.
func (d *download) request(ctx context.Context, u *url.URL, t *part) (again bool, f *fault, err error) {
	alive, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(d.Patience, func() { cancel(errStalled) })
	defer watch.Stop()
	req, err := http.NewRequestWithContext(alive, http.MethodGet, u.String(), nil)
	if err != nil {
		return false, faultf(AddressBad, "%v", err), nil
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept", "image/*")
	req.Header.Set("Accept-Encoding", "identity")
	if t.have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", t.have))
		req.Header.Set("If-Range", t.validator)
	}
	client := *d.Client
	client.CheckRedirect = checkRedirect
	res, err := client.Do(req)
	if err != nil {
		return d.unanswered(ctx, alive, err)
	}
	defer res.Body.Close()
	if again, f := d.judge(u.Host, res, t); f != nil {
		return again, f, nil
	}
	if res.StatusCode == http.StatusOK {
		if err := t.restart(validatorOf(res.Header)); err != nil {
			return false, nil, err
		}
	}
	return d.receive(ctx, alive, res.Body, t, watch)
}

// errStalled ends a connection on which too little came for too long.
var errStalled = errors.New("the server sends nothing, or next to nothing")

// unanswered sorts the errors of a request that got no answer.
func (d *download) unanswered(ctx, alive context.Context, err error) (bool, *fault, error) {
	switch {
	case ctx.Err() != nil:
		return false, nil, ctx.Err()
	case errors.Is(err, errRedirect):
		return false, faultf(AddressBad, "%v", err), nil
	case context.Cause(alive) == errStalled:
		err = errStalled
	}
	f := faultf(NotReached, "%v", err)
	f.unanswered = true
	return true, f, nil
}

// judge looks at the head of an answer; no fault means that the photo follows.
func (d *download) judge(host string, res *http.Response, t *part) (again bool, f *fault) {
	switch code := res.StatusCode; {
	case code == http.StatusOK || code == http.StatusPartialContent:
	case code == http.StatusRequestedRangeNotSatisfiable: // the part is of something else
		t.have, t.validator = 0, ""
		return true, faultf(NotReached, "the server cannot go on with the photo (%s)", res.Status)
	case code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable:
		wait := retryAfter(res.Header.Get("Retry-After"), d.Now())
		if wait > d.MaxPause {
			return false, faultf(NotReached, "the server wants to be left alone for %s (%s)", wait.Round(time.Second), res.Status)
		}
		d.pace.pause(host, wait)
		return true, faultf(NotReached, "the server is busy (%s)", res.Status)
	case code == http.StatusRequestTimeout || code == http.StatusTooEarly || code >= 500:
		return true, faultf(NotReached, "the server fails (%s)", res.Status)
	default:
		return false, faultf(Gone, "the server answers %s", res.Status)
	}
	if kind := res.Header.Get("Content-Type"); strings.Contains(kind, "html") {
		return false, faultf(Gone, "the server answers with a page (%s), not with a photo", kind)
	}
	if res.ContentLength > d.MaxBytes-t.have {
		return false, faultf(imaging.TooLarge, "the photo has more than the %d bytes that are allowed", d.MaxBytes)
	}
	if res.StatusCode == http.StatusPartialContent && !strings.HasPrefix(res.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", t.have)) {
		t.have, t.validator = 0, ""
		return true, faultf(NotReached, "the server sends another part (%s) than it was asked for", res.Header.Get("Content-Range"))
	}
	return false, nil
}

// retryAfter is the pause that a server asks for: seconds, or a date.
func retryAfter(h string, now time.Time) time.Duration {
	if s, err := strconv.Atoi(strings.TrimSpace(h)); err == nil && s >= 0 && s < 1<<30 {
		return time.Duration(s) * time.Second
	}
	if at, err := http.ParseTime(h); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// receive appends the body to the part.
func (d *download) receive(ctx, alive context.Context, body io.Reader, t *part, watch *time.Timer) (again bool, f *fault, err error) {
	file, err := d.root.OpenFile(t.file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666)
	if err != nil {
		return false, nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	buf := make([]byte, piece)
	sincePatience := 0
	for {
		n, end := body.Read(buf)
		if n > 0 {
			if _, err := file.Write(buf[:n]); err != nil {
				return false, nil, err
			}
			t.have += int64(n)
			d.mu.Lock()
			d.report.Bytes += int64(n)
			d.mu.Unlock()
			if sincePatience += n; sincePatience >= piece {
				watch.Reset(d.Patience)
				sincePatience = 0
			}
			if t.have > d.MaxBytes {
				return false, faultf(imaging.TooLarge, "the photo has more than the %d bytes that are allowed", d.MaxBytes), nil
			}
		}
		switch {
		case end == io.EOF:
			return false, nil, nil
		case end == nil:
			continue
		case ctx.Err() != nil:
			return false, nil, ctx.Err()
		case context.Cause(alive) == errStalled:
			end = errStalled
		}
		if t.validator == "" { // nothing tells that the rest would be of the same photo
			t.have = 0
		}
		return true, faultf(NotReached, "the connection broke after %d bytes: %v", t.have, end), nil
	}
}

// errRedirect: an address leads on and on, or to where no photo can be.
var errRedirect = errors.New("the address leads nowhere")

const maxRedirects = 5

func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("%w: more than %d redirects", errRedirect, maxRedirects)
	}
	if req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return fmt.Errorf("%w: redirected to %.200q", errRedirect, req.URL)
	}
	return nil
}
