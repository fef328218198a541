package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/litterloop/litterloop/functions/drift"
)

type driftCmd struct{}

// Run has the drift function check now, as the schedule does.
func (*driftCmd) Run(ctx context.Context, g *globals) error {
	cl, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	if cl.Functions == "" {
		return fmt.Errorf("on Google Cloud the scheduler calls the drift function: `gcloud scheduler jobs run drift --location %s --project %s` does so now, `litterloop status --project %s` shows the newest report", cl.Region, cl.Project, cl.Project)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, cl.Functions+"/drift", strings.NewReader("{}"))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("call the drift function: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("read the drift function's answer: %w", err)
	}
	var a drift.Answer
	if res.StatusCode != http.StatusOK || json.Unmarshal(body, &a) != nil {
		return fmt.Errorf("the drift function answered %d: %s", res.StatusCode, strings.TrimSpace(string(body)))
	}
	return g.answer(a, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s\n", a.Outcome, a.Verdict.Reason)
		if len(a.Columns) > 0 {
			fmt.Fprintf(w, "Evidently's tests: %.0f %% of columns (%s)\n", 100*a.Share, strings.Join(a.Columns, ", "))
		}
		if a.Decision != nil {
			fmt.Fprintf(w, "decision: %s (%s)\n", a.Decision.Outcome, strings.Join(a.Decision.Reasons, ", "))
		}
		if a.HTML != "" {
			fmt.Fprintf(w, "report: %s\n", a.HTML)
		}
	})
}
