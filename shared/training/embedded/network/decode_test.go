package network_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/litterloop/litterloop/shared/training/embedded/network"
)

func TestSuppress(t *testing.T) {
	box := func(class int, score, x float32) network.Detection {
		return network.Detection{Class: class, Score: score, X1: x, Y1: 0, X2: x + 10, Y2: 10}
	}
	for _, c := range []struct {
		name   string
		found  []network.Detection
		maxDet int
		want   []network.Detection
	}{
		{"nothing", nil, 10, nil},
		{"the better of two that overlap", []network.Detection{box(0, 0.9, 0), box(0, 0.8, 1)}, 10, []network.Detection{box(0, 0.9, 0)}},
		{"another class does not suppress", []network.Detection{box(0, 0.9, 0), box(1, 0.8, 1)}, 10, []network.Detection{box(0, 0.9, 0), box(1, 0.8, 1)}},
		{"a suppressed box suppresses nothing", []network.Detection{box(0, 0.9, 0), box(0, 0.8, 2), box(0, 0.7, 4)}, 10, []network.Detection{box(0, 0.9, 0), box(0, 0.7, 4)}},
		{"an overlap of exactly the threshold stays", []network.Detection{box(0, 0.9, 0), {Class: 0, Score: 0.5, X1: 0, Y1: 0, X2: 10, Y2: 5}}, 10, []network.Detection{box(0, 0.9, 0), {Class: 0, Score: 0.5, X1: 0, Y1: 0, X2: 10, Y2: 5}}},
		{"no more than asked for", []network.Detection{box(0, 0.9, 0), box(0, 0.8, 20), box(0, 0.7, 40)}, 2, []network.Detection{box(0, 0.9, 0), box(0, 0.8, 20)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, network.Suppress(c.found, 0.5, c.maxDet)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecode_takesTheBestClassOfAnAnchorAboveTheThreshold(t *testing.T) {
	g := network.NewGrid(32, 32)
	n := g.Len()
	raw := make([]float32, 6*n)
	for i := 4 * n; i < len(raw); i++ {
		raw[i] = -10
	}
	raw[4*n+5], raw[5*n+5] = 1, 2 // anchor 5: both classes, the second better
	raw[4*n+20] = 0               // the anchor of stride 32, exactly at the threshold
	got := g.Decode(raw, 2, 0.5, 0.7, 10)
	want := []network.Detection{{Class: 1, Score: float32(1 / (1 + math.Exp(-2))), X1: 4, Y1: 4, X2: 20, Y2: 20}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
