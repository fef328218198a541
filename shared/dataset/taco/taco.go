// Package taco downloads the photos of TACO, litter in the wild, or of any COCO
// labels that tell web addresses, from the servers of those who took them. Each
// photo is checked before it gets its name: it decodes whole and has the
// declared size. A download that was stopped or killed goes on, within a photo
// too where its server knows how. What comes of it is a batch, ready to drop.
package taco

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/coco"
	"github.com/litterloop/litterloop/shared/errs"
)

// Addresses of TACO's annotations, as its authors publish them.
const (
	Official   = "https://raw.githubusercontent.com/pedropro/TACO/master/data/annotations.json"
	Unofficial = "https://raw.githubusercontent.com/pedropro/TACO/master/data/annotations_unofficial.json"
)

// Reason codes of photos that are not to be had. The first is worth another run,
// the others are not.
const (
	NotReached     errs.Code = "photo-not-reached"
	Gone           errs.Code = "photo-gone"
	AddressMissing errs.Code = "photo-address-missing"
	AddressBad     errs.Code = "photo-address-bad"
	OtherSize      errs.Code = "photo-other-size"
)

// Options of Download. Client, Now and Sleep must be set; DefaultOptions has the
// rest.
type Options struct {
	// Client sends the requests. Download limits its redirects itself; its
	// Timeout should be zero, because Patience is what ends a dead connection.
	Client *http.Client
	Now    func() time.Time
	// Sleep returns after d, or early with the context's error.
	Sleep func(ctx context.Context, d time.Duration) error

	Parallel int     // photos at a time
	Rate     float64 // requests a second, redirects left out
	Attempts int     // in a row that bring nothing, of one photo
	// Patience is the time in which a server must send an answer, and then
	// each piece of 64 KiB.
	Patience time.Duration
	// MaxPause is the longest Retry-After that is waited for.
	MaxPause time.Duration
	Limits   coco.Limits
	MaxBytes int64 // of one photo

	// Progress, when set, is told after every photo, one call at a time.
	Progress func(Progress)
}

// DefaultOptions are polite: eight photos at a time, ten requests a second.
func DefaultOptions() Options {
	p := dataset.DefaultPolicy()
	return Options{
		Parallel: 8, Rate: 10, Attempts: 5, Patience: 30 * time.Second, MaxPause: 10 * time.Minute,
		Limits: coco.Limits{Images: p.MaxImages, Bytes: p.MaxLabelBytes}, MaxBytes: p.MaxPhotoBytes,
	}
}

// Progress is how far a download is.
type Progress struct {
	Done, Total int   // photos, those that are not to be had included
	Bytes       int64 // received
	Missing     int
}

// Report is what came of a download.
type Report struct {
	Photos  int       `json:"photos"`  // that the annotations name
	Present int       `json:"present"` // there before, and right
	Fetched int       `json:"fetched"`
	Resumed int       `json:"resumed"` // of the fetched, those that went on within the photo
	Bytes   int64     `json:"bytes"`   // received
	Missing []Missing `json:"missing"` // in name order
}

// Missing is a photo that is not there, and why.
type Missing struct {
	Name   string    `json:"name"`
	URL    string    `json:"url,omitempty"`
	Code   errs.Code `json:"code"`
	Reason string    `json:"reason"`
	Again  bool      `json:"again"` // another run may have it
}

// stateDir, below the batch, is hidden: what drops the batch passes over it.
const stateDir = ".taco"

// Download fetches the photos that annotations name into the directory out and,
// when every photo was had or found missing, writes out's annotations.json:
// annotations without the missing photos, so that a batch of it is complete.
// open opens the annotations and is called more than once.
//
// An error means that the download ended early, by the context or a full disk or
// because no server answers; the same call goes on from there. Photos that are
// missing are no error: the report names them.
func Download(ctx context.Context, open func() (io.ReadCloser, error), out string, o Options) (rep Report, err error) {
	defer errs.Wrap(&err, "download photos to %s", out)
	sources, err := read(open, o.Limits)
	if err != nil {
		return rep, err
	}
	if err := os.MkdirAll(out, 0o777); err != nil {
		return rep, err
	}
	root, err := os.OpenRoot(out)
	if err != nil {
		return rep, err
	}
	defer root.Close()
	if err := root.MkdirAll(stateDir, 0o777); err != nil {
		return rep, err
	}
	d := &download{Options: o, root: root, pace: newPace(o), decoding: make(chan struct{}, runtime.GOMAXPROCS(0))}
	photos := d.plan(sources)
	d.report.Photos = len(photos) + len(d.report.Missing)
	g, group := errgroup.WithContext(ctx)
	g.SetLimit(max(o.Parallel, 1))
	for _, p := range photos {
		if group.Err() != nil {
			break
		}
		g.Go(func() error { return d.take(group, p) })
	}
	if err := cmp.Or(g.Wait(), ctx.Err()); err != nil {
		return d.sorted(), err
	}
	return d.sorted(), writeLabels(root, open, d.report.Missing)
}

func read(open func() (io.ReadCloser, error), limits coco.Limits) ([]coco.Source, error) {
	r, err := open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return coco.Sources(r, limits)
}

// photo is one to have.
type photo struct {
	name, url     string
	width, height int // declared; 0: not
}

type download struct {
	Options
	root     *os.Root
	pace     *pace
	decoding chan struct{} // bounds the photos that are in memory to be checked

	mu     sync.Mutex
	report Report
	done   int
	silent int // photos in a row that no server answered for
}

// plan sorts out what the labels name: each name once, safe, with an address.
func (d *download) plan(sources []coco.Source) []photo {
	var photos []photo
	seen := map[string]bool{}
	for _, s := range sources {
		name, ok := dataset.CleanName(s.FileName)
		if ok && hidden(name) {
			ok = false
		}
		switch {
		case !ok:
			d.miss(Missing{Name: s.FileName, URL: s.URL, Code: dataset.NameUnsafe, Reason: "the file_name leaves the batch or is hidden"})
		case seen[name]:
		case s.URL == "":
			d.miss(Missing{Name: name, Code: AddressMissing, Reason: "the image has no flickr_url and no coco_url"})
		default:
			photos = append(photos, photo{name, s.URL, s.Width, s.Height})
		}
		seen[name] = seen[name] || ok
	}
	return photos
}

// hidden tells whether a drop would pass over the file.
func hidden(name string) bool { return strings.HasPrefix(name, ".") || strings.Contains(name, "/.") }

// giveUp photos in a row that no server answered for end the download: the
// machine is off the network, or the servers are.
const giveUp = 20

// take sees to one photo. Its errors end the download.
func (d *download) take(ctx context.Context, p photo) error {
	if d.there(p) {
		d.count(func(r *Report) { r.Present++ })
		return nil
	}
	if err := d.root.MkdirAll(path.Dir(p.name), 0o777); err != nil {
		return err
	}
	fault, err := d.fetch(ctx, p)
	if err != nil {
		return err
	}
	d.mu.Lock()
	if fault != nil && fault.Code == NotReached && fault.unanswered {
		d.silent++
	} else {
		d.silent = 0
	}
	silent := d.silent
	d.mu.Unlock()
	if silent >= giveUp {
		return fmt.Errorf("%d photos in a row were not to be had (%s): is this machine on the internet? The same command goes on from here: %w", silent, fault.Reason, errs.Unavailable)
	}
	if fault != nil {
		d.miss(Missing{p.name, p.url, fault.Code, fault.Reason, fault.Code == NotReached})
		return nil
	}
	d.count(func(r *Report) { r.Fetched++ })
	return nil
}

func (d *download) miss(m Missing) { d.count(func(r *Report) { r.Missing = append(r.Missing, m) }) }

// count notes what became of a photo.
func (d *download) count(change func(*Report)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(&d.report)
	d.done++
	if d.Progress != nil && d.report.Photos > 0 {
		d.Progress(Progress{Done: d.done, Total: d.report.Photos, Bytes: d.report.Bytes, Missing: len(d.report.Missing)})
	}
}

func (d *download) sorted() Report {
	d.mu.Lock()
	defer d.mu.Unlock()
	slices.SortFunc(d.report.Missing, func(x, y Missing) int { return strings.Compare(x.Name, y.Name) })
	if d.report.Missing == nil {
		d.report.Missing = []Missing{}
	}
	return d.report
}

// there tells whether a photo has its name already, which only checked ones get.
// Its header is looked at all the same.
func (d *download) there(p photo) bool {
	data, err := d.root.ReadFile(p.name)
	return err == nil && p.fits(data) == nil
}

// notThere is err unless it says that there is no such file.
func notThere(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
