package terraform_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/litterloop/litterloop/cmd/litterloop/cost"
	"github.com/litterloop/litterloop/terraform"
)

// tests/cost.json is what Terraform's own test expects of its sum.
func TestCost_isWhatTerraformTells(t *testing.T) {
	text, err := os.ReadFile("tests/cost.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]string
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	table, err := cost.Parse(terraform.Prices)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, level := range table.Levels {
		got[fmt.Sprint(int(level))] = fmt.Sprintf("%.2f", table.Month(level).Total)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("tests/cost.json (-), `litterloop cost` (+):\n%s", d)
	}
}
