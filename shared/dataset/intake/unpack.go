package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/dataset/archive"
	"github.com/litterloop/litterloop/shared/dataset/labelformat"
	"github.com/litterloop/litterloop/shared/errs"
)

// part is what a stretch of an archive's members turned out to be. Parts are
// written one after another, each where the archive and the policy say it ends,
// so that whoever unpacks an archive after another died goes on from there, and
// two who do at once write the same.
type part struct {
	Schema   int               `json:"schema"`
	Next     int               `json:"next"`     // member to go on from
	Done     bool              `json:"done"`     // this part is the last
	Unpacked int64             `json:"unpacked"` // bytes, of all parts so far
	Members  []member          `json:"members,omitempty"`
	Findings []dataset.Finding `json:"findings,omitempty"`
}

// member is a file of an archive: a photo, whose content is at its address if it
// can be used; a text that may be labels; or COCO labels, in an object.
type member struct {
	Name   string     `json:"name"`
	Photo  *inspected `json:"photo,omitempty"`
	Text   []byte     `json:"text,omitempty"`
	Object string     `json:"object,omitempty"`
}

// inspected is dataset.Seen as it is kept.
type inspected struct {
	dataset.Measured
	Size        int64     `json:"size"`
	Orientation int       `json:"orientation,omitempty"`
	Code        errs.Code `json:"code,omitempty"`
	Fault       string    `json:"fault,omitempty"`
}

func (p inspected) seen() dataset.Seen {
	s := dataset.Seen{Measured: p.Measured, Size: p.Size, Orientation: p.Orientation}
	if p.Code != "" {
		s.Fault = errs.Permanentf(p.Code, "%s", p.Fault)
	}
	return s
}

func kept(s dataset.Seen) *inspected {
	p := &inspected{Measured: s.Measured, Size: s.Size, Orientation: s.Orientation}
	if s.Fault != nil {
		p.Code, _ = errs.Reason(s.Fault)
		p.Fault = s.Fault.Error()
	}
	return p
}

// A part ends after so many members or bytes: little enough to be done again,
// enough that writing it down costs nothing beside.
const (
	partMembers = 1000
	partBytes   = 64 << 20
)

// members unpacks an archive of the batch, or reads what was unpacked before.
// Its labels and photos are those of the archive, findings included.
func (in *Intake) members(ctx context.Context, batch string, s dataset.LabelSource) (all []member, found []dataset.Finding, err error) {
	defer func() {
		if !errors.As(err, new(goneError)) {
			errs.Wrap(&err, "%s", s.Name)
		}
	}()
	var r dataset.Report
	var last part
	known := sync.OnceValues(func() (map[string]dataset.Seen, error) { // by MD5, of photos that a version has
		h, err := in.head(ctx)
		return h.known(), err
	})
	for n := 0; ; n++ {
		var p part
		object := dataset.UnpackedObject(batch, in.unpackedKey(s), fmt.Sprintf("%06d.json", n))
		_, err := blob.ReadJSON(ctx, in.datasets, object, &p)
		if errors.Is(err, errs.NotFound) {
			if p, err = in.unpack(ctx, batch, s, last, known); err == nil {
				err = in.put(ctx, object, p)
			}
		}
		if err != nil {
			return nil, nil, err
		}
		all = append(all, p.Members...)
		r.Merge(p.Findings)
		if last = p; p.Done {
			return all, r.Findings(), nil
		}
	}
}

// unpackedKey names what an archive is unpacked to by its content, and by what
// the policy lets through.
func (in *Intake) unpackedKey(s dataset.LabelSource) string {
	return fmt.Sprintf("%s-%d-%d", s.MD5, in.o.Policy.MaxPhotoBytes, in.o.Policy.MaxLabelBytes)
}

var errPartFull = errors.New("the part is full")

// unpack makes the part that follows another.
func (in *Intake) unpack(ctx context.Context, batch string, s dataset.LabelSource, after part, versions func() (map[string]dataset.Seen, error)) (p part, err error) {
	known, err := versions()
	if err != nil {
		return p, err
	}
	a, err := in.incoming.Stat(ctx, batch+"/"+s.Name)
	if errors.Is(err, errs.NotFound) || err == nil && a.Generation != s.Generation {
		return p, goneError{s.Name} // its replacement comes with an event
	}
	if err != nil {
		return p, err
	}
	format, _ := archive.FormatOf(s.Name)
	p = part{Schema: 1, Next: after.Next, Done: true, Unpacked: after.Unpacked}
	limits := archive.LimitsOf(in.o.Policy)
	limits.Used = after.Unpacked
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	p.Findings, err = archive.Walk(gctx, archive.Source{Format: format, Reader: newObjectReader(gctx, in.incoming, a), Size: a.Size}, after.Next, limits, func(m archive.Member, body io.Reader) error {
		if len(p.Members) >= in.partMembers || p.Unpacked-after.Unpacked >= partBytes {
			p.Next, p.Done = m.Index, false
			return errPartFull
		}
		if labelformat.Junk(m.Name) || !dataset.IsPhotoName(m.Name) && !archive.IsText(m.Name) {
			return nil
		}
		limit := archive.MaxBytes(m.Name, in.o.Policy)
		body = io.LimitReader(body, limit+1)
		if base := m.Name[strings.LastIndexByte(m.Name, '/')+1:]; !dataset.IsPhotoName(m.Name) && strings.HasSuffix(base, ".json") {
			object := dataset.UnpackedObject(batch, in.unpackedKey(s), fmt.Sprintf("member-%d", m.Index))
			n := &count{r: body}
			if _, err := in.datasets.Write(gctx, object, n, blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
				return err
			}
			p.Unpacked += n.n
			p.Members = append(p.Members, member{Name: m.Name, Object: object})
			return nil
		}
		data, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		p.Unpacked += int64(len(data))
		if !dataset.IsPhotoName(m.Name) {
			p.Members = append(p.Members, member{Name: m.Name, Text: data})
			return nil
		}
		if int64(len(data)) > limit {
			p.Members = append(p.Members, member{Name: m.Name, Photo: kept(dataset.Seen{Fault: errs.Permanentf(photoTooLarge, "it has more than the %d bytes that are allowed", limit)})})
			return nil
		}
		seen := &inspected{}
		p.Members = append(p.Members, member{Name: m.Name, Photo: seen})
		g.Go(func() error { return in.unpackPhoto(gctx, data, known, seen) })
		return nil
	})
	// What a photo's storing failed with cancelled the walk: it is the cause.
	if failed := g.Wait(); failed != nil {
		return p, failed
	}
	switch {
	case errors.Is(err, errPartFull):
		return p, nil
	case errors.Is(err, errChanged):
		return p, goneError{s.Name}
	}
	return p, err
}

// unpackPhoto inspects a photo and brings it to its content address, unless a
// version has it already.
func (in *Intake) unpackPhoto(ctx context.Context, data []byte, known map[string]dataset.Seen, out *inspected) error {
	if s, ok := known[dataset.MD5Hex(data)]; ok {
		*out = *kept(s)
		return nil
	}
	s := in.o.Inspect(data)
	*out = *kept(s)
	if s.Fault != nil {
		return nil
	}
	object := dataset.ContentObject(s.MD5)
	a, err := in.datasets.Stat(ctx, object)
	if err == nil && a.MD5 == s.MD5 {
		return nil
	}
	if err != nil && !errors.Is(err, errs.NotFound) {
		return err
	}
	_, err = in.datasets.Write(ctx, object, bytes.NewReader(data), blob.WriteOptions{IfGeneration: a.Generation})
	if errors.Is(err, errs.Conflict) { // somebody else was first
		return nil
	}
	return err
}

// addArchive adds the texts and photos of an archive to a tree.
func (in *Intake) addArchive(ctx context.Context, t *tree, batch string, s dataset.LabelSource) error {
	all, found, err := in.members(ctx, batch, s)
	if err != nil {
		return err
	}
	t.report.Merge(found)
	own := map[string]bool{}
	for _, m := range unnest(all) {
		if own[m.Name] {
			t.report.Add(dataset.MemberDuplicate, m.Name)
		}
		own[m.Name] = true
		t.open[m.Name] = func(ctx context.Context) (io.ReadCloser, error) {
			if m.Object != "" {
				r, _, err := in.datasets.Open(ctx, m.Object, 0, -1)
				return r, err
			}
			return io.NopCloser(bytes.NewReader(m.Text)), nil
		}
	}
	return nil
}

// unnest leaves out the one directory that everything lies in.
func unnest(all []member) []member {
	names := make([]string, len(all))
	for i, m := range all {
		names[i] = m.Name
	}
	if dir := labelformat.Nested(names); dir != "" {
		all = slices.Clone(all)
		for i := range all {
			all[i].Name = strings.TrimPrefix(all[i].Name, dir)
		}
	}
	return all
}

// packed returns what is known of the labels' photos that lie in archives, by
// key.
func (in *Intake) packed(ctx context.Context, s dataset.BatchStatus, finder dataset.Finder) (map[string]dataset.Seen, error) {
	out := map[string]dataset.Seen{}
	sources := slices.Clone(s.Sources)
	slices.SortStableFunc(sources, func(x, y dataset.LabelSource) int { return int(x.Generation - y.Generation) })
	for _, source := range sources {
		if roleOf(source.Name) != archived {
			continue
		}
		all, _, err := in.members(ctx, s.Batch, source)
		if err != nil {
			return nil, err
		}
		rank := map[string]int{}
		for _, m := range unnest(all) {
			if m.Photo == nil {
				continue
			}
			if key, r, ok := finder.Find(m.Name); ok {
				if best, have := rank[key]; !have || r <= best {
					rank[key], out[key] = r, m.Photo.seen()
				}
			}
		}
	}
	return out, nil
}

type count struct {
	r io.Reader
	n int64
}

func (c *count) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
