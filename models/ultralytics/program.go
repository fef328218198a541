// Package ultralytics holds the Python program that trains with Ultralytics. It
// runs in a process of its own: Ultralytics is AGPL-3.0, and none of it is
// linked into the Go programs.
package ultralytics

import _ "embed"

// Program is the Python source; its first lines tell how to speak to it.
//
//go:embed train.py
var Program []byte

// Requirements are the pinned packages that Program needs, as pip reads them.
//
//go:embed requirements.txt
var Requirements []byte
