package store

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// A journal is a sequence of frames: the length of the record (JSON) and of the
// content behind it, a CRC-32C over all that follows the checksum, then both.
// An object's small content travels in its record's frame, so that one append
// makes a small object whole: bytes, attributes and the events to publish.
const frameHeader = 12

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errTorn is a frame that the journal's end cut off: an append that a crash
// interrupted, so nobody was told that it succeeded.
var errTorn = errors.New("the last record is incomplete")

// appendFrame adds a frame to buf and returns where, counted from buf's start,
// the content begins.
func appendFrame(buf []byte, r *record, content []byte) (_ []byte, contentAt int, err error) {
	p, err := json.Marshal(r)
	if err != nil {
		return buf, 0, fmt.Errorf("encode a journal record: %w", err)
	}
	start := len(buf)
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(p)))
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(content)))
	buf = append(buf, 0, 0, 0, 0)
	buf = append(buf, p...)
	contentAt = len(buf)
	buf = append(buf, content...)
	binary.LittleEndian.PutUint32(buf[start+8:], frameSum(buf[start:start+8], buf[start+frameHeader:]))
	return buf, contentAt, nil
}

func frameSum(lengths, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(lengths, castagnoli), castagnoli, body)
}

// replay feeds the journal's records to apply, with the file offset of each
// one's content, and returns the length of the whole frames. A torn end is
// errTorn; damage anywhere else is an error that names the offset.
func replay(f *os.File, apply func(r *record, contentAt int64)) (whole int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	br := bufio.NewReaderSize(f, 1<<20)
	var head [frameHeader]byte
	var body []byte
	for {
		if _, err := io.ReadFull(br, head[:]); err == io.EOF {
			return whole, nil
		} else if err == io.ErrUnexpectedEOF {
			return whole, errTorn
		} else if err != nil {
			return whole, err
		}
		recordLen := int64(binary.LittleEndian.Uint32(head[0:]))
		n := recordLen + int64(binary.LittleEndian.Uint32(head[4:]))
		end := whole + frameHeader + n
		if end > info.Size() {
			return whole, errTorn
		}
		if int64(cap(body)) < n {
			body = make([]byte, n)
		}
		body = body[:n]
		if _, err := io.ReadFull(br, body); err != nil {
			return whole, err
		}
		if frameSum(head[:8], body) != binary.LittleEndian.Uint32(head[8:]) || recordLen == 0 {
			if end == info.Size() || zeroes(head[:]) && zeroes(body) && restZero(br) {
				return whole, errTorn
			}
			return whole, fmt.Errorf("%s is damaged at byte %d of %d: restore it, or truncate it there and lose what follows", f.Name(), whole, info.Size())
		}
		var r record
		if err := json.Unmarshal(body[:recordLen], &r); err != nil {
			return whole, fmt.Errorf("%s at byte %d: %w", f.Name(), whole, err)
		}
		apply(&r, whole+frameHeader+recordLen)
		whole = end
	}
}

// A file that grew before a power cut but whose pages never reached the disk
// ends in zeros: as torn as a short one.
func restZero(r io.Reader) bool {
	var p [4096]byte
	for {
		n, err := r.Read(p[:])
		if !zeroes(p[:n]) {
			return false
		}
		if err != nil {
			return err == io.EOF
		}
	}
}

func zeroes(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}
