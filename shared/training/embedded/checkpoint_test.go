package embedded

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/litterloop/litterloop/shared/errs"
)

func sampleCheckpoint(moments bool) *checkpoint {
	c := &checkpoint{
		checkpointHeader: checkpointHeader{Training: "t", Step: 7, Classes: []string{"can", "bottle's cap"}, Width: 4, Moments: moments,
			Layers: []checkpointLayer{{"a.weight", []int{2, 1}}, {"b.bias", []int{1}}}},
		Average: []float32{0.5, 0, float32(math.Inf(1))},
	}
	if moments {
		c.Params = []float32{1, -2, 3}
		c.Moment1, c.Moment2 = []float32{1, 2, 3}, []float32{4, 5, 6}
	}
	return c
}

func TestCheckpoint_roundTrip(t *testing.T) {
	for name, moments := range map[string]bool{"of a training": true, "of a model": false} {
		t.Run(name, func(t *testing.T) {
			want := sampleCheckpoint(moments)
			data, err := want.marshal()
			if err != nil {
				t.Fatal(err)
			}
			got, err := parseCheckpoint(data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(checkpoint{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseCheckpoint_damaged(t *testing.T) {
	good, err := sampleCheckpoint(true).marshal()
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 0x10
		if _, err := parseCheckpoint(bad); err == nil {
			t.Errorf("a bit turned in byte %d goes unnoticed", i)
		}
		_, err := parseCheckpoint(good[:i])
		if code, _ := errs.Reason(err); code != InvalidCheckpoint {
			t.Errorf("cut after %d bytes: error %v, want one of code %s", i, err, InvalidCheckpoint)
		}
	}
}

// Past the checksum, which an attacker could make, nothing may crash or
// allocate more than the bytes at hand warrant.
func FuzzParseCheckpoint(f *testing.F) {
	for _, moments := range []bool{true, false} {
		data, err := sampleCheckpoint(moments).marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[len(checkpointMagic)+4 : len(data)-32])
	}
	f.Add([]byte(`{"layers":[{"shape":[-1]},{"shape":[4611686018427387904,4]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		data := append([]byte(checkpointMagic), binary.LittleEndian.AppendUint32(nil, uint32(len(body)))...)
		for _, cut := range []int{len(body), len(body) / 2} {
			d := append([]byte(nil), data...)
			binary.LittleEndian.PutUint32(d[len(checkpointMagic):], uint32(cut))
			d = append(d, body...)
			if c, err := parseCheckpoint(signed(d)); err == nil && len(c.Average) > len(d) {
				t.Errorf("%d parameters out of %d bytes", len(c.Params), len(d))
			}
		}
	})
}

func signed(body []byte) []byte {
	sum := sha256.Sum256(body)
	return append(body, sum[:]...)
}
