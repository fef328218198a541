package service

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// lineReader reads a body by lines, and skips empty ones.
type lineReader struct {
	from   *bufio.Reader
	limit  int64 // bytes of a line; longer ones are bufio.ErrTooLong
	buffer []byte
}

// keptLine is how large a line may be for its memory to wait for the next.
const keptLine = 1 << 20

// wait returns once a line has begun; io.EOF when none will. It takes no memory.
func (l *lineReader) wait() error {
	for {
		b, err := l.from.Peek(1)
		if err != nil {
			return err
		}
		if b[0] != '\n' && b[0] != '\r' {
			return nil
		}
		if _, err := l.from.Discard(1); err != nil {
			return err
		}
	}
}

// next returns the line that has begun, which is good until the line after it. It
// asks grow before it takes memory.
func (l *lineReader) next(grow grow) ([]byte, error) {
	line := l.buffer[:0]
	if cap(line) > keptLine {
		line = nil
	}
	l.buffer = nil
	if err := grow(int64(cap(line))); err != nil {
		return nil, err
	}
	for {
		part, err := l.from.ReadSlice('\n')
		need := len(line) + len(part)
		if int64(need) > l.limit {
			return nil, bufio.ErrTooLong
		}
		if need > cap(line) {
			larger := min(max(2*cap(line), need), int(l.limit))
			if err := grow(int64(larger - cap(line))); err != nil {
				return nil, err
			}
			line = append(make([]byte, 0, larger), line...)
		}
		line = append(line, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF), err == nil:
			l.buffer = line
			return bytes.TrimRight(line, "\r\n"), nil
		default:
			return nil, err
		}
	}
}
