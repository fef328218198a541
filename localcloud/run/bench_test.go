package run_test

import (
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/run/apiv2/runpb"
)

// BenchmarkRequest compares a request through the service's URL with one
// straight to the revision's process: the difference is the proxy.
func BenchmarkRequest(b *testing.B) {
	c, _ := open(b, options(b.TempDir()))
	s := must(c.create(b, "litter", template("litter-v1", "server")))(b)
	port, _, _ := get(b, s.Uri+"/port")
	for name, url := range map[string]string{"service": s.Uri, "process": "http://127.0.0.1:" + port} {
		b.Run(name, func(b *testing.B) {
			before := cpu(b)
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					resp, err := client.Get(url + "/pid")
					if err != nil {
						b.Error(err)
						return
					}
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			})
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

// cpu is the processor time of this process, which is client and proxy but not
// the revision.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSetTraffic is a change of shares between two running revisions, from
// the call until it is in effect.
func BenchmarkSetTraffic(b *testing.B) {
	c, _ := open(b, options(b.TempDir()))
	must(c.create(b, "litter", template("litter-v1", "server")))(b)
	s := must(c.update(b, "litter", func(s *runpb.Service) {
		s.Template = template("litter-v2", "server")
		s.Traffic = []*runpb.TrafficTarget{to("litter-v1", 50), to("litter-v2", 50)}
	}))(b)
	for i := range b.N {
		n := int32(10 + i%80)
		s.Etag, s.Traffic = "", []*runpb.TrafficTarget{to("litter-v1", n), to("litter-v2", 100-n)}
		op, err := c.services.UpdateService(b.Context(), &runpb.UpdateServiceRequest{Service: s})
		if err == nil {
			_, err = c.services.LROClient.WaitOperation(b.Context(), &longrunningpb.WaitOperationRequest{Name: op.Name()})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkNewRevision is the way of a new revision from the call until it
// serves: start of a process, startup probe, switch, and the end of the old one.
func BenchmarkNewRevision(b *testing.B) {
	c, _ := open(b, options(b.TempDir()))
	must(c.create(b, "litter", template("", "server")))(b)
	for i := range b.N {
		must(c.update(b, "litter", func(s *runpb.Service) {
			s.Template.Labels = map[string]string{"n": string(rune('a'+i%26)) + s.Etag[1:4]}
		}))(b)
	}
}
