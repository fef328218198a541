package predictionlog

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"
)

// Policy is what people may tune of the log.
type Policy struct {
	FlushRows    int           `yaml:"flush_rows" json:"flush_rows"`       // write a file when so many photos wait
	FlushAge     time.Duration `yaml:"flush_age" json:"flush_age"`         // or when the oldest waits so long
	WaitingRows  int           `yaml:"waiting_rows" json:"waiting_rows"`   // photos held in memory; more are dropped and counted
	WaitingBytes int64         `yaml:"waiting_bytes" json:"waiting_bytes"` // files kept while the bucket is away; more are dropped and counted
	Photos       Sampling      `yaml:"photos" json:"photos"`
}

// Sampling says which photos are stored beside their rows, for people to label.
type Sampling struct {
	Share         float64  `yaml:"share" json:"share"`                         // of all photos, chosen evenly
	LowConfidence float64  `yaml:"low_confidence" json:"low_confidence"`       // and those whose best box is below it, or that have none
	Classes       []string `yaml:"classes,omitempty" json:"classes,omitempty"` // and those on which one of these was found
	PerHour       int      `yaml:"per_hour" json:"per_hour"`                   // but never more an hour and instance
}

// DefaultPolicy writes a file a minute and keeps one photo in a hundred.
func DefaultPolicy() Policy {
	return Policy{
		FlushRows: 5000, FlushAge: time.Minute, WaitingRows: 50_000, WaitingBytes: 256 << 20,
		Photos: Sampling{Share: 0.01, LowConfidence: 0.3, PerHour: 100},
	}
}

// Validate reports every fault.
func (p Policy) Validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(p.FlushRows < 1, "flush_rows is %d: write at least 1 row", p.FlushRows)
	fault(p.FlushAge < 10*time.Millisecond, "flush_age is %v: at least 10ms, or every photo becomes a file", p.FlushAge)
	fault(p.WaitingRows < p.FlushRows, "waiting_rows is %d, below flush_rows %d: rows would be dropped before they are written", p.WaitingRows, p.FlushRows)
	fault(p.WaitingBytes < 0, "waiting_bytes is %d, below 0", p.WaitingBytes)
	fault(!(p.Photos.Share >= 0 && p.Photos.Share <= 1), "photos.share is %v, not from 0 to 1", p.Photos.Share)
	fault(!(p.Photos.LowConfidence >= 0 && p.Photos.LowConfidence <= 1), "photos.low_confidence is %v, not from 0 to 1", p.Photos.LowConfidence)
	fault(p.Photos.PerHour < 0, "photos.per_hour is %d, below 0", p.Photos.PerHour)
	return errors.Join(faults...)
}

// wants decides on a photo without chance: the same id is always decided alike.
func (s Sampling) wants(r Row) bool {
	h := fnv.New64a()
	h.Write([]byte(r.ID))
	if float64(mix(h.Sum64()))/(1<<64) < s.Share {
		return true
	}
	var best float32
	for _, b := range r.Boxes {
		if slices.Contains(s.Classes, b.Class) {
			return true
		}
		best = max(best, b.Confidence)
	}
	return float64(best) < s.LowConfidence
}

// mix spreads a hash over all bits (the finaliser of MurmurHash3): FNV's upper
// bits barely change with the last characters of an id.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
