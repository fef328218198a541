package cost

import (
	"math"
	"strings"
	"testing"

	"github.com/litterloop/litterloop/terraform"
)

const small = `
date: 2026-11-23
currency: USD
skus:
  cpu: {what: processors, unit: s, price: 2, free: 100, page: run/pricing, seen: 2026-08}
  rows: {what: rows, unit: rows, price: 1, free: 0, page: storage/pricing}
uses:
  - {by: detector, sku: cpu, photo: 1, times: cpus}
  - {by: drift, sku: cpu, rest: 10, loop: 5}
  - {by: log, sku: rows, rest: 3}
factors: {cpus: 4}
levels: [0]
`

func TestMonth_sharesWhatIsFreeAmongItsUsers(t *testing.T) {
	table, err := Parse([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		photos float64
		want   float64
	}{
		{"at rest: within what is free", 0, 3},
		{"a photo a day: 121.6 + 10 + 5 of 100 free", 1, 2*36.6 + 3},
	} {
		if got := table.Month(c.photos).Total; math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if err := table.Set(map[string]float64{"cpus": 0}); err != nil {
		t.Fatal(err)
	}
	if got := table.Month(1).Total; got != 3 {
		t.Errorf("without processors: %v", got)
	}
}

func TestSet_refusesWhatIsNoFactor(t *testing.T) {
	table, err := Parse([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]float64{"gpus": 1, "cpus": -1} {
		if err := table.Set(map[string]float64{name: v}); err == nil {
			t.Errorf("%s=%v was taken", name, v)
		}
	}
}

func TestParse_reportsEveryFaultAtOnce(t *testing.T) {
	_, err := Parse([]byte(strings.NewReplacer("sku: rows", "sku: tables", "times: cpus", "times: gpus", ", page: storage/pricing", "").Replace(small)))
	for _, want := range []string{`"tables"`, `"gpus"`, "rows does not say which page"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %s: %v", want, err)
		}
	}
}

func TestUnseen_areThePricesThatNoPageShowed(t *testing.T) {
	table, err := Parse([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	if got := table.Unseen(); len(got) != 1 || got[0] != "rows" {
		t.Errorf("%v, want rows", got)
	}
}

func TestPrices_everyPriceIsUsedAndEveryFactorToo(t *testing.T) {
	table, err := Parse(terraform.Prices)
	if err != nil {
		t.Fatal(err)
	}
	skus, factors := map[string]bool{}, map[string]bool{}
	for _, u := range table.Uses {
		skus[u.SKU], factors[u.Times] = true, true
	}
	for name := range table.SKUs {
		if !skus[name] {
			t.Errorf("nothing uses %s", name)
		}
	}
	for name := range table.Factors {
		if !factors[name] {
			t.Errorf("nothing depends on %s", name)
		}
	}
	for _, level := range table.Levels {
		if m := table.Month(level); m.Total <= 0 || (level == 0 && m.Total > 5) {
			t.Errorf("%v photos a day cost %v", level, m.Total)
		}
	}
}
