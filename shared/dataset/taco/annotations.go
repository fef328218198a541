package taco

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/litterloop/litterloop/shared/dataset/coco"
	"github.com/litterloop/litterloop/shared/errs"
)

// AnnotationsNotReached: the annotations could not be fetched from their address.
const AnnotationsNotReached errs.Code = "annotations-not-reached"

// Annotations returns the file of the annotations that from names: "official" or
// "unofficial" for TACO's own, a URL, or a file. What is fetched is kept in dir,
// which must exist, so that a download that goes on works on the same labels.
func Annotations(ctx context.Context, from, dir string, o Options) (file string, err error) {
	url := from
	switch from {
	case "official":
		url = Official
	case "unofficial":
		url = Unofficial
	}
	if !strings.HasPrefix(url, "http://") && !strings.HasPrefix(url, "https://") {
		_, err := os.Stat(from)
		return from, err
	}
	file = filepath.Join(dir, "annotations-of.json")
	origin := filepath.Join(dir, "annotations-of.url")
	if had, err := os.ReadFile(origin); err == nil && string(had) == url {
		return file, nil
	}
	for failed := 1; ; failed++ {
		again, err := fetchAnnotations(ctx, url, file, o)
		if err == nil {
			return file, os.WriteFile(origin, []byte(url), 0o666)
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if !again || failed >= o.Attempts {
			return "", errs.Permanentf(AnnotationsNotReached, "the annotations are not to be had from %s: %w. Without the internet, or when they moved, name a file: --annotations FILE", url, err)
		}
		if err := o.Sleep(ctx, backOff(failed)); err != nil {
			return "", err
		}
	}
}

// annotationsPatience is the longest that the annotations may take: they are a
// few megabytes.
const annotationsPatience = 5 * time.Minute

func fetchAnnotations(ctx context.Context, url, file string, o Options) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, annotationsPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false, err
	}
	req.Header.Set("User-Agent", userAgent)
	client := *o.Client
	client.CheckRedirect = checkRedirect
	res, err := client.Do(req)
	if err != nil {
		return !errors.Is(err, errRedirect), err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests, fmt.Errorf("the server answers %s", res.Status)
	}
	out, err := os.Create(file)
	if err != nil {
		return false, err
	}
	_, err = io.Copy(out, io.LimitReader(res.Body, o.Limits.Bytes+1))
	if err := errors.Join(err, out.Close()); err != nil {
		return true, err
	}
	in, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer in.Close()
	_, err = coco.Sources(in, o.Limits) // a page that says that they are gone is none
	return false, err
}
