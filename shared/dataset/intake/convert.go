package intake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
)

// convert makes the batch part of a version; everything it names is there.
func (in *Intake) convert(ctx context.Context, s dataset.BatchStatus) (dataset.BatchStatus, error) {
	var h headAt
	var g errgroup.Group
	g.Go(func() (err error) { // beside the labels: both are large
		h, err = in.head(ctx)
		return err
	})
	b, err := in.collect(ctx, s)
	if err := errors.Join(err, g.Wait()); err != nil {
		return s, err
	}
	l, photos, newest := b.labels, b.photos, max(b.newest, s.LabelsGeneration)
	if gone := absent(l, photos, b.packed); len(gone) > 0 { // deleted since: what replaces it comes with an event
		in.memory.forget(s)
		return in.noteGone(ctx, s, gone)
	}
	found, err := in.gather(ctx, slices.Collect(maps.Values(photos)), h.known())
	if errors.Is(err, errGone) {
		return in.convert(ctx, s)
	}
	if err != nil {
		return s, err
	}
	seen := make(map[string]dataset.Seen, len(l.Photos))
	for i := range l.Photos {
		p := &l.Photos[i]
		a, lies := photos[p.Key()]
		if !lies {
			seen[p.Name] = b.packed[p.Key()]
			continue
		}
		if strings.HasSuffix(p.Name, dataset.AnyEnding) {
			p.Name = composed(a.Name[len(s.Batch)+1:])
		}
		seen[p.Name] = pushedWhole(*p, found[a.Name])
	}
	rec := dataset.NewRecord(s.Batch, l, seen)
	data, hash := rec.Encode()
	if err := in.keep(ctx, dataset.BatchRecordObject(s.Batch, hash), "application/json", data); err != nil {
		return s, err
	}
	done := dataset.BatchStatus{State: dataset.Converted, Photos: len(l.Photos), Record: hash, Newest: newest, Counts: rec.Counts(), Findings: dataset.WithExtra(rec.Findings, b.extra)}
	if lost := rec.Lost(in.o.Policy.MaxLost); lost != "" {
		var r dataset.Report
		r.Merge(done.Findings)
		r.Add(dataset.BatchLost, lost)
		done.Findings = r.Findings()
		done.State, done.Version, done.Counts = dataset.Rejected, s.Version, dataset.Counts{}
	} else if done.Counts.Photos == 0 {
		done.State, done.Version = dataset.Rejected, s.Version
	} else if done.Version, err = in.commit(ctx, h, rec, seen, hash, newest); errors.Is(err, errSuperseded) {
		return s, nil
	} else if code, permanent := errs.Reason(err); permanent {
		done.Findings = append(done.Findings, dataset.Finding{Code: code, Kind: dataset.Quarantined, Message: err.Error(), Count: 1, Examples: []string{dataset.ClassMapFile}})
		done.State, done.Version, done.Counts = dataset.Rejected, s.Version, dataset.Counts{}
	} else if err != nil {
		return s, err
	}
	in.memory.record(s.Batch, hash, rec.Names())
	return in.settle(ctx, s, done)
}

// collected is a batch as it lies there.
type collected struct {
	labels dataset.Labels
	packed map[string]dataset.Seen // photos in archives, by key
	photos map[string]blob.Attrs   // by key
	extra  []string
	newest int64 // generation of a photo
}

// collect reads a batch's labels and looks up what they name.
func (in *Intake) collect(ctx context.Context, s dataset.BatchStatus) (c collected, err error) {
	if c.labels, err = in.labels(ctx, dataset.LabelRecordObject(s.Batch, s.LabelsMD5)); err != nil {
		return c, err
	}
	finder := c.labels.Finder()
	if c.packed, err = in.packed(ctx, s, finder); err != nil {
		return c, err
	}
	c.photos, c.extra, c.newest, err = in.list(ctx, s, finder)
	return c, err
}

// pushedWhole makes a fault of content that is not what its address says.
func pushedWhole(p dataset.LabelledPhoto, s dataset.Seen) dataset.Seen {
	if p.Object != "" && s.Fault == nil && dataset.ContentObject(s.MD5) != p.Object {
		s.Fault = errs.Permanentf("photo-unreadable", "%s does not hold the bytes of its name: push it again", p.Object)
	}
	return s
}

// absent are the photos of labels that are neither in the batch nor in an
// archive of it, in name order.
func absent(l dataset.Labels, photos map[string]blob.Attrs, packed map[string]dataset.Seen) (names []string) {
	for _, p := range l.Photos {
		_, lies := photos[p.Key()]
		if _, in := packed[p.Key()]; !lies && !in {
			names = append(names, p.Key())
		}
	}
	return names
}

// list returns the objects of the batch that are photos of its labels, by key,
// the names of other files, and the largest generation.
func (in *Intake) list(ctx context.Context, s dataset.BatchStatus, finder dataset.Finder) (photos map[string]blob.Attrs, extra []string, newest int64, err error) {
	photos, ranks := map[string]blob.Attrs{}, map[string]int{}
	prefix := s.Batch + "/"
	for a, err := range in.incoming.List(ctx, prefix) {
		if err != nil {
			return nil, nil, 0, err
		}
		name := a.Name[len(prefix):]
		key, rank, named := finder.Find(name)
		best, have := photos[key]
		switch {
		case named && !have:
			photos[key], ranks[key] = a, rank
		case named && rank < ranks[key]: // the other, under another root or ending, is one too many
			extra = append(extra, best.Name[len(prefix):])
			photos[key], ranks[key] = a, rank
		case isExtra(s, name):
			extra = append(extra, name)
		}
	}
	for _, a := range photos {
		newest = max(newest, a.Generation)
	}
	slices.Sort(extra)
	return photos, extra, newest, nil
}

// headAt is the head as it was at a generation, with what there is to know of
// its version. The zero value with generation Absent is the head before any.
type headAt struct {
	dataset.Head
	generation int64
	contents
}

// head returns the head. One whose version lacks its summary, because the
// process that made it died, is completed first.
func (in *Intake) head(ctx context.Context) (h headAt, err error) {
	h.generation, err = blob.ReadJSON(ctx, in.datasets, dataset.HeadObject, &h.Head)
	if errors.Is(err, errs.NotFound) {
		return headAt{generation: blob.Absent}, nil
	}
	if err != nil {
		return h, err
	}
	if err := in.complete(ctx, h.Version); err != nil {
		return h, err
	}
	h.contents, err = in.contents(ctx, h.Version.ID)
	return h, err
}

// known are the photos of the head's version by MD5, those that were measured.
func (h headAt) known() map[string]dataset.Seen {
	out := make(map[string]dataset.Seen, len(h.photos))
	for _, p := range h.photos {
		if m, ok := h.measured[p.MD5]; ok {
			out[p.MD5] = dataset.Seen{Measured: m, Size: p.Size, Orientation: p.Orientation}
		}
	}
	return out
}

// complete writes a version's summary, the last of its objects. A version that
// comes back, because a change was taken back, gets its new place in the order.
func (in *Intake) complete(ctx context.Context, v dataset.Version) error {
	_, err := blob.Update(ctx, in.datasets, dataset.VersionObject(v.ID, dataset.SummaryFile), func(have *dataset.Version) error {
		if have.Sequence >= v.Sequence {
			return blob.ErrUnchanged
		}
		*have = v
		return nil
	})
	return err
}

// commit makes a version that holds the record and returns its id, or the id of
// the version that already does. h is the head to try first.
func (in *Intake) commit(ctx context.Context, h headAt, rec dataset.Record, seen map[string]dataset.Seen, hash string, newest int64) (string, error) {
	for {
		if b := h.Batch(rec.Batch); b != nil && b.Newest > newest {
			return "", errSuperseded
		} else if b != nil && b.Record == hash {
			return h.Version.ID, nil
		}
		measured := make(map[string]dataset.Measured, len(h.measured)+len(seen))
		maps.Copy(measured, h.measured)
		for _, s := range seen {
			measured[s.MD5] = s.Measured
		}
		c, err := dataset.Assemble(&h.Head, h.photos, measured, rec, hash, newest, in.o.Policy, in.o.Now())
		if err != nil {
			return "", err
		}
		if err := in.write(ctx, c); err != nil {
			return "", err
		}
		_, err = blob.WriteJSON(ctx, in.datasets, dataset.HeadObject, &h.Head, h.generation)
		if errors.Is(err, errs.Conflict) { // another batch was first: build on its version
			if h, err = in.head(ctx); err != nil {
				return "", err
			}
			continue
		}
		if err != nil {
			return "", err
		}
		in.memory.keep(contents{h.Version.ID, c.Photos, measuredOf(c.Photos, measured)})
		in.o.Log.InfoContext(ctx, "data set version made", "version", h.Version.ID, "sequence", h.Version.Sequence, "batch", rec.Batch, "photos", h.Version.Counts.Photos, "boxes", h.Version.Counts.Boxes)
		return h.Version.ID, in.complete(ctx, h.Version)
	}
}

// measuredOf is what was measured of photos, and of no others.
func measuredOf(photos []dataset.Photo, all map[string]dataset.Measured) map[string]dataset.Measured {
	out := make(map[string]dataset.Measured, len(photos))
	for _, p := range photos {
		if m, ok := all[p.MD5]; ok {
			out[p.MD5] = m
		}
	}
	return out
}

// put stores a document that is named by its content.
func (in *Intake) put(ctx context.Context, object string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", object, err)
	}
	return in.keep(ctx, object, "application/json", data)
}

// keep stores what is named by its content: what is there already is right.
func (in *Intake) keep(ctx context.Context, object, contentType string, data []byte) error {
	_, err := in.datasets.Write(ctx, object, bytes.NewReader(data), blob.WriteOptions{IfGeneration: blob.Absent, ContentType: contentType})
	if errors.Is(err, errs.Conflict) {
		return nil
	}
	return err
}

// errSuperseded: another process has converted a newer state of the batch, and
// settles it.
var errSuperseded = errors.New("superseded")

// write stores all of a version but its summary. Everything is named by its
// content, so what is there is right.
func (in *Intake) write(ctx context.Context, c *dataset.Contents) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	put := func(object, contentType string, data []byte) {
		g.Go(func() error { return in.keep(ctx, object, contentType, data) })
	}
	for md5, text := range c.Labels {
		put(dataset.ContentObject(md5), "text/plain", text)
	}
	put(dataset.ContentObject(dataset.MD5Hex(c.DataYAML)), "application/yaml", c.DataYAML)
	put(dataset.ContentObject(c.Version.DirMD5)+".dir", "application/x-director", c.Dir)
	put(dataset.VersionObject(c.Version.ID, dataset.PhotosFile), "application/jsonl", c.JSONL)
	put(dataset.VersionObject(c.Version.ID, dataset.MeasuredFile), "application/jsonl", c.Measured)
	put(dataset.VersionObject(c.Version.ID, dataset.DataYAMLFile), "application/yaml", c.DataYAML)
	put(dataset.VersionObject(c.Version.ID, dataset.DVCFile), "application/yaml", c.DVC)
	return g.Wait()
}
