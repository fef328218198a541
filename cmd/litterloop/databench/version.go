package databench

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	gcs "cloud.google.com/go/storage"
	"google.golang.org/api/option"

	"github.com/litterloop/litterloop/localcloud/storage"
	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobgcs"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/intake"
	"github.com/litterloop/litterloop/shared/venv"
)

// changed photos of a version, whatever its size.
const changed = 10

// cloud is the local cloud's storage on loopback, spoken to by Google's client,
// with what travels counted.
type cloud struct {
	server             *storage.Server
	http               *http.Server
	client             *gcs.Client
	incoming, datasets blob.Bucket
	traffic            traffic
}

// traffic is what travelled since it was reset.
type traffic struct{ requests, copies, up, down atomic.Int64 }

func (t *traffic) reset() {
	for _, n := range []*atomic.Int64{&t.requests, &t.copies, &t.up, &t.down} {
		n.Store(0)
	}
}

func (t *traffic) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.requests.Add(1)
		if strings.Contains(r.URL.Path, "/rewriteTo/") || strings.Contains(r.URL.Path, "/copyTo/") {
			t.copies.Add(1)
		}
		r.Body = counted{r.Body, &t.up}
		next.ServeHTTP(countedWriter{w, &t.down}, r)
	})
}

type counted struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

type countedWriter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c countedWriter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n.Add(int64(n))
	return n, err
}

// Unwrap lets http.ResponseController reach what it needs.
func (c countedWriter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func newCloud(ctx context.Context, dir string) (c *cloud, err error) {
	c = &cloud{}
	if c.server, err = storage.New(storage.Options{Dir: dir}); err != nil {
		return nil, err
	}
	for _, bucket := range []string{"incoming", "datasets"} {
		if err := c.server.CreateBucket(ctx, bucket); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c.http = &http.Server{Handler: c.traffic.count(c.server), ReadHeaderTimeout: time.Minute}
	go c.http.Serve(l) // ends with close
	c.client, err = gcs.NewClient(ctx, option.WithEndpoint("http://"+l.Addr().String()+"/storage/v1/"), option.WithoutAuthentication())
	if err != nil {
		return nil, err
	}
	c.incoming, c.datasets = blobgcs.New(c.client, "incoming"), blobgcs.New(c.client, "datasets")
	return c, nil
}

func (c *cloud) close() {
	c.client.Close()
	c.http.Close()
	c.server.Close()
}

// small is a photo of 16 bytes that differs by its number and state. Nothing decodes
// it: what is measured is what a version costs besides its new photos.
func small(i, state int) []byte {
	p := make([]byte, 16)
	binary.LittleEndian.PutUint64(p, uint64(i))
	binary.LittleEndian.PutUint64(p[8:], uint64(state))
	return p
}

func name(i int) string { return fmt.Sprintf("batch_%d/%06d.jpg", i/1000, i) }

// glance stands for looking at a photo's pixels.
func glance(data []byte) dataset.Seen {
	s := dataset.Seen{Size: int64(len(data))}
	s.MD5, s.Width, s.Height = dataset.MD5Hex(data), 1920, 1080
	s.Hash = 0x9e3779b97f4a7c15 * (binary.LittleEndian.Uint64(data) + 1000003*binary.LittleEndian.Uint64(data[8:]) + 1)
	return s
}

// version replaces ten photos of a batch of many, again and again, and makes the
// versions that follow: each time by a process that has just started, which is
// the figure, and once more by the same process.
func version(ctx context.Context, o Options) (Row, error) {
	n := max(int(100_000*o.Scale), 2*changed)
	r := Row{Work: fmt.Sprintf("a new version with %d of %d photos changed", changed, n), Reach: "10 s on the local cloud"}
	c, err := newCloud(ctx, filepath.Join(o.Work, "cloud"))
	if err != nil {
		return r, err
	}
	defer c.close()
	dir, _, err := labels(o, n)
	if err != nil {
		return r, err
	}
	o.Say(fmt.Sprintf("the first version of %d photos", n))
	if err := c.first(ctx, filepath.Join(dir, "annotations.json"), n); err != nil {
		return r, err
	}
	var theirs func(int) (Figures, error)
	if !o.NoPeers {
		if theirs, err = dvc(ctx, o, n); err != nil {
			return r, err
		}
		r.Peer = "DVC 3.67.1, add and push to a directory"
	}
	o.Say("changing photos")
	var again []Figures
	r.Ours, r.Theirs, err = alternate(o.Rounds, func(round int) (Figures, error) {
		c.traffic.reset()
		in := newIntake(c.incoming, c.datasets)
		f, err := inProcess(func() error { return c.change(ctx, in, n, 2*round) })
		if err != nil {
			return f, err
		}
		t := &c.traffic
		r.Remarks = []string{fmt.Sprintf("%d requests, of which %d copies within the storage; %.1f MB sent, %.1f MB received", t.requests.Load(), t.copies.Load(), float64(t.up.Load())/1e6, float64(t.down.Load())/1e6)}
		second, err := inProcess(func() error { return c.change(ctx, in, n, 2*round+1) })
		again = append(again, second)
		return f, err
	}, theirs)
	if err != nil {
		return r, err
	}
	r.Remarks = append(r.Remarks, "by a process that made the version before: "+median(again).String())
	r.Met = r.Ours.Wall < 10
	return r, nil
}

func newIntake(incoming, datasets blob.Bucket) *intake.Intake {
	return intake.New(incoming, datasets, intake.Options{Policy: dataset.DefaultPolicy(), Now: time.Now, Log: slog.New(slog.DiscardHandler), Inspect: glance})
}

// first makes the first version. Photos are put into the storage without a
// network between, and what they and their label files hold is left out of the
// data set: no change reads it.
func (c *cloud) first(ctx context.Context, labels string, n int) error {
	for i := range n {
		if err := c.put(ctx, "taco/"+name(i), small(i, 0)); err != nil {
			return err
		}
	}
	f, err := os.Open(labels)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := c.incoming.Write(ctx, "taco/"+dataset.LabelsFile, f, blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
		return err
	}
	_, err = newIntake(drawnPhotos{c.incoming}, emptyContent{c.datasets}).Take(ctx, "taco/"+dataset.LabelsFile)
	return err
}

// put hands the storage a photo as a request.
func (c *cloud) put(ctx context.Context, object string, data []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/upload/storage/v1/b/incoming/o?uploadType=media&name="+url.QueryEscape(object), bytes.NewReader(data))
	if err != nil {
		return err
	}
	w := httptest.NewRecorder()
	c.server.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return fmt.Errorf("put %s: %d %s", object, w.Code, w.Body)
	}
	return nil
}

// drawnPhotos opens photos of the first version without asking the bucket.
type drawnPhotos struct{ blob.Bucket }

func (d drawnPhotos) Open(ctx context.Context, object string, offset, length int64) (io.ReadCloser, blob.Attrs, error) {
	var batch, i int
	if _, err := fmt.Sscanf(object, "taco/batch_%d/%d.jpg", &batch, &i); err != nil {
		return d.Bucket.Open(ctx, object, offset, length)
	}
	data := small(i, 0)
	return io.NopCloser(bytes.NewReader(data)), blob.Attrs{Name: object, Size: int64(len(data)), MD5: dataset.MD5Hex(data)}, nil
}

// emptyContent takes photos and label files without storing them.
type emptyContent struct{ blob.Bucket }

func (e emptyContent) Copy(_ context.Context, object string, _ blob.Bucket, _ string, _ blob.WriteOptions) (blob.Attrs, error) {
	return blob.Attrs{Name: object, MD5: md5Of(object)}, nil
}

func (e emptyContent) Write(ctx context.Context, object string, r io.Reader, o blob.WriteOptions) (blob.Attrs, error) {
	if md5 := md5Of(object); md5 != "" && o.ContentType == "text/plain" {
		return blob.Attrs{Name: object, MD5: md5}, nil
	}
	return e.Bucket.Write(ctx, object, r, o)
}

// md5Of is the MD5 in the name of an object of content, "" for any other.
func md5Of(object string) string {
	hex, ok := strings.CutPrefix(object, "files/md5/")
	if !ok {
		return ""
	}
	return strings.Replace(hex, "/", "", 1)
}

// change replaces ten photos and takes their events.
func (c *cloud) change(ctx context.Context, in *intake.Intake, n, round int) error {
	before, err := c.head(ctx)
	if err != nil {
		return err
	}
	for i := range changed {
		photo := i * (n / changed)
		if _, err := c.incoming.Write(ctx, "taco/"+name(photo), bytes.NewReader(small(photo, round+1)), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
			return err
		}
	}
	for i := range changed {
		if _, err := in.Take(ctx, "taco/"+name(i*(n/changed))); err != nil {
			return err
		}
	}
	after, err := c.head(ctx)
	if err == nil && (after.ID == before.ID || after.Counts.Photos != n) {
		err = fmt.Errorf("version %s of %d photos follows %s", after.ID, after.Counts.Photos, before.ID)
	}
	return err
}

func (c *cloud) head(ctx context.Context) (dataset.Version, error) {
	var h dataset.Head
	_, err := blob.ReadJSON(ctx, c.datasets, dataset.HeadObject, &h)
	return h.Version, err
}

// dvc makes a repository of the same photos and pushes it once.
func dvc(ctx context.Context, o Options, n int) (func(round int) (Figures, error), error) {
	o.Say("Python's environment with DVC")
	python, err := venv.Make(ctx, o.Cache, "dvc", []byte("dvc==3.67.1\ndvc-gs==3.1.0\n"), o.Log)
	if err != nil {
		return nil, err
	}
	program, repo := filepath.Join(filepath.Dir(python), "dvc"), filepath.Join(o.Work, "repo")
	write := func(i, state int) error {
		file := filepath.Join(repo, "data", filepath.FromSlash(name(i)))
		if i%1000 == 0 {
			if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
				return err
			}
		}
		_ = os.Remove(file) // DVC may have linked it to its cache
		return os.WriteFile(file, small(i, state), 0o666)
	}
	for i := range n {
		if err := write(i, 0); err != nil {
			return nil, err
		}
	}
	o.Say(fmt.Sprintf("the first version of %d photos, by DVC", n))
	run := func(args ...string) (Figures, error) {
		return timed(ctx, repo, []string{"DVC_NO_ANALYTICS=1"}, program, args...)
	}
	for _, args := range [][]string{{"init", "--no-scm", "-q"}, {"remote", "add", "-d", "store", filepath.Join(o.Work, "remote")}, {"add", "-q", "data"}, {"push", "-q"}} {
		if _, err := run(args...); err != nil {
			return nil, err
		}
	}
	return func(round int) (Figures, error) {
		for i := range changed {
			if err := write(i*(n/changed), round+1); err != nil {
				return Figures{}, err
			}
		}
		add, err := run("add", "-q", "data")
		if err != nil {
			return Figures{}, err
		}
		push, err := run("push", "-q")
		return Figures{add.Wall + push.Wall, add.CPU + push.CPU, max(add.PeakMB, push.PeakMB)}, err
	}, nil
}
