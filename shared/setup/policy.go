package setup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/litterloop/litterloop/shared/blob"
	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/config"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
)

// policyAge is how long a policy that was read serves: a change of the file
// takes effect within it, and a burst of events does not read it each time.
const policyAge = 10 * time.Second

// policies reads the policy file now and then.
type policies struct {
	models blob.Bucket
	bus    bus.Publisher
	now    func() time.Time

	mu   sync.Mutex
	good *config.Policy // the last one
	read time.Time      // when the file was last read, whatever it held
	told string         // the fault that people were last told of
}

// current returns the policy that is in force. A typing error must not stop the
// loop: the policy before it stays in force, as if the change had not been made
// yet. There is none before it in a process that has just begun, and the
// defaults are nobody's decision; then the fault is returned.
func (p *policies) current(ctx context.Context) (config.Policy, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.good != nil && p.now().Sub(p.read) < policyAge {
		return *p.good, nil
	}
	policy, err := config.Read(ctx, p.models)
	if code, _ := errs.Reason(err); code == config.CodeFaulty {
		if told := p.tell(ctx, err); told != nil {
			return policy, errors.Join(told, err)
		}
		if p.good == nil {
			return policy, err
		}
		p.read = p.now()
		return *p.good, nil
	}
	if err != nil {
		return policy, err
	}
	p.good, p.read, p.told = &policy, p.now(), ""
	return policy, nil
}

// tell publishes a fault, once in a process, under one ID in all of them.
func (p *policies) tell(ctx context.Context, fault error) error {
	if p.told == fault.Error() {
		return nil
	}
	object := fmt.Sprintf("gs://%s/%s", p.models.Name(), config.Object)
	e, err := event.New(event.Alert, p.now(), event.AlertData{
		Code: string(config.CodeFaulty), Subject: "The policy file is faulty",
		Message: fmt.Sprintf("%s is not in force: %s. Functions that run keep to the policy before it; those that start refuse events, and what they refused too often is kept as dead letters. Mend the file, then replay those.", object, fault),
		Links:   map[string]string{"policy": object},
	}, string(config.CodeFaulty), fault.Error())
	if err != nil {
		return err
	}
	if err := p.bus.Publish(ctx, bus.Alerts, e); err != nil {
		return fmt.Errorf("publish that the policy is faulty: %w", err)
	}
	p.told = fault.Error()
	return nil
}
