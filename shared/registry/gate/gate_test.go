package gate_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/modelpackage"
	"github.com/litterloop/litterloop/shared/registry/gate"
)

func TestDecide(t *testing.T) {
	good := gate.Golden{Photos: 8, Detections: 20, MaxPixels: 0.02, MaxScore: 1e-5}
	serving := &modelpackage.Metrics{MAP50: 0.8, MAP50_95: 0.5}
	tests := map[string]struct {
		policy    func(*gate.Policy)
		candidate modelpackage.Metrics
		serving   *modelpackage.Metrics
		golden    gate.Golden
		want      []string
	}{
		"first model":                       {candidate: modelpackage.Metrics{MAP50_95: 0.01}, golden: good},
		"as good as the serving model":      {candidate: modelpackage.Metrics{MAP50_95: 0.5}, serving: serving, golden: good},
		"better":                            {candidate: modelpackage.Metrics{MAP50_95: 0.6}, serving: serving, golden: good},
		"worse":                             {candidate: modelpackage.Metrics{MAP50_95: 0.4999}, serving: serving, golden: good, want: []string{gate.ReasonWorse}},
		"worse within the tolerance":        {policy: func(p *gate.Policy) { p.Tolerance = 0.02 }, candidate: modelpackage.Metrics{MAP50_95: 0.485}, serving: serving, golden: good},
		"worse by the other metric alone":   {candidate: modelpackage.Metrics{MAP50: 0.1, MAP50_95: 0.5}, serving: serving, golden: good},
		"worse by the policy's metric":      {policy: func(p *gate.Policy) { p.Metric = gate.MAP50 }, candidate: modelpackage.Metrics{MAP50: 0.1, MAP50_95: 0.9}, serving: serving, golden: good, want: []string{gate.ReasonWorse}},
		"under the minimum":                 {policy: func(p *gate.Policy) { p.Minimum = 0.3 }, candidate: modelpackage.Metrics{MAP50_95: 0.2}, golden: good, want: []string{gate.ReasonMinimum}},
		"boxes off by a pixel":              {candidate: modelpackage.Metrics{MAP50_95: 0.6}, golden: gate.Golden{Photos: 8, MaxPixels: 1}, want: []string{gate.ReasonGolden}},
		"scores off":                        {candidate: modelpackage.Metrics{MAP50_95: 0.6}, golden: gate.Golden{Photos: 8, MaxScore: 0.01}, want: []string{gate.ReasonGolden}},
		"a box that only one side has":      {candidate: modelpackage.Metrics{MAP50_95: 0.6}, golden: gate.Golden{Photos: 8, Differences: []string{"00.jpg: can 0.9 not found"}}, want: []string{gate.ReasonGolden}},
		"no golden photo at all":            {candidate: modelpackage.Metrics{MAP50_95: 0.6}, want: []string{gate.ReasonGolden}},
		"everything wrong, all of it named": {policy: func(p *gate.Policy) { p.Minimum = 0.3 }, serving: serving, want: []string{gate.ReasonGolden, gate.ReasonMinimum, gate.ReasonWorse}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := gate.DefaultPolicy()
			if tt.policy != nil {
				tt.policy(&p)
			}
			e := gate.Evaluation{Dataset: "d1", Candidate: tt.candidate, Golden: tt.golden}
			if tt.serving != nil {
				e.Serving, e.Against = tt.serving, 3
			}
			v := p.Decide(e)
			var got []string
			for _, r := range v.Reasons {
				got = append(got, r.Code)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || v.Passed != (len(tt.want) == 0) {
				t.Errorf("passed %v, reasons (-want +got):\n%s", v.Passed, diff)
			}
		})
	}
}

func TestPolicy_Validate(t *testing.T) {
	if err := gate.DefaultPolicy().Validate(); err != nil {
		t.Error(err)
	}
	err := gate.Policy{Metric: "F1", Tolerance: -1, Minimum: 2}.Validate()
	for _, want := range []string{"gate.metric", "gate.tolerance", "gate.minimum"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}
