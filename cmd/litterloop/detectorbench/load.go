package detectorbench

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// sample is what one or several rounds against a server took.
type sample struct {
	Latency []time.Duration // of each request
	Wall    time.Duration   // of the rounds
	CPU     time.Duration   // of the server
}

func (s *sample) add(o sample) {
	s.Latency = append(s.Latency, o.Latency...)
	s.Wall += o.Wall
	s.CPU += o.CPU
}

// percentile of the latencies by the nearest rank.
func (s *sample) percentile(p float64) time.Duration {
	if len(s.Latency) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s.Latency))
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}

// perSecond is the throughput.
func (s *sample) perSecond() float64 { return float64(len(s.Latency)) / s.Wall.Seconds() }

// perRequest is the server's processor time of a request.
func (s *sample) perRequest() time.Duration {
	return s.CPU / time.Duration(max(len(s.Latency), 1))
}

// round asks a server n times, from several callers at once, each waiting for
// its answer.
func round(ctx context.Context, s *server, client *http.Client, photo []byte, callers, n int) (sample, error) {
	before, err := measure(s.cmd.Process.Pid)
	if err != nil {
		return sample{}, err
	}
	var (
		out   sample
		mu    sync.Mutex
		fault error
		wg    sync.WaitGroup
		turns = make(chan struct{}, n)
	)
	for range n {
		turns <- struct{}{}
	}
	close(turns)
	began := time.Now()
	for range callers {
		wg.Go(func() {
			for range turns {
				sent := time.Now()
				err := ask(ctx, client, s.url, photo)
				took := time.Since(sent)
				mu.Lock()
				if err != nil {
					fault = err
				}
				out.Latency = append(out.Latency, took)
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	out.Wall = time.Since(began)
	after, err := measure(s.cmd.Process.Pid)
	if fault != nil {
		err = fault
	}
	out.CPU = after.CPU - before.CPU
	return out, err
}
