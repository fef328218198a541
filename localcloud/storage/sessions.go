package storage

import (
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/litterloop/litterloop/localcloud/storage/internal/store"
)

// sessionLife is how long an upload session lives, as on Cloud Storage.
const sessionLife = 7 * 24 * time.Hour

// session is a resumable upload. What the server confirmed of it (308 and Range)
// lies in a file and survives a restart.
type session struct {
	Bucket     string          `json:"bucket"`
	Query      string          `json:"query"` // of the request that began it
	Attributes json.RawMessage `json:"attributes"`

	mu sync.Mutex // one request at a time
	id string
	// sums cover the first summed bytes; after a restart they begin anew.
	sums   store.Sums
	summed int64
}

// sessions keeps the upload sessions under way, in dir/ID.json and dir/ID.data.
type sessions struct {
	dir string
	now func() time.Time
	mu  sync.Mutex
	all map[string]*session
	// swept is when sessions past their life were last removed.
	swept time.Time
}

// sessionID is the form of the ids that rand.Text makes. Nothing else is ever
// looked up, so an id cannot name a file elsewhere.
var sessionID = regexp.MustCompile(`^[A-Z2-7]{26}$`)

func openSessions(dir string, now func() time.Time) (*sessions, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	ss := &sessions{dir: dir, now: now, all: map[string]*session{}}
	ss.sweep()
	return ss, nil
}

// sweep removes the sessions that nobody went on with for sessionLife.
func (ss *sessions) sweep() {
	ss.swept = ss.now()
	files, _ := os.ReadDir(ss.dir)
	for _, f := range files {
		info, err := f.Info()
		if err != nil || filepath.Ext(f.Name()) != ".data" || ss.now().Sub(info.ModTime()) < sessionLife {
			continue
		}
		ss.forget(strings.TrimSuffix(f.Name(), ".data"))
	}
}

func (ss *sessions) data(id string) string { return filepath.Join(ss.dir, id+".data") }
func (ss *sessions) doc(id string) string  { return filepath.Join(ss.dir, id+".json") }

func (ss *sessions) create(s *session) error {
	s.id, s.sums = rand.Text(), store.NewSums()
	p, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(ss.data(s.id), nil, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(ss.doc(s.id), p, 0o600); err != nil {
		return err
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.all[s.id] = s
	if ss.now().Sub(ss.swept) > time.Hour {
		ss.sweep()
	}
	return nil
}

func (ss *sessions) get(id string) (*session, error) {
	if !sessionID.MatchString(id) {
		return nil, errNoSession
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if s := ss.all[id]; s != nil {
		return s, nil
	}
	p, err := os.ReadFile(ss.doc(id))
	if err != nil {
		return nil, errNoSession
	}
	s := &session{id: id, sums: store.NewSums()}
	if err := json.Unmarshal(p, s); err != nil {
		return nil, errNoSession
	}
	ss.all[id] = s
	return s, nil
}

func (ss *sessions) remove(id string) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.forget(id)
}

// forget is remove for a caller that holds mu.
func (ss *sessions) forget(id string) {
	delete(ss.all, id)
	os.Remove(ss.doc(id))
	os.Remove(ss.data(id))
}
