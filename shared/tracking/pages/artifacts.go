package pages

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/tracking"
)

// artifact is a file of a run.
type artifact struct {
	Path  string // within the run
	Size  int64
	Image bool // shown on the run's page
}

// mostArtifacts are listed.
const mostArtifacts = 1000

func (p *Pages) artifacts(ctx context.Context, run tracking.Run) ([]artifact, error) {
	prefix, ok := tracking.ArtifactObject(run.ArtifactURI)
	if !ok {
		return nil, nil // in a place that is not ours
	}
	prefix = strings.TrimSuffix(prefix, "/") + "/"
	var all []artifact
	for a, err := range p.o.Bucket.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		name := strings.TrimPrefix(a.Name, prefix)
		all = append(all, artifact{name, a.Size, slices.Contains(images, strings.ToLower(path.Ext(name)))})
		if len(all) == mostArtifacts {
			break
		}
	}
	return all, nil
}

var images = []string{".png", ".jpg", ".jpeg", ".webp", ".gif", ".svg"}

// texts are shown as text, whatever else they are.
var texts = []string{".txt", ".log", ".json", ".jsonl", ".yaml", ".yml", ".csv", ".md", ".py", ".xml"}

// artifact sends a file of a run. Whoever logged it may have written anything:
// what is no picture and no text is downloaded, and nothing runs.
func (p *Pages) artifact(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("path")
	// Its beginning is waited for as long as for a page; its bytes may take longer.
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	impatience := time.AfterFunc(p.o.patience(), func() { cancel(context.DeadlineExceeded) })
	body, kind, size, err := p.file(ctx, r.PathValue("id"), name)
	if !impatience.Stop() && r.Context().Err() == nil {
		if err == nil {
			err = body.Close()
		}
		err = errors.Join(context.DeadlineExceeded, err)
	}
	if err != nil {
		p.page(func(*http.Request) (string, any, error) { return "", nil, err })(w, r)
		return
	}
	defer body.Close()
	h := w.Header()
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:")
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.FormatInt(size, 10))
	if kind == octets {
		h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": path.Base(name)}))
	}
	_, _ = io.Copy(w, body) // a reader that is gone asks again
}

const octets = "application/octet-stream"

func (p *Pages) file(ctx context.Context, run, name string) (body io.ReadCloser, kind string, size int64, err error) {
	if name == "" || slices.Contains(strings.Split(name, "/"), "..") {
		return nil, "", 0, errs.NotFound
	}
	d, err := p.runs.Run(ctx, run)
	if err != nil {
		return nil, "", 0, err
	}
	prefix, ok := tracking.ArtifactObject(d.ArtifactURI)
	if !ok {
		return nil, "", 0, errors.Join(errs.NotFound, errors.New("the run's artifacts are not in this store"))
	}
	body, a, err := p.o.Bucket.Open(ctx, strings.TrimSuffix(prefix, "/")+"/"+name, 0, -1)
	if err != nil {
		return nil, "", 0, err
	}
	ending := strings.ToLower(path.Ext(name))
	switch {
	case slices.Contains(images, ending):
		kind = mime.TypeByExtension(ending)
	case slices.Contains(texts, ending) || !strings.Contains(path.Base(name), "."):
		kind = "text/plain; charset=utf-8"
	default:
		kind = octets
	}
	return body, kind, a.Size, nil
}
