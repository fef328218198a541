package tracking

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/errs"
)

// The index holds every run that was folded, so that a search reads a few large
// objects and not one for each run. Its chunks never change: a new state of a
// run makes a new chunk in the place of an old one, and the manifest, by
// compare-and-swap, says which chunks count.
const (
	indexPrefix      = "tracking/index/"
	manifestDocument = indexPrefix + "manifest.json"
	chunkRuns        = 512
)

type manifest struct {
	Chunks []chunkRef `json:"chunks"`
}

type chunkRef struct {
	Object     string `json:"object"`
	Experiment string `json:"experiment_id"` // of its runs
	Runs       int    `json:"runs"`
}

// entry is a run in the index.
type entry struct {
	Run
	Metrics map[string]Metric `json:"metrics,omitempty"`
}

// index is what this process has read of the index.
type index struct {
	mu     sync.Mutex
	chunks map[string][]*entry // by object; entries are never changed
}

func newIndex() *index { return &index{chunks: map[string][]*entry{}} }

// view is one state of the index.
type view struct {
	manifest
	generation int64
	entries    [][]*entry // of each chunk
}

// loadIndex reads the chunks of the experiments that want chooses.
func (s *Store) loadIndex(ctx context.Context, want func(experiment string) bool) (view, error) {
	for {
		var v view
		generation, err := blob.ReadJSON(ctx, s.bucket, manifestDocument, &v.manifest)
		if errors.Is(err, errs.NotFound) {
			if err := s.rebuild(ctx); err != nil {
				return v, fmt.Errorf("rebuild the index: %w", err)
			}
			continue
		}
		if err != nil {
			return v, fmt.Errorf("index: %w", err)
		}
		v.generation, v.entries = generation, make([][]*entry, len(v.Chunks))
		again, err := s.loadChunks(ctx, &v, want)
		if err != nil {
			return v, err
		}
		if !again { // else a chunk was replaced since the manifest was read
			return v, nil
		}
	}
}

func (s *Store) loadChunks(ctx context.Context, v *view, want func(string) bool) (gone bool, err error) {
	missing := make([]bool, len(v.Chunks))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	s.index.mu.Lock()
	for i, c := range v.Chunks {
		if !want(c.Experiment) {
			continue
		}
		if known, ok := s.index.chunks[c.Object]; ok {
			v.entries[i] = known
			continue
		}
		g.Go(func() error {
			var read []*entry
			_, err := blob.ReadJSON(ctx, s.bucket, c.Object, &read)
			if missing[i] = errors.Is(err, errs.NotFound); missing[i] {
				return nil
			}
			v.entries[i] = read
			return err
		})
	}
	s.index.mu.Unlock()
	if err := g.Wait(); err != nil {
		return false, fmt.Errorf("index: %w", err)
	}
	if slices.Contains(missing, true) {
		return true, nil
	}
	s.index.keep(v)
	return false, nil
}

// keep remembers the chunks of v and forgets those that do not count any more.
func (x *index) keep(v *view) {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := map[string][]*entry{}
	for i, c := range v.Chunks {
		if v.entries[i] != nil {
			now[c.Object] = v.entries[i]
		} else if known, ok := x.chunks[c.Object]; ok {
			now[c.Object] = known
		}
	}
	x.chunks = now
}

// putIndex puts runs into the index, in the place of their older states.
func (s *Store) putIndex(ctx context.Context, runs []*entry) error {
	if len(runs) == 0 {
		return nil
	}
	touched := map[string]bool{}
	for _, r := range runs {
		touched[r.Experiment] = true
	}
	for {
		v, err := s.loadIndex(ctx, func(experiment string) bool { return touched[experiment] })
		if err != nil {
			return err
		}
		next, written, err := s.replaceChunks(ctx, v, runs)
		if err != nil {
			return err
		}
		_, err = blob.WriteJSON(ctx, s.bucket, manifestDocument, next, v.generation)
		if errors.Is(err, errs.Conflict) && ctx.Err() == nil {
			if err := s.remove(ctx, written); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("index: %w", err)
		}
		return s.remove(ctx, without(v.objects(), next.objects()))
	}
}

func (m manifest) objects() []string {
	all := make([]string, len(m.Chunks))
	for i, c := range m.Chunks {
		all[i] = c.Object
	}
	return all
}

// replaceChunks writes new chunks for those of v that runs change or extend.
func (s *Store) replaceChunks(ctx context.Context, v view, runs []*entry) (next manifest, written []string, err error) {
	where := map[string][2]int{}
	roomy := map[string]int{} // an experiment's chunk that is not full
	chunks := make([][]*entry, len(v.entries))
	for i, entries := range v.entries {
		chunks[i] = slices.Clone(entries)
		for j, e := range entries {
			where[e.ID] = [2]int{i, j}
		}
		if entries != nil && len(entries) < chunkRuns {
			roomy[v.Chunks[i].Experiment] = i
		}
	}
	changed := map[int]bool{}
	refs := slices.Clone(v.Chunks)
	for _, r := range runs {
		if at, ok := where[r.ID]; ok {
			chunks[at[0]][at[1]] = r
			changed[at[0]] = true
			continue
		}
		i, ok := roomy[r.Experiment]
		if !ok || len(chunks[i]) >= chunkRuns {
			i = len(chunks)
			chunks, refs = append(chunks, nil), append(refs, chunkRef{Experiment: r.Experiment})
			roomy[r.Experiment] = i
		}
		where[r.ID] = [2]int{i, len(chunks[i])}
		chunks[i] = append(chunks[i], r)
		changed[i] = true
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, i := range slices.Sorted(maps.Keys(changed)) {
		refs[i].Object = indexPrefix + uuid.NewString() + ".json"
		refs[i].Runs = len(chunks[i])
		written = append(written, refs[i].Object)
		g.Go(func() error {
			return s.writeChunk(ctx, refs[i].Object, chunks[i])
		})
	}
	if err := g.Wait(); err != nil {
		return next, nil, fmt.Errorf("write the index: %w", err)
	}
	return manifest{refs}, written, nil
}

func (s *Store) writeChunk(ctx context.Context, object string, entries []*entry) error {
	_, err := blob.WriteJSON(ctx, s.bucket, object, entries, blob.Absent)
	return err
}

// rebuild makes an index from the documents of all runs.
func (s *Store) rebuild(ctx context.Context) error {
	// Ids are hexadecimal, mostly, so that many listings at once share the work.
	var prefixes []string
	for _, c := range "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		prefixes = append(prefixes, runPrefix("")[:len(runPrefix(""))-1]+string(c))
	}
	found := make([][]*entry, len(prefixes))
	g, gctx := errgroup.WithContext(ctx)
	for i, prefix := range prefixes {
		g.Go(func() (err error) {
			found[i], err = s.scan(gctx, prefix)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	next, written, err := s.replaceChunks(ctx, view{}, slices.Concat(found...))
	if err != nil {
		return err
	}
	if _, err = blob.WriteJSON(ctx, s.bucket, manifestDocument, next, blob.Absent); errors.Is(err, errs.Conflict) {
		return s.remove(ctx, written) // somebody else has made it
	}
	return err
}

// scan reads the documents of all runs whose objects begin with prefix. One that
// says it is not indexed, and has no marker left, gets one.
func (s *Store) scan(ctx context.Context, prefix string) ([]*entry, error) {
	var documents []string
	for a, err := range s.bucket.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(a.Name, "/run.json") {
			documents = append(documents, a.Name)
		}
	}
	entries := make([]*entry, len(documents))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, object := range documents {
		g.Go(func() error {
			var d document
			if _, err := blob.ReadJSON(ctx, s.bucket, object, &d); err != nil {
				return err
			}
			entries[i] = &entry{d.Run, latest(d.Latest, d.Points)}
			if d.Indexed {
				return nil
			}
			return s.mark(ctx, d.ID)
		})
	}
	return entries, g.Wait()
}
