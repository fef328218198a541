package intake

import (
	"context"
	"errors"
	"sync"

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
	records map[string]map[string]string // by record object: photo name to MD5
}

// maxRemembered batches; then all is forgotten, which is rare and cheap.
const maxRemembered = 16

// wait is the photos that a batch lacked when this process last looked. Used
// under the batch's lock.
type wait struct {
	batch   string
	missing map[string]bool
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
	var l dataset.Labels
	if _, err := blob.ReadJSON(ctx, in.datasets, key, &l); err != nil {
		return nil, err
	}
	w = &wait{batch: s.Batch, missing: make(map[string]bool, len(l.Photos))}
	for _, p := range l.Photos {
		w.missing[p.Name] = true
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
		delete(w.missing, composed(a.Name[len(prefix):]))
	}
	return nil
}

// strike strikes arrived out. What is left is empty only if nothing was missing
// when the event came, and something in it was missing: as long as a photo seems
// to be, it is looked up, and after a few that are there after all (their events
// went to another process) the batch is listed once more.
func (w *wait) strike(ctx context.Context, incoming blob.Bucket, arrived string) error {
	delete(w.missing, composed(arrived))
	for found := 0; len(w.missing) > 0; found++ {
		if found == maxLookups {
			return w.look(ctx, incoming)
		}
		var sentinel string
		for sentinel = range w.missing {
			break
		}
		there, err := exists(ctx, incoming, w.batch, sentinel)
		if err != nil || !there {
			return err
		}
		delete(w.missing, sentinel)
	}
	return nil
}

const maxLookups = 4

// exists looks a photo up by its name, composed or decomposed.
func exists(ctx context.Context, incoming blob.Bucket, batch, name string) (bool, error) {
	_, err := incoming.Stat(ctx, batch+"/"+name)
	if apart := norm.NFD.String(name); errors.Is(err, errs.NotFound) && apart != name {
		_, err = incoming.Stat(ctx, batch+"/"+apart)
	}
	if errors.Is(err, errs.NotFound) {
		return false, nil
	}
	return err == nil, err
}

// composed is a photo's name as labels have it after dataset.CleanName. Uploads
// from a Mac often have accents apart from their letters.
func composed(name string) string { return norm.NFC.String(name) }

// recorded returns the photos of the accepted record of s: name to MD5.
func (in *Intake) recorded(ctx context.Context, s dataset.BatchStatus) (map[string]string, error) {
	key := dataset.BatchRecordObject(s.Batch, s.Record)
	in.memory.mu.Lock()
	known := in.memory.records[key]
	in.memory.mu.Unlock()
	if known != nil {
		return known, nil
	}
	var rec dataset.Record
	if _, err := blob.ReadJSON(ctx, in.datasets, key, &rec); err != nil {
		return nil, err
	}
	known = make(map[string]string, len(rec.Photos))
	for _, p := range rec.Photos {
		known[p.Name] = p.MD5
	}
	in.memory.mu.Lock()
	defer in.memory.mu.Unlock()
	if in.memory.records == nil || len(in.memory.records) >= maxRemembered {
		in.memory.records = map[string]map[string]string{}
	}
	in.memory.records[key] = known
	return known, nil
}
