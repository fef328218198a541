// Package progress shows stages of work as they happen: a line and a bar each
// on a terminal, a line when each ends elsewhere.
package progress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// Board is where stages are shown. Methods are safe for concurrent use.
type Board struct {
	out  io.Writer
	bars *mpb.Progress // nil when out is no terminal
	now  func() time.Time

	mu    sync.Mutex
	spent []Spent
}

// Spent is the time one stage took.
type Spent struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}

// New returns a board on out; bars are drawn when out is a terminal.
func New(out *os.File) *Board {
	b := &Board{out: out, now: time.Now}
	if info, err := out.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		b.bars = mpb.New(mpb.WithOutput(out), mpb.WithWidth(28), mpb.WithAutoRefresh())
	}
	return b
}

// Stage is one line of the board.
type Stage struct {
	board *Board
	name  string
	start time.Time
	bar   *mpb.Bar

	mu   sync.Mutex
	note string
	done bool
}

const nameWidth = 26

// Stage starts a line.
func (b *Board) Stage(name string) *Stage {
	s := &Stage{board: b, name: name, start: b.now()}
	if b.bars != nil {
		note := decor.Any(func(decor.Statistics) string {
			s.mu.Lock()
			defer s.mu.Unlock()
			return " " + s.note
		})
		s.bar = b.bars.New(1, mpb.BarStyle().Lbound("").Filler("━").Tip("━").Padding("╌").Rbound(""),
			mpb.PrependDecorators(decor.Name(pad(name))),
			mpb.AppendDecorators(decor.Elapsed(decor.ET_STYLE_GO, decor.WC{W: 5}), note))
	}
	return s
}

func pad(name string) string {
	return name + strings.Repeat(" ", max(1, nameWidth-len([]rune(name))))
}

// Set shows how far the stage is, and a few words.
func (s *Stage) Set(done, total int, format string, args ...any) {
	s.mu.Lock()
	s.note = fmt.Sprintf(format, args...)
	s.mu.Unlock()
	if s.bar != nil && total > 0 {
		s.bar.SetTotal(int64(total)+1, false) // the last unit is Done's
		s.bar.SetCurrent(int64(min(done, total)))
	}
}

// Done ends the stage with a closing word.
func (s *Stage) Done(format string, args ...any) { s.end("done", fmt.Sprintf(format, args...)) }

// Fail ends the stage as failed, or as stopped when a person ended it. Failing
// an ended stage does nothing.
func (s *Stage) Fail(err error) {
	if errors.Is(err, context.Canceled) {
		s.end("stopped", "")
		return
	}
	s.end("FAILED", err.Error())
}

func (s *Stage) end(word, note string) {
	s.mu.Lock()
	if s.done {
		s.mu.Unlock()
		return
	}
	s.done, s.note = true, note
	s.mu.Unlock()
	took := s.board.now().Sub(s.start)
	s.board.mu.Lock()
	s.board.spent = append(s.board.spent, Spent{s.name, float64(took.Milliseconds()) / 1000})
	s.board.mu.Unlock()
	if s.bar == nil {
		fmt.Fprintf(s.board.out, "%s%-7s %6.1fs  %s\n", pad(s.name), word, took.Seconds(), note)
		return
	}
	if word == "done" {
		s.bar.SetTotal(-1, true)
	} else {
		s.bar.Abort(false)
	}
}

// Spent returns the ended stages, in the order they ended.
func (b *Board) Spent() []Spent {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Spent(nil), b.spent...)
}

// Close ends what is still drawn; the board cannot be used after.
func (b *Board) Close() {
	if b.bars != nil {
		b.bars.Shutdown()
	}
}
