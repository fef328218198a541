// Package fetch gets detectors to start from: published ones over HTTPS, once,
// checked and kept in a cache; others from a path or a bucket.
package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/filelock"
	"github.com/litterloop/litterloop/shared/training/embedded/pretrained"
)

// Reasons why a starting model cannot be had. Both are permanent: what was named
// is not there, or is not what it should be.
const (
	Unknown errs.Code = "start-unknown"
	Damaged errs.Code = "start-damaged"
)

// Fetcher gets starting models. Client and Cache are needed for published ones,
// Object for gs://.
type Fetcher struct {
	Client *http.Client
	Cache  string // directory; several processes may share it
	// Object opens an object of a bucket; errs.NotFound when it is not there.
	Object func(ctx context.Context, bucket, object string) (io.ReadCloser, error)
	// Idle is how long a server may send nothing before it is given up; 0 is for ever.
	Idle time.Duration
	// Progress is told how many bytes have arrived, of about total; may be nil.
	Progress func(done, total int64)
}

// maxBytes of a starting model: YOLOX-x and YOLO11x are below 400 MB.
const maxBytes = 1 << 30

// Open returns the ONNX that from names: a published detector, gs://BUCKET/OBJECT
// or a path. What is not there is a permanent error; a failing network is not.
func (f Fetcher) Open(ctx context.Context, from string) ([]byte, error) {
	if r, ok := pretrained.Find(from); ok {
		path, err := f.Release(ctx, r)
		if err != nil {
			return nil, err
		}
		return os.ReadFile(path)
	}
	if rest, ok := strings.CutPrefix(from, "gs://"); ok {
		bucket, object, ok := strings.Cut(rest, "/")
		if !ok || f.Object == nil {
			return nil, errs.Permanentf(Unknown, "starting model %q: no object of a bucket can be opened by that here", from)
		}
		r, err := f.Object(ctx, bucket, object)
		if errors.Is(err, errs.NotFound) {
			return nil, errs.Permanentf(Unknown, "starting model %s: there is no such object", from)
		}
		if err != nil {
			return nil, fmt.Errorf("open the starting model %s: %w", from, err)
		}
		defer r.Close()
		return io.ReadAll(io.LimitReader(r, maxBytes))
	}
	data, err := os.ReadFile(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errs.Permanentf(Unknown, "starting model %q: there is no such file, nor a published detector of that name (%s)", from, strings.Join(names(), ", "))
	}
	return data, err
}

func names() []string {
	var all []string
	for _, r := range pretrained.Releases {
		all = append(all, r.Name)
	}
	return all
}

// Path is where a published detector is kept.
func (f Fetcher) Path(r pretrained.Release) string { return filepath.Join(f.Cache, r.Name+".onnx") }

// Release returns the path of a published detector, fetched unless it is in the
// cache. A download that broke off goes on from where it was. Called by several
// processes at once it is fetched once.
func (f Fetcher) Release(ctx context.Context, r pretrained.Release) (string, error) {
	path := f.Path(r)
	if err := os.MkdirAll(f.Cache, 0o755); err != nil {
		return "", fmt.Errorf("make the cache directory: %w", err)
	}
	unlock, err := filelock.Acquire(ctx, path+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if data, err := os.ReadFile(path); err == nil && check(r, data) == nil {
		return path, nil
	}
	part := path + ".part"
	_, begun := os.Stat(part)
	err = f.whole(ctx, r, part)
	if _, damaged := errs.Reason(err); damaged && begun == nil {
		// What was gone on with was of another file, or had been damaged.
		err = f.whole(ctx, r, part)
	}
	if err != nil {
		return "", err
	}
	return path, os.Rename(part, path)
}

// whole completes the file part. One that is not the release is removed.
func (f Fetcher) whole(ctx context.Context, r pretrained.Release, part string) error {
	if err := f.download(ctx, r, part); err != nil {
		return err
	}
	data, err := os.ReadFile(part)
	if err != nil {
		return err
	}
	if err := check(r, data); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return nil
}

// Put keeps a copy of a published detector that came some other way, after the
// same check.
func (f Fetcher) Put(ctx context.Context, r pretrained.Release, data []byte) (string, error) {
	if err := check(r, data); err != nil {
		return "", err
	}
	path := f.Path(r)
	if err := os.MkdirAll(f.Cache, 0o755); err != nil {
		return "", fmt.Errorf("make the cache directory: %w", err)
	}
	unlock, err := filelock.Acquire(ctx, path+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		return "", fmt.Errorf("keep %s: %w", r.Name, err)
	}
	return path, os.Rename(path+".new", path)
}

// check accepts the very file that is known, or one of the same weights.
func check(r pretrained.Release, data []byte) error {
	sum := sha256.Sum256(data)
	if slices.Contains(r.SHA256, hex.EncodeToString(sum[:])) {
		return nil
	}
	digest, err := pretrained.Digest(data)
	if err != nil {
		return errs.Permanentf(Damaged, "%s: what was fetched is no ONNX model: %w", r.Name, err)
	}
	if digest != r.Tensors {
		return errs.Permanentf(Damaged, "%s: the weights are not those of the release (%.12s… where %.12s… is known)", r.Name, digest, r.Tensors)
	}
	return nil
}

// download appends to the file part what is missing of it.
func (f Fetcher) download(ctx context.Context, r pretrained.Release, part string) error {
	fail := func(err error) error {
		return fmt.Errorf("fetch %s from %s: %w; without internet, copy the file here by other means and name it: litterloop models fetch %s --from PATH (or gs://BUCKET/OBJECT)", r.Name, r.URL, err, r.Name)
	}
	out, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	have, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	heard := func() {}
	if f.Idle > 0 {
		silence := time.AfterFunc(f.Idle, func() { cancel(fmt.Errorf("the server sent nothing for %s", f.Idle)) })
		defer silence.Stop()
		heard = func() { silence.Reset(f.Idle) }
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, nil)
	if err != nil {
		return err
	}
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	resp, err := f.Client.Do(req)
	if err != nil {
		return fail(cause(ctx, err))
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK: // from the beginning, whatever was asked for
		if err := out.Truncate(0); err != nil {
			return err
		}
		have = 0
	case http.StatusPartialContent:
	case http.StatusRequestedRangeNotSatisfiable: // nothing is missing
		return nil
	default:
		return fail(fmt.Errorf("the server answers %s", resp.Status))
	}
	total := r.Bytes
	if resp.ContentLength > 0 {
		total = have + resp.ContentLength
	}
	body := io.LimitReader(resp.Body, maxBytes)
	buffer := make([]byte, 64<<10)
	for {
		n, err := body.Read(buffer)
		if _, werr := out.Write(buffer[:n]); werr != nil {
			return fmt.Errorf("keep %s: %w", r.Name, werr)
		}
		have += int64(n)
		heard()
		if f.Progress != nil {
			f.Progress(have, total)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fail(fmt.Errorf("it broke off after %d bytes (the next try goes on from there): %w", have, cause(ctx, err)))
		}
	}
	return out.Close()
}

// cause is why ctx ended, where it did, in place of what came of that.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	return err
}
