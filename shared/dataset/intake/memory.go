package intake

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/text/unicode/norm"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
)

// memory keeps, for a few batches, what the buckets hold anyway, so that one
// event of thousands costs a request or two and not a listing. Losing it, or
// having another process's events miss in it, costs time alone.
type memory struct {
	mu      sync.Mutex
	waits   map[string]*wait
	records map[string]*recorded // by batch, its newest
	labels  lastLabels           // those last used
	head    contents             // of the version last made or built on
}

// maxKept photos of labels or of a version are remembered; of more, what is
// large in memory is read again each time.
const maxKept = 250_000

// lastLabels is parsed labels and the object, named by their content, that they
// were read from.
type lastLabels struct {
	object string
	labels dataset.Labels
}

// contents are what is large of a version. Nobody may change it.
type contents struct {
	version  string
	photos   []dataset.Photo
	measured map[string]dataset.Measured
}

// maxRemembered batches; then all is forgotten, which is rare and cheap.
const maxRemembered = 16

// wait is the photos that a batch lacked when this process last looked. Used
// under the batch's lock.
type wait struct {
	batch   string
	finder  dataset.Finder
	missing map[string]bool // by key
}

// waiting returns what the batch of s lacks, as far as this process knows.
func (in *Intake) waiting(ctx context.Context, s dataset.BatchStatus) (*wait, error) {
	key := dataset.LabelRecordObject(s.Batch, s.LabelsMD5)
	in.memory.mu.Lock()
	w := in.memory.waits[key]
	in.memory.mu.Unlock()
	if w != nil {
		return w, nil
	}
	l, err := in.labels(ctx, key)
	if err != nil {
		return nil, err
	}
	w = &wait{batch: s.Batch, finder: l.Finder(), missing: make(map[string]bool, len(l.Photos))}
	packed, err := in.packed(ctx, s, w.finder)
	if err != nil {
		return nil, err
	}
	for _, p := range l.Photos {
		if _, ok := packed[p.Key()]; !ok {
			w.missing[p.Key()] = true
		}
	}
	if err := w.look(ctx, in.incoming); err != nil {
		return nil, err
	}
	in.memory.mu.Lock()
	defer in.memory.mu.Unlock()
	if in.memory.waits == nil || len(in.memory.waits) >= maxRemembered {
		in.memory.waits = map[string]*wait{}
	}
	in.memory.waits[key] = w
	return w, nil
}

// look lists the batch and strikes out all that is there.
func (w *wait) look(ctx context.Context, incoming blob.Bucket) error {
	prefix := w.batch + "/"
	for a, err := range incoming.List(ctx, prefix) {
		if err != nil {
			return err
		}
		w.strikeOut(a.Name[len(prefix):])
	}
	return nil
}

// strikeOut notes that a file is there.
func (w *wait) strikeOut(name string) {
	if key, _, ok := w.finder.Find(name); ok {
		delete(w.missing, key)
	}
}

// strike strikes arrived out. What is left is empty only if nothing was missing
// when the event came, and something in it was missing: as long as a photo seems
// to be, it is looked up, and after a few that are there after all (their events
// went to another process) the batch is listed once more.
func (w *wait) strike(ctx context.Context, incoming blob.Bucket, arrived string) error {
	w.strikeOut(arrived)
	for found := 0; len(w.missing) > 0; found++ {
		if found == maxLookups {
			return w.look(ctx, incoming)
		}
		var sentinel string
		for sentinel = range w.missing {
			break
		}
		there, err := w.exists(ctx, incoming, sentinel)
		if err != nil || !there {
			return err
		}
		delete(w.missing, sentinel)
	}
	return nil
}

const maxLookups = 4

// exists looks a photo up by its name, composed or decomposed, wherever it may
// lie.
func (w *wait) exists(ctx context.Context, incoming blob.Bucket, key string) (bool, error) {
	for _, name := range w.finder.Candidates(key) {
		for _, name := range []string{name, norm.NFD.String(name)} {
			there, err := w.lies(ctx, incoming, name, key)
			if there || err != nil {
				return there, err
			}
			if norm.NFD.String(name) == name {
				break
			}
		}
	}
	return false, nil
}

// lies looks for a photo under a name, or under one that begins so.
func (w *wait) lies(ctx context.Context, incoming blob.Bucket, name, key string) (bool, error) {
	if !strings.HasSuffix(name, ".") {
		_, err := incoming.Stat(ctx, w.batch+"/"+name)
		if errors.Is(err, errs.NotFound) {
			return false, nil
		}
		return err == nil, err
	}
	for a, err := range incoming.List(ctx, w.batch+"/"+name) {
		if err != nil {
			return false, err
		}
		if found, _, ok := w.finder.Find(a.Name[len(w.batch)+1:]); ok && found == key {
			return true, nil
		}
	}
	return false, nil
}

// composed is a photo's name as labels have it after dataset.CleanName. Uploads
// from a Mac often have accents apart from their letters.
func composed(name string) string { return norm.NFC.String(name) }

// labels returns the parsed labels that an object holds. Their boxes are not the
// caller's to change.
func (in *Intake) labels(ctx context.Context, object string) (l dataset.Labels, err error) {
	in.memory.mu.Lock()
	last := in.memory.labels
	in.memory.mu.Unlock()
	if last.object == object {
		l = last.labels
	} else if _, err := blob.ReadJSON(ctx, in.datasets, object, &l); err != nil {
		return l, err
	} else if len(l.Photos) <= maxKept {
		in.memory.mu.Lock()
		in.memory.labels = lastLabels{object, l}
		in.memory.mu.Unlock()
	}
	l.Photos = slices.Clone(l.Photos)
	return l, nil
}

// contents returns the photos of a version and what was measured of them.
func (in *Intake) contents(ctx context.Context, version string) (c contents, err error) {
	in.memory.mu.Lock()
	c = in.memory.head
	in.memory.mu.Unlock()
	if c.version == version {
		return c, nil
	}
	c = contents{version: version}
	g, group := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		c.photos, err = dataset.Photos(group, in.datasets, version)
		return err
	})
	g.Go(func() (err error) {
		c.measured, err = dataset.LoadMeasured(group, in.datasets, version)
		return err
	})
	if err := g.Wait(); err != nil {
		return contents{}, err
	}
	in.memory.keep(c)
	return c, nil
}

// keep remembers the contents of the version that the next one builds on.
func (m *memory) keep(c contents) {
	if len(c.photos) > maxKept {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.head = c
}

// recorded is what a batch's accepted record says of its photos.
type recorded struct {
	hash   string
	finder dataset.Finder
	md5    map[string]string // by key
}

// find returns the MD5 that a file had; ok is false for one that the labels do
// not name.
func (r *recorded) find(name string) (md5 string, ok bool) {
	key, _, ok := r.finder.Find(name)
	return r.md5[key], ok
}

// recorded returns the photos of the accepted record of s.
func (in *Intake) recorded(ctx context.Context, s dataset.BatchStatus) (*recorded, error) {
	in.memory.mu.Lock()
	known := in.memory.records[s.Batch]
	in.memory.mu.Unlock()
	if known != nil && known.hash == s.Record {
		return known, nil
	}
	names, err := dataset.LoadNames(ctx, in.datasets, dataset.BatchRecordObject(s.Batch, s.Record))
	if err != nil {
		return nil, err
	}
	return in.memory.record(s.Batch, s.Record, names), nil
}

// record remembers the photos of a batch's record.
func (m *memory) record(batch, hash string, names dataset.RecordNames) *recorded {
	known := &recorded{hash: hash, finder: names.Finder(), md5: make(map[string]string, len(names.Photos))}
	for _, p := range names.Photos {
		known.md5[cmp.Or(p.Object, p.Name)] = p.MD5
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.records == nil || len(m.records) >= maxRemembered {
		m.records = map[string]*recorded{}
	}
	m.records[batch] = known
	return known
}
