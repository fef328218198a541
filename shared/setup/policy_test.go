package setup

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/blob/blobmem"
	"github.com/litterloop/litterloop/shared/bus/busmem"
	"github.com/litterloop/litterloop/shared/config"
	"github.com/litterloop/litterloop/shared/errs"
)

func TestPolicies_faultyFile(t *testing.T) {
	models, messages := blobmem.New("models"), &busmem.Bus{}
	now := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	p := &policies{models: models, bus: messages, now: func() time.Time { return now }}
	file := func(text string) {
		t.Helper()
		if _, err := models.Write(t.Context(), config.Object, strings.NewReader(text), blob.WriteOptions{IfGeneration: blob.Any}); err != nil {
			t.Fatal(err)
		}
		now = now.Add(policyAge)
	}
	budget := func() (int, error) {
		policy, err := p.current(t.Context())
		return policy.Retrain.MonthlyBudget, err
	}
	faulty := func(err error) bool { code, _ := errs.Reason(err); return code == config.CodeFaulty }

	file("retrain: {monthly_budget: many}")
	if _, err := budget(); !faulty(err) {
		t.Errorf("a process that never read a good policy: %v", err)
	}
	file("retrain: {monthly_budget: 7}")
	if n, err := budget(); n != 7 || err != nil {
		t.Errorf("mended: %d, %v", n, err)
	}
	file("retrain: {monthly_budget: 0}")
	down := errors.New("the bus is down")
	messages.Fail = func(string) error { return down }
	if _, err := budget(); !errors.Is(err, down) {
		t.Errorf("nobody could be told: %v", err)
	}
	messages.Fail = nil
	for range 3 {
		if n, err := budget(); n != 7 || err != nil {
			t.Errorf("faulty again: %d, %v; want the policy before", n, err)
		}
		now = now.Add(policyAge)
	}
	if m := messages.Messages(); len(m) != 2 || m[0].Event.ID == m[1].Event.ID || !strings.Contains(string(m[1].Event.Data), "monthly_budget") {
		t.Errorf("told %+v, want each fault once", m)
	}
	file("retrain: {monthly_budget: 9}")
	if n, err := budget(); n != 9 || err != nil {
		t.Errorf("mended again: %d, %v", n, err)
	}
}
