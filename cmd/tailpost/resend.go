package main

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

// deliverySelection is which deliveries are to be attempted now or given up, as the API takes it.
type deliverySelection struct {
	EventID    string   `json:"event_id,omitempty"`
	EndpointID string   `json:"endpoint_id,omitempty"`
	EventTypes []string `json:"event_types,omitempty"`
	Tenant     string   `json:"tenant,omitempty"`
	Reason     string   `json:"reason,omitempty"`
	State      string   `json:"state,omitempty"`
	Since      string   `json:"since,omitempty"`
	Until      string   `json:"until,omitempty"`
	All        bool     `json:"all,omitempty"`
	DryRun     bool     `json:"dry_run,omitempty"`
}

// register makes the flags of a selection.
func (w *deliverySelection) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&w.EventID, "event", "", "only of this `event`")
	cmd.Flags().StringVar(&w.EndpointID, "endpoint", "", "only to this `endpoint`")
	cmd.Flags().StringArrayVar(&w.EventTypes, "type", nil, "only of events of this `type`; may be repeated")
	cmd.Flags().StringVar(&w.Tenant, "tenant", "", "only of this `tenant`'s events")
	cmd.Flags().StringVar(&w.State, "state", "", "in this `state`: dead (default), or pending")
	cmd.Flags().StringVar(&w.Reason, "reason", "", "only for this `reason`")
	cmd.Flags().Var(timeFlag{&w.Since}, "since", "only of events from this `time` on (RFC 3339, or how long ago: 2h)")
	cmd.Flags().Var(timeFlag{&w.Until}, "until", "only of events before this `time` (RFC 3339, or how long ago: 2h)")
	cmd.Flags().BoolVar(&w.All, "all", false, "all there are")
	cmd.Flags().BoolVar(&w.DryRun, "dry-run", false, "count them, and change nothing")
}

// check reports a selection that chooses nothing, or everything and not everything: what is done to
// deliveries is done to those that somebody named.
func (w *deliverySelection) check(command string) error {
	some := w.EventID != "" || w.EndpointID != "" || len(w.EventTypes) > 0 || w.Tenant != "" || w.Reason != "" || w.Since != "" || w.Until != ""
	switch {
	case !some && !w.All:
		return usagef(command, "choose deliveries by --event, --endpoint, --type, --tenant, --reason, --since or --until, or take --all")
	case some && w.All:
		return usagef(command, "--all: leave it out, or everything that chooses some")
	}
	return nil
}

func resends() *operation {
	return &operation{
		name: "resend", path: "/v1/resends", verb: "deliveries queued",
		done: func(s *shownOperation) int64 { return s.Queued },
		table: table{
			columns: []string{"id", "state", "total", "queued", "created"},
			cells: row(func(v shownOperation) []string {
				return []string{v.ID, v.State, known(v.Total), number(v.Queued), at(&v.CreatedAt)}
			}),
		},
	}
}

func newResendCommand(a *app) *cobra.Command {
	var api apiFlags
	var which deliverySelection
	var wait bool
	op := resends()
	cmd := &cobra.Command{
		Use:   "resend",
		Short: "Attempt deliveries now",
		Long: `Attempt deliveries now that are dead or wait, or, with --event and --endpoint alone, one that was made already. Many are queued in the
background, at the endpoint's rate and in its order. ` + asks,
		Example: `  tailpost resend --endpoint erp --state dead --dry-run
  tailpost resend --endpoint erp --since 2026-03-14T08:00:00Z --wait
  tailpost resend --event 0198c7a2-7f3e-7c1e-9f6e-8f0d5a4b3c21 --endpoint erp`,
		Args:    args(0, 0),
		PreRunE: func(cmd *cobra.Command, _ []string) error { return which.check(cmd.CommandPath()) },
		RunE: api.run(a, func(cmd *cobra.Command, c *client, _ []string) error {
			answer, err := c.ask(cmd.Context(), http.MethodPost, "/v1/deliveries/resend", nil, which)
			if err != nil {
				return err
			}
			var begun struct {
				shownOperation

				Matched int64 `json:"matched"`
			}
			if err := json.Unmarshal(answer, &begun); err != nil {
				return fmt.Errorf("read the API's answer: %w", err)
			}
			if begun.Matched == 0 && (begun.ID == "" || begun.Total != nil && *begun.Total == 0) {
				if err := noEndpoint(cmd.Context(), c, which.EndpointID); err != nil {
					return err
				}
			}
			switch {
			case wait && begun.ID != "":
				return op.follow(cmd.Context(), a, c, begun.ID, api.asJSON)
			case api.asJSON:
				return printRaw(a, answer)
			}
			return sayResend(a, answer, which.DryRun)
		}),
	}
	api.register(cmd)
	which.register(cmd)
	cmd.Flags().BoolVar(&wait, "wait", false, "where many are queued in the background, follow that to its end, as watch does")
	cmd.AddCommand(op.subcommands(a)...)
	return cmd
}

// sayResend prints what became of a resend: counted, queued, or begun in the background.
func sayResend(a *app, answer json.RawMessage, dryRun bool) error {
	var said struct {
		ID      string `json:"id"`
		Total   *int64 `json:"total"`
		Matched int64  `json:"matched"`
		Changed int64  `json:"changed"`
	}
	if err := json.Unmarshal(answer, &said); err != nil {
		return fmt.Errorf("read the API's answer: %w", err)
	}
	switch {
	case dryRun:
		return a.printf("%s would be attempted; nothing was changed\n", deliveries(said.Matched))
	case said.ID == "":
		return a.printf("%s queued\n", deliveries(said.Changed))
	case said.Total == nil:
		return a.printf("resend %s has begun\n", said.ID)
	}
	return a.printf("resend %s of %s has begun\n", said.ID, deliveries(*said.Total))
}

func deliveries(n int64) string {
	if n == 1 {
		return "1 delivery"
	}
	return fmt.Sprintf("%d deliveries", n)
}
