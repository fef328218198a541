package intake

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/dataset"
)

// opened notes the objects that are opened.
type opened struct {
	blob.Bucket
	mu    *sync.Mutex
	names *[]string
}

func (o opened) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, blob.Attrs, error) {
	o.mu.Lock()
	*o.names = append(*o.names, name)
	o.mu.Unlock()
	return o.Bucket.Open(ctx, name, offset, length)
}

// large are those opened that grow with a version.
func (o opened) large() (names []string) {
	for _, n := range *o.names {
		if strings.HasSuffix(n, ".jsonl") || strings.Contains(n, "/labels/") || strings.Contains(n, "/records/") {
			names = append(names, n)
		}
	}
	return names
}

// A changed photo makes the version that a process without memory would make,
// and a process reads each large document once at most, and none that it wrote.
func TestTake_changedPhotoReadsDocumentsOnce(t *testing.T) {
	remembering, forgetful := newWorld(t), newWorld(t)
	o := opened{remembering.datasets, &sync.Mutex{}, new([]string)}
	names, content := batch(10, 0)
	for _, w := range []*world{remembering, forgetful} {
		for _, n := range names {
			w.drop("b/"+n, content[n])
		}
	}
	remembering.in = remembering.intake(remembering.incoming, o)
	for change, reads := range []int{4, 0, 0} {
		*o.names = nil
		a := remembering.drop("b/"+names[change], photo(900+change))
		forgetful.in = forgetful.intake(forgetful.incoming, forgetful.datasets)
		b := forgetful.drop("b/"+names[change], photo(900+change))
		if a.State != dataset.Converted || a.Version != b.Version {
			t.Fatalf("change %d: %+v, without memory %+v", change, a, b)
		}
		if got := o.large(); len(got) != reads {
			t.Errorf("change %d read %q, want %d documents", change, got, reads)
		}
		v, err := dataset.Load(t.Context(), remembering.datasets, a.Version)
		if err != nil {
			t.Fatal(err)
		}
		remembering.checkWhole(v)
	}
}
