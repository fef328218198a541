package taco

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"strings"
)

// part is what was received of a photo so far, in a file below stateDir. Beside
// it stands which state of the photo it is of, by the server's own word; without
// that, and where the server has none, nothing is gone on with.
type part struct {
	root       *os.Root
	file, from string // names below the root
	have       int64
	validator  string // ETag or date, for If-Range; "": start anew
}

func openPart(root *os.Root, p photo) (*part, error) {
	sum := sha256.Sum256([]byte(p.name + "\n" + p.url))
	file := stateDir + "/" + hex.EncodeToString(sum[:16])
	t := &part{root: root, file: file, from: file + ".from"}
	info, err := root.Stat(t.file)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return nil, err
	}
	validator, err := root.ReadFile(t.from)
	if err != nil || len(validator) == 0 {
		return t, notThere(err)
	}
	t.have, t.validator = info.Size(), string(validator)
	return t, nil
}

// restart forgets what is there and notes which state of the photo is to come.
// Killed between any two of its steps it leaves a part that starts anew.
func (t *part) restart(validator string) error {
	if err := t.discard(); err != nil {
		return err
	}
	if validator == "" {
		return nil
	}
	t.validator = validator
	return t.root.WriteFile(t.from, []byte(validator), 0o666)
}

func (t *part) discard() error {
	t.have, t.validator = 0, ""
	return errors.Join(notThere(t.root.Remove(t.from)), notThere(t.root.Remove(t.file)))
}

// finish gives the photo its name.
func (t *part) finish(name string) error {
	if err := t.root.Rename(t.file, name); err != nil {
		return err
	}
	return notThere(t.root.Remove(t.from))
}

// validatorOf is what tells a server's photo from a later state of it: a strong
// ETag, or else the date of its last change.
func validatorOf(h http.Header) string {
	if tag := h.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return tag
	}
	return h.Get("Last-Modified")
}
