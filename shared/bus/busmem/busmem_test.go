package busmem_test

import (
	"testing"

	"github.com/litterloop/litterloop/shared/bus/busmem"
	"github.com/litterloop/litterloop/shared/bus/bustest"
	"github.com/litterloop/litterloop/shared/event"
)

func TestConformance(t *testing.T) {
	const records = "busmem records what was published and has neither topics, limits nor traces"
	bustest.Test(t, func(*testing.T) bustest.Bus {
		b := &busmem.Bus{}
		return bustest.Bus{Publisher: b, Receive: func(t *testing.T, topic string, n int) []event.Event {
			var out []event.Event
			for _, m := range b.Messages() {
				if m.Topic == topic {
					out = append(out, m.Event)
				}
			}
			if len(out) != n {
				t.Fatalf("%d events on %s, want %d", len(out), topic, n)
			}
			return out
		}}
	}, bustest.Known{
		"the caller's span goes along":           records,
		"no such topic":                          records,
		"too large an event is refused for good": records,
		"a cancelled publish is an error":        records,
	})
}
