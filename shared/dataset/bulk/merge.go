package bulk

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/dataset"
	"github.com/litterloop/litterloop/shared/errs"
)

// PartsDiffer: parts of other labels, or of another policy, lie among those of
// one data set.
const PartsDiffer errs.Code = "parts-differ"

// Complete tells whether all n parts lie in the directory.
func Complete(parts string, n int) bool {
	for shard := range n {
		if _, err := os.Stat(filepath.Join(parts, partName(shard, n)+summaryEnding)); err != nil {
			return false
		}
	}
	return true
}

// merging is what a merge knows of the whole.
type merging struct {
	parts   string
	n       int
	made    string
	o       Options
	classes []string
	per     []int // boxes of each class
	found   tally

	names  []string // by photo
	strata []int32  // class that a photo shows of which there are fewest boxes
	split  []dataset.Split
	files  []string
}

// Merge makes the data set of n parts in the directory made, which must exist
// and be empty.
func Merge(ctx context.Context, parts string, n int, made string, o Options) (Result, error) {
	m := &merging{parts: parts, n: n, made: made, o: o.filled()}
	if err := m.summaries(); err != nil {
		return Result{}, err
	}
	if err := m.each(ctx, m.note); err != nil {
		return Result{}, err
	}
	m.place()
	if err := m.directories(); err != nil {
		return Result{}, err
	}
	splits, err := m.write(ctx)
	if err != nil {
		return Result{}, err
	}
	text, err := dataset.DataYAML(m.classes)
	if err != nil {
		return Result{}, err
	}
	return Result{m.classes, splits, m.found.findings()}, os.WriteFile(filepath.Join(made, dataset.DataYAMLFile), text, 0o666)
}

func (m *merging) summaries() error {
	var first summary
	for shard := range m.n {
		name := filepath.Join(m.parts, partName(shard, m.n)+summaryEnding)
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("part %d of %d is not made yet: %w", shard, m.n, errs.NotFound)
		}
		if err != nil {
			return err
		}
		var s summary
		if err := json.Unmarshal(text, &s); err != nil {
			return fmt.Errorf("decode %s: %w", name, err)
		}
		if shard == 0 {
			first = s
			m.classes, m.per = s.Classes, make([]int, len(s.Classes))
			m.names, m.strata = make([]string, s.Photos), make([]int32, s.Photos)
		}
		if s.Labels != first.Labels || s.Photos != first.Photos || !slices.Equal(s.Classes, first.Classes) || len(s.PerClass) != len(m.per) {
			return errs.Permanentf(PartsDiffer, "%s is of other labels than part 0: remove %s, and make all parts of the same labels", name, m.parts)
		}
		for i, n := range s.PerClass {
			m.per[i] += n
		}
		m.found.merge(s.Found)
	}
	return nil
}

// record is a photo of a part, valid until the next.
type record struct {
	photo   int
	name    []byte
	usable  bool
	classes []int
	boxes   int
	text    []byte // its label file
}

// each visits the records of all parts, of several parts at the same time.
func (m *merging) each(ctx context.Context, visit func(*record) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for shard := range m.n {
		g.Go(func() error {
			name := filepath.Join(m.parts, partName(shard, m.n))
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			defer f.Close()
			r := bufio.NewReaderSize(f, 256<<10)
			var rec record
			for n := 0; ; n++ {
				if err := rec.read(r, len(m.names), len(m.classes)); err == io.EOF {
					return nil
				} else if err != nil {
					return fmt.Errorf("read %s: %w", name, err)
				}
				if err := visit(&rec); err != nil {
					return err
				}
				if n%256 == 0 && ctx.Err() != nil {
					return ctx.Err()
				}
			}
		})
	}
	return g.Wait()
}

// maxText bytes of one label file: a million boxes.
const maxText = 64 << 20

// read reads the next record; io.EOF where there is none.
func (rec *record) read(r *bufio.Reader, photos, classes int) (err error) {
	photo, err := binary.ReadUvarint(r)
	if err != nil {
		return err
	}
	number := func(limit int) int {
		v, e := binary.ReadUvarint(r)
		if err == nil && (e != nil || v > uint64(limit)) {
			err = errors.Join(e, errDamaged)
		}
		if err != nil {
			return 0
		}
		return int(v)
	}
	bytes := func(p []byte, n int) []byte {
		p = slices.Grow(p[:0], n)[:n]
		if err == nil {
			_, err = io.ReadFull(r, p)
		}
		return p
	}
	rec.name = bytes(rec.name, number(1<<16))
	rec.usable = number(usable) == usable
	rec.photo, rec.classes, rec.boxes, rec.text = int(photo), rec.classes[:0], 0, rec.text[:0]
	if err == nil && photo >= uint64(photos) {
		err = errDamaged
	}
	if err != nil || !rec.usable {
		return noEOF(err)
	}
	for range number(classes) {
		rec.classes = append(rec.classes, number(classes-1))
	}
	rec.boxes = number(1 << 30)
	rec.text = bytes(rec.text, number(maxText))
	return noEOF(err)
}

var errDamaged = errors.New("the part is damaged: remove it and make it again")

// noEOF: the end in the middle of a record is none.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// note keeps what a photo's place depends on. Photos are of one part each.
func (m *merging) note(rec *record) error {
	m.names[rec.photo] = string(rec.name)
	if !rec.usable {
		m.strata[rec.photo] = unusableStratum
		return nil
	}
	rarest := -1
	for _, c := range rec.classes {
		if rarest < 0 || m.per[c] < m.per[rarest] || m.per[c] == m.per[rarest] && c < rarest {
			rarest = c
		}
	}
	m.strata[rec.photo] = int32(rarest)
	return nil
}

const unusableStratum = -2

// place gives every usable photo its split and its name in the data set.
func (m *merging) place() {
	var ranks []uint64
	var strata []int32
	for i, name := range m.names {
		if m.strata[i] != unusableStratum {
			ranks = append(ranks, dataset.Rank(dataset.MD5Hex([]byte(name)), m.o.Policy.Seed))
			strata = append(strata, m.strata[i])
		}
	}
	held := dataset.HoldOut(ranks, strata, m.o.Policy.ValShare)
	m.split = make([]dataset.Split, len(m.names))
	m.files = dataset.Distinct(m.names)
	for i, name := range m.names {
		if m.strata[i] == unusableStratum {
			continue
		}
		m.split[i] = dataset.Train
		if held[0] {
			m.split[i] = dataset.Val
		}
		held = held[1:]
		if dataset.Renamed(name, m.files[i]) {
			m.found.add(dataset.NameChanged, int64(i), "%s: %s", name, m.files[i])
		}
	}
	m.names = make([]string, len(m.names)) // of no more use
}

func (m *merging) label(photo int) string {
	return filepath.Join(m.made, filepath.FromSlash(dataset.LabelPath(path.Join("images", string(m.split[photo]), m.files[photo]))))
}

func (m *merging) directories() error {
	made := map[string]bool{}
	for i := range m.files {
		if m.split[i] == "" {
			continue
		}
		if dir := filepath.Dir(m.label(i)); !made[dir] {
			made[dir] = true
			if err := os.MkdirAll(dir, 0o777); err != nil {
				return err
			}
		}
	}
	return nil
}

// write writes the label files and counts them.
func (m *merging) write(ctx context.Context) (map[dataset.Split]dataset.Counts, error) {
	var photos, boxes [2]atomic.Int64 // of train, of val
	err := m.each(ctx, func(rec *record) error {
		if !rec.usable {
			return nil
		}
		i := 0
		if m.split[rec.photo] == dataset.Val {
			i = 1
		}
		boxes[i].Add(int64(rec.boxes))
		if n := photos[i].Add(1); n%1000 == 0 {
			m.o.Progress("write", int(photos[0].Load()+photos[1].Load()), len(m.files))
		}
		return os.WriteFile(m.label(rec.photo), rec.text, 0o666)
	})
	splits := map[dataset.Split]dataset.Counts{}
	for i, s := range []dataset.Split{dataset.Train, dataset.Val} {
		if n := photos[i].Load(); n > 0 {
			splits[s] = dataset.Counts{Photos: int(n), Boxes: int(boxes[i].Load())}
		}
	}
	return splits, err
}
