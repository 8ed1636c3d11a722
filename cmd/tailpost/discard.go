package main

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

func newDiscardCommand(a *app) *cobra.Command {
	var api apiFlags
	var which deliverySelection
	cmd := &cobra.Command{
		Use:   "discard",
		Short: "Give deliveries up for good",
		Long: `Give up deliveries that are dead, or wait. Their events are not sent again, unless a person resends or replays them. Count them first
with --dry-run. ` + asks,
		Example: `  tailpost discard --endpoint erp --until 2026-03-01T00:00:00Z --dry-run
  tailpost discard --event 0198c7a2-7f3e-7c1e-9f6e-8f0d5a4b3c21 --endpoint erp`,
		Args:    args(0, 0),
		PreRunE: func(cmd *cobra.Command, _ []string) error { return which.check(cmd.CommandPath()) },
		RunE: api.run(a, func(cmd *cobra.Command, c *client, _ []string) error {
			return discard(a, cmd, c, &which, api.asJSON)
		}),
	}
	api.register(cmd)
	which.register(cmd)
	return cmd
}

// discardResult is what one call discards, and what all of them did.
type discardResult struct {
	Matched int64 `json:"matched"`
	Changed int64 `json:"changed"`
	More    bool  `json:"more"`
	DryRun  bool  `json:"dry_run"`
}

// discard calls until nothing is left of the selection: one call takes a part of it, so that no row
// is locked for long.
func discard(a *app, cmd *cobra.Command, c *client, which *deliverySelection, asJSON bool) error {
	var all discardResult
	var pace progress
	for {
		answer, err := c.ask(cmd.Context(), http.MethodPost, "/v1/deliveries/discard", nil, which)
		if err != nil {
			if all.Changed > 0 {
				a.note("tailpost: %s discarded so far", deliveries(all.Changed))
			}
			return err
		}
		part := all
		if err := json.Unmarshal(answer, &part); err != nil {
			return fmt.Errorf("read the API's answer: %w", err)
		}
		part.Matched, part.Changed = part.Matched+all.Matched, part.Changed+all.Changed
		all = part
		if !all.More {
			break
		}
		a.note("tailpost: %s", pace.say("discarded", all.Changed, nil))
	}
	if all.Matched == 0 {
		if err := noEndpoint(cmd.Context(), c, which.EndpointID); err != nil {
			return err
		}
	}
	switch {
	case asJSON:
		return a.printJSON(all)
	case all.DryRun:
		return a.printf("%s would be discarded; nothing was changed\n", deliveries(all.Matched))
	}
	return a.printf("%s discarded\n", deliveries(all.Changed))
}
