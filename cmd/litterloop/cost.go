package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/litterloop/litterloop/cmd/litterloop/cost"
	"github.com/litterloop/litterloop/terraform"
)

type costCmd struct {
	Photos []float64          `help:"Photos that the detector answers a day (default: none, 1,000 and 100,000)."`
	Set    map[string]float64 `help:"Sizes in place of the defaults, such as detector_cpu=4; terraform/prices.yaml lists them." placeholder:"FACTOR=N"`
	All    bool               `help:"Show what is free too."`
}

// Run says what a month costs on Google Cloud.
func (c *costCmd) Run(g *globals) error {
	table, err := cost.Parse(terraform.Prices)
	if err != nil {
		return err
	}
	if err := table.Set(c.Set); err != nil {
		return err
	}
	if len(c.Photos) == 0 {
		c.Photos = table.Levels
	}
	var months []cost.Month
	for _, n := range c.Photos {
		if n < 0 {
			return fmt.Errorf("--photos %v: give 0 or more", n)
		}
		months = append(months, table.Month(n))
	}
	answer := map[string]any{"date": table.Date, "currency": table.Currency, "months": months, "factors": table.Factors, "unseen": table.Unseen()}
	return g.answer(answer, func(w io.Writer) {
		for _, m := range months {
			if m.Photos == 0 {
				fmt.Fprintf(w, "At rest: %.2f %s a month\n", m.Total, table.Currency)
			} else {
				fmt.Fprintf(w, "%.0f photos a day: %.2f %s a month\n", m.Photos, m.Total, table.Currency)
			}
			t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
			for _, l := range m.Lines {
				if l.Cost >= 0.005 || c.All && l.Units > 0 {
					fmt.Fprintf(t, "  %s\t%.2f\t%.4g %s, %.4g of them free\n", l.What, l.Cost, l.Units, l.Unit, min(l.Free, l.Units))
				}
			}
			t.Flush()
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "List prices for europe-west1 as gone through on %s, before taxes; what is free is shared by a billing account.\n", table.Date)
		for _, name := range table.Unseen() {
			fmt.Fprintf(w, "Not confirmed: %s. See %s%s\n", table.SKUs[name].What, cost.Site, table.SKUs[name].Page)
		}
	})
}
