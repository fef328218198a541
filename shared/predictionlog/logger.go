package predictionlog

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"maps"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/litterloop/litterloop/shared/imaging"
	"github.com/parquet-go/parquet-go"
)

// Options of NewLogger.
type Options struct {
	Instance string // unique to this process: part of every file's name
	Spool    string // directory for files while the store is away; "" keeps them in memory
	Policy   Policy
	Now      func() time.Time
	Log      *slog.Logger
	// Sketch makes an empty sketch, for each hour; nil: files have none.
	Sketch func() Sketch
}

// Accounting says what became of the rows. Accepted = Written + Waiting +
// Dropped at every moment; Dropped above zero means that the log has a gap.
type Accounting struct {
	Accepted, Written, Waiting, Dropped uint64
	Files, PhotosWritten, PhotosDropped uint64
}

// Logger writes rows to a store in the background. Its callers never wait and
// never fail on its account. Safe for concurrent use.
type Logger struct {
	store Store
	o     Options

	mu       sync.Mutex
	rows     []Row
	oldest   time.Time // of rows
	photos   []item
	held     int64 // bytes of photos
	hour     time.Time
	sampled  int // photos in this hour
	counts   Accounting
	stopping bool

	wake    chan struct{}
	stop    context.CancelFunc
	stopped chan struct{}

	box      *outbox // of the background goroutine alone, and of Close after it
	sequence int
	sketches map[string]Sketch // by folder of the hour
}

// deliveryTimeout bounds one try, so that a store that hangs is a store that is
// away.
const deliveryTimeout = 20 * time.Second

// maxBackoff is the longest pause between tries while the store is away.
const maxBackoff = 30 * time.Second

// maxPhotoBytes bounds the sampled photos that wait in memory for their
// encoding; more are not kept.
const maxPhotoBytes = 64 << 20

// NewLogger starts a logger; Close ends it.
func NewLogger(store Store, o Options) (*Logger, error) {
	if err := o.Policy.Validate(); err != nil {
		return nil, fmt.Errorf("prediction log: %w", err)
	}
	box, err := openOutbox(o.Spool, o.Instance, o.Policy.WaitingBytes)
	if err != nil {
		return nil, fmt.Errorf("prediction log: %w", err)
	}
	if n := len(box.items); n > 0 {
		o.Log.Info("prediction log takes up what an earlier process left", "files", n, "bytes", box.bytes)
	}
	l := &Logger{store: store, o: o, box: box, sketches: map[string]Sketch{}, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	go l.work(ctx)
	return l, nil
}

// Add logs one answered photo. It decides whether the photo is kept and sets
// row.Photo; photo may be nil. It keeps a reference to photo until it is
// written.
func (l *Logger) Add(row Row, photo []byte) {
	now := l.o.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Accepted++
	if l.stopping || len(l.rows) >= l.o.Policy.WaitingRows {
		l.counts.Dropped++
		return
	}
	l.counts.Waiting++
	if len(photo) > 0 && l.o.Policy.Photos.wants(row) {
		l.sample(&row, photo, now)
	}
	if len(l.rows) == 0 {
		l.oldest = now
	}
	l.rows = append(l.rows, row)
	if len(l.rows) == 1 || len(l.rows) >= l.o.Policy.FlushRows {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// sample keeps a photo within its quota; l.mu is held.
func (l *Logger) sample(row *Row, photo []byte, now time.Time) {
	if hour := now.Truncate(time.Hour); !hour.Equal(l.hour) {
		l.hour, l.sampled = hour, 0
	}
	if l.sampled >= l.o.Policy.Photos.PerHour {
		return
	}
	info, err := imaging.Header(photo)
	if err != nil || l.held+int64(len(photo)) > maxPhotoBytes {
		l.counts.PhotosDropped++
		return
	}
	extension := map[string]string{"jpeg": ".jpg", "png": ".png", "webp": ".webp"}[info.Format]
	row.Photo = "photos/dt=" + now.UTC().Format("2006-01-02") + "/" + row.ID + extension
	l.sampled++
	l.held += int64(len(photo))
	l.photos = append(l.photos, item{name: row.Photo, contentType: "image/" + info.Format, data: bytes.Clone(photo)}) // its memory is the caller's, for the next photo
}

// Stats returns the accounting at this moment.
func (l *Logger) Stats() Accounting {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

// Close writes what waits, until ctx ends. What is left then stays in the spool
// for the next process, where there is one; else it is dropped, counted and
// reported.
func (l *Logger) Close(ctx context.Context) error {
	l.mu.Lock()
	l.stopping = true
	l.mu.Unlock()
	l.stop()
	<-l.stopped
	defer l.box.close()
	l.pack()
	err := l.deliver(ctx)
	if err == nil {
		return nil
	}
	if l.o.Spool != "" {
		if parked := l.box.park(); parked == nil {
			l.o.Log.Warn("prediction log leaves files in the spool", "files", len(l.box.items), "error", err)
			return nil
		}
	}
	l.mu.Lock()
	lost := l.counts.Waiting
	l.counts.Dropped, l.counts.Waiting = l.counts.Dropped+lost, 0
	l.mu.Unlock()
	return fmt.Errorf("%d predictions are not in the log: %w", lost, err)
}

func (l *Logger) work(ctx context.Context) {
	defer close(l.stopped)
	timer := time.NewTimer(0) // at once: an earlier process may have left files
	defer timer.Stop()
	var backoff time.Duration
	var retry time.Time // not before, while the store is away
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		case <-timer.C:
		}
		if l.due() <= 0 {
			l.pack()
		}
		if len(l.box.items) > 0 && !l.o.Now().Before(retry) {
			if err := l.deliver(ctx); err == nil {
				backoff, retry = 0, time.Time{}
			} else if ctx.Err() == nil {
				backoff = min(max(2*backoff, time.Second), maxBackoff)
				retry = l.o.Now().Add(backoff)
				l.o.Log.Warn("prediction log waits for its store", "error", err, "files", len(l.box.items), "retry_in", backoff)
				if err := l.box.park(); err != nil {
					l.o.Log.Error("prediction log cannot use its spool", "error", err)
				}
			}
		}
		next := l.due()
		if len(l.box.items) > 0 {
			next = min(next, retry.Sub(l.o.Now()))
		}
		timer.Reset(max(next, 0))
	}
}

// due is how long the waiting rows may still wait.
func (l *Logger) due() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case len(l.rows) == 0 && len(l.photos) == 0:
		return time.Hour
	case len(l.rows) >= l.o.Policy.FlushRows:
		return 0
	}
	return l.oldest.Add(l.o.Policy.FlushAge).Sub(l.o.Now())
}

// pack moves what waits in memory into the outbox as files.
func (l *Logger) pack() {
	l.mu.Lock()
	rows, photos := l.rows, l.photos
	l.rows, l.photos, l.held = nil, nil, 0
	accounting := l.counts
	l.mu.Unlock()
	for _, p := range photos {
		stripped, err := imaging.Strip(p.data)
		if err == nil {
			p.data, p.size = stripped, int64(len(stripped))
			err = l.box.add(p)
		}
		if err != nil {
			l.o.Log.Warn("prediction log does not keep a photo", "photo", p.name, "error", err)
			l.count(func(c *Accounting) { c.PhotosDropped++ })
		}
	}
	if len(rows) == 0 {
		return
	}
	l.sequence++
	name := path.Join(Dir(time.UnixMicro(rows[0].TimeMicros)), fmt.Sprintf("%s-%06d.parquet", l.o.Instance, l.sequence))
	metadata := []parquet.WriterOption{
		parquet.KeyValueMetadata(keySequence, fmt.Sprint(l.sequence)),
		parquet.KeyValueMetadata(keyAccepted, fmt.Sprint(accounting.Accepted)),
		parquet.KeyValueMetadata(keyDropped, fmt.Sprint(accounting.Dropped)),
	}
	sketch, err := l.sum(path.Dir(name), rows)
	if sketch != "" {
		metadata = append(metadata, parquet.KeyValueMetadata(keySketch, sketch))
	}
	var file bytes.Buffer
	if err == nil {
		err = writeFile(&file, rows, metadata...)
	}
	if err == nil {
		err = l.box.add(item{name: name, contentType: "application/vnd.apache.parquet", rows: len(rows), size: int64(file.Len()), data: file.Bytes()})
	}
	if err != nil {
		l.o.Log.Error("prediction log drops rows", "rows", len(rows), "file", name, "error", err)
		l.count(func(c *Accounting) { c.Waiting -= uint64(len(rows)); c.Dropped += uint64(len(rows)) })
	}
}

// sum adds rows to the sketch of their hour and returns it as a file holds it; ""
// for none.
func (l *Logger) sum(folder string, rows []Row) (string, error) {
	if l.o.Sketch == nil {
		return "", nil
	}
	s := l.sketches[folder]
	if s == nil {
		// The last hour stays: rows answered side by side may arrive out of order.
		if len(l.sketches) > 1 {
			delete(l.sketches, slices.Min(slices.Collect(maps.Keys(l.sketches))))
		}
		s = l.o.Sketch()
		l.sketches[folder] = s
	}
	for _, r := range rows {
		s.Add(r)
	}
	p, err := s.MarshalBinary()
	if err != nil {
		return "", fmt.Errorf("sketch of %s: %w", folder, err)
	}
	return base64.StdEncoding.EncodeToString(p), nil
}

func (l *Logger) deliver(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, deliveryTimeout)
	defer cancel()
	return l.box.deliver(ctx, l.store, func(it item) {
		l.count(func(c *Accounting) {
			c.Written += uint64(it.rows)
			c.Waiting -= uint64(it.rows)
			if path.Ext(it.name) == ".parquet" {
				c.Files++
			} else {
				c.PhotosWritten++
			}
		})
	})
}

func (l *Logger) count(change func(*Accounting)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.counts)
}
