//go:build !unix

package store

import (
	"os"
	"path/filepath"
)

// lockDir cannot lock here; two processes on one directory are not kept apart.
func lockDir(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
}

// unlockDir closes what lockDir opened.
func unlockDir(f *os.File) { f.Close() }
