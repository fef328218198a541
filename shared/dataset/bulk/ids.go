package bulk

// ids maps image ids to photos: an open hash table of 12 bytes an entry, where
// Go's map of a million would take several times that.
type ids struct {
	keys   []int64
	photos []int32 // -1: free
	shift  int
}

func newIDs(n int) ids {
	bits := 4
	for 1<<bits < 2*n {
		bits++
	}
	t := ids{keys: make([]int64, 1<<bits), photos: make([]int32, 1<<bits), shift: 64 - bits}
	for i := range t.photos {
		t.photos[i] = -1
	}
	return t
}

// slot is where an id is, or belongs.
func (t *ids) slot(id int64) int {
	i := int(uint64(id) * 0x9e3779b97f4a7c15 >> t.shift)
	for t.photos[i] >= 0 && t.keys[i] != id {
		i = (i + 1) & (len(t.keys) - 1)
	}
	return i
}

// put adds an id; false when it is there already, which then stays.
func (t *ids) put(id int64, photo int32) bool {
	i := t.slot(id)
	if t.photos[i] >= 0 {
		return false
	}
	t.keys[i], t.photos[i] = id, photo
	return true
}

// get returns an id's photo, -1 for none.
func (t *ids) get(id int64) int32 { return t.photos[t.slot(id)] }
