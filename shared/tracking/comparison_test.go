package tracking_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/shared/tracking"
)

func TestCompare_tellsWhatDiffersAndWhatIsBest(t *testing.T) {
	run := func(params map[string]string, metrics map[string]float64) tracking.RunData {
		r := tracking.RunData{Run: tracking.Run{Params: params}, Metrics: map[string]tracking.Metric{}}
		for key, v := range metrics {
			r.Metrics[key] = tracking.Metric{Key: key, Value: v}
		}
		return r
	}
	got := tracking.Compare([]tracking.RunData{
		run(map[string]string{"lr": "0.1", "same": "1"}, map[string]float64{"mAP50": 0.5, "val/box_loss": 2, "equal": 1, "broken": math.NaN()}),
		run(map[string]string{"lr": "0.2", "same": "1", "seed": "7"}, map[string]float64{"mAP50": 0.7, "val/box_loss": 1, "equal": 1, "broken": 3}),
		run(map[string]string{"lr": "0.1", "same": "1"}, map[string]float64{"mAP50": 0.6, "val/box_loss": 3}),
	})
	var params []string
	for _, row := range got.Params {
		params = append(params, row.Key)
	}
	if diff := cmp.Diff([]string{"lr", "seed"}, params); diff != "" {
		t.Errorf("parameters that differ: %s", diff)
	}
	best := map[string]int{}
	for _, row := range got.Metrics {
		best[row.Key] = row.Best
	}
	if diff := cmp.Diff(map[string]int{"mAP50": 1, "val/box_loss": 1, "equal": -1, "broken": -1}, best); diff != "" {
		t.Errorf("the best: %s", diff)
	}
}
