// Package bustest is the conformance suite of the port bus.Publisher: what
// holds for every adapter, and so what the functions may rely on.
package bustest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"

	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/errs"
	"github.com/litterloop/litterloop/shared/event"
)

// Bus is one bus under test, with the topics "train" and "deploy" in it.
type Bus struct {
	Publisher bus.Publisher
	// Receive returns the next n events that subscribers of the topic see, as
	// they decode them, in any order.
	Receive func(t *testing.T, topic string, n int) []event.Event
}

// Known names what a bus is known to do otherwise, with the reason.
type Known map[string]string

// Test runs the suite; open makes a new, empty bus for each case.
func Test(t *testing.T, open func(t *testing.T) Bus, known Known) {
	cases := map[string]func(t *testing.T, b Bus){
		"an event arrives as it was published":   arrives,
		"the same event twice keeps its id":      twice,
		"parallel publishers":                    parallel,
		"the caller's span goes along":           span,
		"a trace without a span goes along":      storedTrace,
		"no such topic":                          noTopic,
		"too large an event is refused for good": tooLarge,
		"a cancelled publish is an error":        cancelled,
	}
	for name := range known {
		if cases[name] == nil {
			t.Errorf("known difference %q is not a case of the suite", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		t.Run(name, func(t *testing.T) {
			if why := known[name]; why != "" {
				t.Skip(why)
			}
			cases[name](t, open(t))
		})
	}
}

func newEvent(t *testing.T, n int) event.Event {
	t.Helper()
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	e, err := event.New(event.Train, at, event.TrainData{Dataset: fmt.Sprint("v", n), Trigger: "drift", Reasons: []string{"Müll ≠ litter"}}, fmt.Sprint(n))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func publish(t *testing.T, b Bus, e event.Event) {
	t.Helper()
	if err := b.Publisher.Publish(t.Context(), bus.Train, e); err != nil {
		t.Fatal(err)
	}
}

func ids(events []event.Event) []string {
	var out []string
	for _, e := range events {
		out = append(out, e.ID)
	}
	slices.Sort(out)
	return out
}

func arrives(t *testing.T, b Bus) {
	want := newEvent(t, 1)
	publish(t, b, want)
	if diff := cmp.Diff([]event.Event{want}, b.Receive(t, bus.Train, 1)); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

func twice(t *testing.T, b Bus) {
	e := newEvent(t, 1)
	publish(t, b, e)
	publish(t, b, e)
	if diff := cmp.Diff([]string{e.ID, e.ID}, ids(b.Receive(t, bus.Train, 2))); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
}

func parallel(t *testing.T, b Bus) {
	const n = 64
	var want []string
	var wg sync.WaitGroup
	for i := range n {
		e := newEvent(t, i)
		want = append(want, e.ID)
		topic := []string{bus.Train, bus.Deploy}[i%2]
		wg.Go(func() {
			if err := b.Publisher.Publish(t.Context(), topic, e); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	slices.Sort(want)
	got := append(ids(b.Receive(t, bus.Train, n/2)), ids(b.Receive(t, bus.Deploy, n/2))...)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
}

func span(t *testing.T, b Bus) {
	sc := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	e := newEvent(t, 1)
	e.Trace = map[string]string{event.AttrTraceparent: "00-ff000000000000000000000000000000-ff00000000000000-01"}
	if err := b.Publisher.Publish(trace.ContextWithSpanContext(t.Context(), sc), bus.Train, e); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{event.AttrTraceparent: "00-01000000000000000000000000000000-0200000000000000-01"}
	if diff := cmp.Diff(want, b.Receive(t, bus.Train, 1)[0].Trace); diff != "" {
		t.Errorf("trace (-want +got):\n%s", diff)
	}
}

func storedTrace(t *testing.T, b Bus) {
	e := newEvent(t, 1)
	e.Trace = map[string]string{
		event.AttrTraceparent: "00-01000000000000000000000000000000-0200000000000000-01",
		event.AttrTracestate:  "vendor=1",
	}
	publish(t, b, e)
	if diff := cmp.Diff(e.Trace, b.Receive(t, bus.Train, 1)[0].Trace); diff != "" {
		t.Errorf("trace (-want +got):\n%s", diff)
	}
}

func noTopic(t *testing.T, b Bus) {
	err := b.Publisher.Publish(t.Context(), "nowhere", newEvent(t, 1))
	if !errors.Is(err, errs.NotFound) {
		t.Errorf("Publish = %v, want errs.NotFound", err)
	}
	if _, permanent := errs.Reason(err); permanent {
		t.Errorf("Publish = %v: permanent, so the event would be lost; a topic can still be created", err)
	}
}

func tooLarge(t *testing.T, b Bus) {
	e := newEvent(t, 1)
	e.Data = json.RawMessage(`"` + strings.Repeat("x", 11<<20) + `"`)
	err := b.Publisher.Publish(t.Context(), bus.Train, e)
	if _, permanent := errs.Reason(err); !permanent {
		t.Errorf("Publish = %v, want a permanent error", err)
	}
}

func cancelled(t *testing.T, b Bus) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Publisher.Publish(ctx, bus.Train, newEvent(t, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("Publish = %v, want context.Canceled: whether it was stored is not known", err)
	}
}
