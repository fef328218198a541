package registry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/tracking"
	"github.com/litterloop/litterloop/shared/tracking/fault"
)

// add registers a version of a model of the name's own, as a client does.
func add(t *testing.T, r *registry.Registry, model, id string) registry.Version {
	t.Helper()
	v, err := r.Add(t.Context(), model, func(context.Context) (registry.Version, error) {
		return registry.Version{Source: "gs://b/" + id, Description: id, Tags: map[string]string{"id": id}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ids of a model's versions by number.
func ids(t *testing.T, r *registry.Registry, model string) map[int]string {
	t.Helper()
	all, err := r.List(t.Context(), model)
	must(t, err)
	found := map[int]string{}
	for _, v := range all {
		if v.Model != model {
			t.Errorf("version %d of %s says that it is of %q", v.Version, model, v.Model)
		}
		found[v.Version] = v.Tags["id"]
	}
	return found
}

func TestRestoreVersion(t *testing.T) {
	r := registry.New(blobmem.New("models"), fixed)
	_, err := r.CreateModel(t.Context(), "litter", "", nil)
	must(t, err)
	add(t, r, "litter", "a")
	add(t, r, "litter", "b")
	must(t, r.SetAlias(t.Context(), "litter", "staging", 2, "test", "newest"))
	_, _, err = r.Transition(t.Context(), "litter", 2, registry.Production, false)
	must(t, err)
	before, _, err := r.Find(t.Context(), "litter", 2)
	must(t, err)
	must(t, r.DeleteVersion(t.Context(), "litter", 2, "kim"))
	if _, err := r.Get(t.Context(), "litter", 2); !errors.Is(err, errs.NotFound) {
		t.Errorf("a deleted version: %v", err)
	}
	deleted, err := r.Deleted(t.Context())
	must(t, err)
	want := []registry.Deletion{{Model: "litter", Version: 2, Aliases: []string{"staging"}, Who: "kim", Time: noon}}
	if diff := cmp.Diff(want, deleted); diff != "" {
		t.Errorf("deleted (-want +got):\n%s", diff)
	}
	if v := add(t, r, "litter", "c"); v.Version != 3 {
		t.Errorf("the number of a deleted version is given again: %d", v.Version)
	}
	for range 2 { // again changes nothing
		v, err := r.RestoreVersion(t.Context(), "litter", 2)
		if err != nil || v.Tags["id"] != "b" {
			t.Fatalf("restored: %+v, %v", v, err)
		}
	}
	m, err := r.Model(t.Context(), "litter")
	must(t, err)
	stage, _ := m.StageOf(2)
	was, _ := before.StageOf(2)
	if stage != was || len(m.Aliases) != 0 {
		t.Errorf("restored in stage %s, with aliases %v", stage, m.Aliases)
	}
	if deleted, err := r.Deleted(t.Context()); err != nil || len(deleted) != 0 {
		t.Errorf("still deleted: %v, %v", deleted, err)
	}
	if diff := cmp.Diff(map[int]string{1: "a", 2: "b", 3: "c"}, ids(t, r, "litter")); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
	if _, err := r.RestoreVersion(t.Context(), "litter", 9); !errors.Is(err, errs.NotFound) {
		t.Errorf("a version that never was: %v", err)
	}
}

func TestRestoreModel(t *testing.T) {
	r := registry.New(blobmem.New("models"), fixed)
	_, err := r.CreateModel(t.Context(), "litter", "finds litter", map[string]string{"team": "sea"})
	must(t, err)
	add(t, r, "litter", "a")
	add(t, r, "litter", "b")
	add(t, r, "litter", "c")
	must(t, r.DeleteVersion(t.Context(), "litter", 3, "kim"))
	must(t, r.SetAlias(t.Context(), "litter", "staging", 2, "test", "newest"))
	before, err := r.Model(t.Context(), "litter")
	must(t, err)
	must(t, r.DeleteModel(t.Context(), "litter", "kim"))
	if _, err := r.Model(t.Context(), "litter"); !errors.Is(err, errs.NotFound) {
		t.Errorf("a deleted model: %v", err)
	}
	if found, _, err := r.SearchModels(t.Context(), "", nil, tracking.Page{Max: 10}); err != nil || len(found) != 0 {
		t.Errorf("found %v, %v", found, err)
	}
	if _, err := r.RestoreModel(t.Context(), "other", "kim"); !errors.Is(err, errs.NotFound) {
		t.Errorf("a model that never was: %v", err)
	}
	var after registry.Model
	for range 2 { // again changes nothing
		after, err = r.RestoreModel(t.Context(), "litter", "lee")
		must(t, err)
	}
	before.Moves, after.Moves = nil, nil
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the model (-before +restored):\n%s", diff)
	}
	if diff := cmp.Diff(map[int]string{1: "a", 2: "b"}, ids(t, r, "litter")); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
	moves, err := r.History(t.Context(), "litter")
	must(t, err)
	if n := len(moves); n != 3 || moves[2].Who != "lee" || moves[2].To != 2 || moves[2].Sequence != 3 {
		t.Errorf("moves %+v", moves)
	}
	if v, err := r.RestoreVersion(t.Context(), "litter", 3); err != nil || v.Tags["id"] != "c" {
		t.Errorf("a version that was deleted before its model: %+v, %v", v, err)
	}
}

// Models of one name that were deleted one after the other come back apart, the
// newest first, each with its own versions.
func TestRestoreModel_afterItsNameWasUsedAgain(t *testing.T) {
	r := registry.New(blobmem.New("models"), fixed)
	register := func(model string, id string) {
		t.Helper()
		_, err := r.CreateModel(t.Context(), model, "", nil)
		must(t, err)
		add(t, r, model, id)
	}
	register("litter", "first")
	must(t, r.DeleteModel(t.Context(), "litter", "kim"))
	register("litter", "second")
	if diff := cmp.Diff(map[int]string{2: "second"}, ids(t, r, "litter")); diff != "" {
		t.Errorf("registered anew (-want +got):\n%s", diff)
	}
	_, err := r.RestoreModel(t.Context(), "litter", "kim")
	if code, _ := errs.Reason(err); code != fault.CodeExists {
		t.Errorf("restored over another: %v", err)
	}
	// Another model takes the name, and is deleted too.
	must(t, r.DeleteModel(t.Context(), "litter", "kim"))
	register("bottles", "bottle")
	_, _, err = r.RenameModel(t.Context(), "bottles", "litter")
	must(t, err)
	must(t, r.SetAlias(t.Context(), "litter", "staging", 1, "kim", "first"))
	must(t, r.DeleteModel(t.Context(), "litter", "kim"))
	for _, want := range []map[int]string{{1: "bottle"}, {2: "second"}} {
		_, err := r.RestoreModel(t.Context(), "litter", "kim")
		must(t, err)
		if diff := cmp.Diff(want, ids(t, r, "litter")); diff != "" {
			t.Errorf("restored (-want +got):\n%s", diff)
		}
		// Out of the way, but not by deleting it.
		_, _, err = r.RenameModel(t.Context(), "litter", "elsewhere")
		must(t, err)
		must(t, r.DeleteModel(t.Context(), "elsewhere", "kim"))
	}
	// The folder went with the second, and what the first had in it.
	if _, err := r.RestoreModel(t.Context(), "litter", "kim"); !errors.Is(err, errs.NotFound) {
		t.Errorf("restored a model whose folder another name has: %v", err)
	}
}

// dying is a bucket as a process sees it that dies at its nth write, before it or
// after.
type dying struct {
	blob.Bucket
	writes atomic.Int64 // left before it dies
	after  bool
}

func (d *dying) Write(ctx context.Context, name string, r io.Reader, o blob.WriteOptions) (blob.Attrs, error) {
	left := d.writes.Add(-1)
	if left > 0 {
		return d.Bucket.Write(ctx, name, r, o)
	}
	if left == 0 && d.after {
		if _, err := d.Bucket.Write(ctx, name, r, o); err != nil {
			return blob.Attrs{}, err
		}
	}
	return blob.Attrs{}, errDead
}

// What was deleted long enough ago goes for good, whenever a process dies at it;
// what was deleted later stays, and no number is given again.
func TestPurge(t *testing.T) {
	for writes := 1; writes < 9; writes++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("dies at write %d, after it %v", writes, after), func(t *testing.T) {
				t.Parallel()
				b := blobmem.New("models")
				now := noon
				r := registry.New(b, func() time.Time { return now })
				for _, model := range []string{"gone", "litter"} {
					_, err := r.CreateModel(t.Context(), model, "words", nil)
					must(t, err)
					for _, id := range []string{"a", "b", "c"} {
						add(t, r, model, model+id)
					}
				}
				must(t, r.DeleteModel(t.Context(), "gone", "kim"))
				must(t, r.DeleteVersion(t.Context(), "litter", 1, "kim"))
				now = now.Add(48 * time.Hour)
				must(t, r.DeleteVersion(t.Context(), "litter", 3, "kim"))

				old := noon.Add(24 * time.Hour)
				process := &dying{Bucket: b, after: after}
				process.writes.Store(int64(writes))
				mortal := registry.New(process, func() time.Time { return now })
				if _, err := mortal.Purge(t.Context(), old); err != nil && !errors.Is(err, errDead) {
					t.Fatal(err)
				}
				_, err := r.Purge(t.Context(), old)
				must(t, err)
				if n, err := r.Purge(t.Context(), old); err != nil || n != 0 {
					t.Errorf("%d are left, %v", n, err)
				}
				if _, err := r.RestoreModel(t.Context(), "gone", "kim"); !errors.Is(err, errs.NotFound) {
					t.Errorf("a model that is gone: %v", err)
				}
				if _, err := r.RestoreVersion(t.Context(), "litter", 1); !errors.Is(err, errs.NotFound) {
					t.Errorf("a version that is gone: %v", err)
				}
				for name, want := range map[string]bool{
					"registry/gone/versions/00000002.json": false, "registry/litter/versions/00000001.json": false,
					"registry/litter/versions/00000002.json": true, "registry/litter/versions/00000003.json": true,
				} {
					var v registry.Version
					_, err := blob.ReadJSON(t.Context(), b, name, &v)
					must(t, err)
					if kept := v.Source != "" && v.Description != "" && v.Tags != nil; kept != want {
						t.Errorf("%s is %+v", name, v)
					}
				}
				_, err = r.RestoreVersion(t.Context(), "litter", 3)
				must(t, err)
				if diff := cmp.Diff(map[int]string{2: "litterb", 3: "litterc"}, ids(t, r, "litter")); diff != "" {
					t.Errorf("versions (-want +got):\n%s", diff)
				}
				_, err = r.CreateModel(t.Context(), "gone", "", nil)
				must(t, err)
				if v := add(t, r, "gone", "new"); v.Version != 4 {
					t.Errorf("number %d is given again", v.Version)
				}
			})
		}
	}
}

// A version that was deleted, then renamed with its model and restored, is not
// taken away on account of what the old name's document said.
func TestPurge_afterARename(t *testing.T) {
	b := blobmem.New("models")
	r := registry.New(b, fixed)
	_, err := r.CreateModel(t.Context(), "litter", "", nil)
	must(t, err)
	add(t, r, "litter", "a")
	must(t, r.DeleteVersion(t.Context(), "litter", 1, "kim"))
	_, _, err = r.RenameModel(t.Context(), "litter", "rubbish")
	must(t, err)
	deleted, err := r.Deleted(t.Context())
	must(t, err)
	if len(deleted) != 1 || deleted[0].Model != "rubbish" {
		t.Errorf("deleted %+v", deleted)
	}
	_, err = r.RestoreVersion(t.Context(), "rubbish", 1)
	must(t, err)
	for range 2 {
		_, err = r.Purge(t.Context(), noon.Add(time.Hour))
		must(t, err)
	}
	if diff := cmp.Diff(map[int]string{1: "a"}, ids(t, r, "rubbish")); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
}

func TestPolicy_validate(t *testing.T) {
	for days, ok := range map[int]bool{-1: false, 0: true, 30: true, 3650: true, 3651: false} {
		if err := (registry.Policy{KeepDeletedDays: days}).Validate(); (err == nil) != ok {
			t.Errorf("%d days: %v", days, err)
		}
	}
}
