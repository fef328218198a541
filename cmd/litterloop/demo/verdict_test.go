package demo

import (
	"strings"
	"testing"

	"github.com/litterloop/litterloop/cmd/litterloop/client"
	"github.com/litterloop/litterloop/shared/registry"
	"github.com/litterloop/litterloop/shared/registry/gate"
	"github.com/litterloop/litterloop/shared/rollout"
	"github.com/litterloop/litterloop/shared/training"
	"github.com/litterloop/litterloop/shared/training/evaluation"
)

func TestRegistered_aRefusalByGoodSenseIsAnEndingAndAnyOtherAFailure(t *testing.T) {
	worse := gate.Reason{Code: gate.ReasonWorse, Message: "0.06 where the serving model has 0.07"}
	skewed := gate.Reason{Code: gate.ReasonGolden, Message: "answers differ"}
	for _, c := range []struct {
		name    string
		gate    *gate.Verdict
		done    string
		refused bool
		fails   string
	}{
		{"not judged yet", nil, "", false, ""},
		{"passed", &gate.Verdict{Passed: true, Against: 1}, "version 2, gate passed", false, ""},
		{"worse than the serving model", &gate.Verdict{Against: 1, Reasons: []gate.Reason{worse}}, "refused version 2: 0.06 where", true, ""},
		{"under the least score", &gate.Verdict{Against: 1, Reasons: []gate.Reason{{Code: gate.ReasonMinimum}}}, "refused version 2", true, ""},
		{"served otherwise than it was trained", &gate.Verdict{Against: 1, Reasons: []gate.Reason{worse, skewed}}, "", true, "answers differ"},
		{"nothing serves yet", &gate.Verdict{Reasons: []gate.Reason{{Code: gate.ReasonMinimum, Message: "under 0.9"}}}, "", true, "under 0.9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			snap := client.Snapshot{Trainings: []training.Training{{}, {Run: "b"}}, Models: []registry.Version{{Version: 1, Run: "a"}, {Version: 2, Run: "b", Gate: c.gate}}}
			done, refused, err := registered(snap, 2)
			if !strings.Contains(done, c.done) || (c.done == "") != (done == "") || refused != c.refused || (err != nil) != (c.fails != "") {
				t.Fatalf("%q, refused %v, %v", done, refused, err)
			}
			if err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%v does not say %q", err, c.fails)
			}
		})
	}
}

func TestKept_nothingOfARefusedModelReachesTheTraffic(t *testing.T) {
	snap := client.Snapshot{
		Trainings: []training.Training{{Run: "a"}, {Run: "b", State: training.Running}},
		Models:    []registry.Version{{Version: 1, Run: "a"}, {Version: 2, Run: "b"}},
		Aliases:   map[string]int{"staging": 1},
		Rollouts:  []rollout.Rollout{{Version: 1}},
	}
	if done, err := kept(snap, 2); done != "" || err != nil {
		t.Errorf("while the training is being ended: %q, %v", done, err)
	}
	snap.Trainings[1].State = training.Registered
	if done, err := kept(snap, 2); !strings.Contains(done, "stays version 1") || err != nil {
		t.Errorf("afterwards: %q, %v", done, err)
	}
	snap.Rollouts = append(snap.Rollouts, rollout.Rollout{Version: 2})
	if _, err := kept(snap, 2); err == nil {
		t.Error("a refused model is rolled out, and nobody is told")
	}
}

func TestVerdict_saysWhatHappenedAndHowSureThatIs(t *testing.T) {
	v := Verdict{Version: 2, Against: 1, Metric: "mAP50-95", Candidate: 0.0649, Serving: 0.0654, Photos: 20, Reasons: []gate.Reason{{Message: "it is worse"}}}
	v.Difference = evaluation.Interval{Low: -0.02, High: 0.03}
	if got := v.say(); !strings.HasPrefix(got, "kept serving version 1, because of version 2: it is worse.") || !strings.Contains(got, "-0.0200 to +0.0300") {
		t.Error(got)
	}
	v.Passed, v.Difference = true, evaluation.Interval{Low: 0.01, High: 0.03}
	if got := v.say(); got != "version 2 replaced version 1: mAP50-95 0.0649 against 0.0654 on 20 held-out photos" {
		t.Error(got)
	}
}
