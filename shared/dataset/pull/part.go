package pull

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
)

// part is a file that is being written.
type part struct {
	*os.File
	root *os.Root
	name string
}

func newPart(root *os.Root) (*part, error) {
	name := filepath.Join(partDir, rand.Text())
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	return &part{f, root, name}, nil
}

// place closes the part and gives it its name, in place of what has that now.
func (p *part) place(root *os.Root, name string) error {
	if err := p.Close(); err != nil {
		return err
	}
	name = filepath.FromSlash(name)
	if err := root.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}
	return root.Rename(p.name, name)
}

// discard removes the part unless it was placed.
func (p *part) discard() {
	if err := p.Close(); errors.Is(err, os.ErrClosed) {
		return // placed, or left for the next pull to remove
	}
	_ = p.root.Remove(p.name) // as above
}
