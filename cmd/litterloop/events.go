package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/litterloop/litterloop/cmd/litterloop/client"
	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/event"
)

type eventsCmd struct {
	Alerts bool `help:"List alerts instead of dead letters."`
	Replay bool `help:"Publish every dead letter again on the topic it came from."`
	Clear  bool `help:"Acknowledge what is listed, so that it is not listed again."`
}

// Run lists what could not be handled, or what people were told.
func (c *eventsCmd) Run(ctx context.Context, g *globals) error {
	cl, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	source := bus.DeadLetters
	if c.Alerts {
		source = bus.Alerts
	}
	letters, err := cl.Letters(ctx, source, client.Treatment{Replay: c.Replay && !c.Alerts, Clear: c.Clear})
	if err != nil {
		return err
	}
	return g.answer(letters, func(w io.Writer) {
		if len(letters) == 0 {
			fmt.Fprintln(w, "none")
			return
		}
		t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
		defer t.Flush()
		for _, l := range letters {
			switch {
			case c.Alerts:
				var a event.AlertData
				_ = json.Unmarshal(l.Data, &a) // what is no alert is shown by its attributes
				fmt.Fprintf(t, "%s\t%s\t%s\n", l.Published.Local().Format("2006-01-02 15:04:05"), a.Code, a.Message)
			default:
				replayed := ""
				if l.Replayed {
					replayed = "sent again"
				}
				fmt.Fprintf(t, "%s\t%s\t%s attempts\t%s\t%s\n", l.Published.Local().Format("2006-01-02 15:04:05"), l.Subscription, l.Attempts, l.About(), replayed)
			}
		}
	})
}
