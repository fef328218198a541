package run

import (
	"math"
	"sync"
	"time"
)

// RevisionStats are the requests that a revision answered on its service's own
// URL (not on tag URLs) since this Server started.
type RevisionStats struct {
	Revision string        `json:"revision"`
	Percent  int           `json:"percent"` // its present share of traffic
	Requests int64         `json:"requests"`
	Errors   int64         `json:"errors"` // status 500 and above
	P50      time.Duration `json:"p50"`    // of latency, within 2.5 %
	P99      time.Duration `json:"p99"`
}

// meter counts one revision's requests. Latencies fall into buckets 5 % wide,
// from 1 µs to about 20 min.
type meter struct {
	mu       sync.Mutex
	requests int64
	errors   int64
	buckets  [430]int64
}

const bucketGrowth = 1.05

func (m *meter) observe(d time.Duration, code int) {
	i := int(math.Log(max(1, float64(d)/float64(time.Microsecond))) / math.Log(bucketGrowth))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests++
	if code >= 500 {
		m.errors++
	}
	m.buckets[min(i, len(m.buckets)-1)]++
}

// quantile needs m.mu.
func (m *meter) quantile(q float64) time.Duration {
	rank := int64(math.Ceil(q * float64(m.requests)))
	var seen int64
	for i, n := range m.buckets {
		if seen += n; n > 0 && seen >= rank {
			return time.Duration(math.Pow(bucketGrowth, float64(i)+0.5) * float64(time.Microsecond))
		}
	}
	return 0
}

func (m *meter) stats(revision string, percent int) RevisionStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return RevisionStats{
		Revision: revision, Percent: percent, Requests: m.requests, Errors: m.errors,
		P50: m.quantile(0.50), P99: m.quantile(0.99),
	}
}
