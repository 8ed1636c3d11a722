package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

// replayRange is what is to be delivered once more, as the API takes it.
type replayRange struct {
	EndpointID string   `json:"endpoint_id"`
	EventTypes []string `json:"event_types,omitempty"`
	Since      string   `json:"since,omitempty"`
	Until      string   `json:"until,omitempty"`
	DryRun     bool     `json:"dry_run,omitempty"`
}

func replays() *operation {
	return &operation{
		name: "replay", path: "/v1/replays", verb: "events looked at",
		done: func(s *shownOperation) int64 { return s.Done },
		table: table{
			columns: []string{"id", "endpoint", "state", "total", "done", "queued", "missing", "created"},
			cells: row(func(v shownOperation) []string {
				return []string{v.ID, v.EndpointID, v.State, known(v.Total), number(v.Done), number(v.Queued), known(v.Missing), at(&v.CreatedAt)}
			}),
		},
	}
}

func newReplayCommand(a *app) *cobra.Command {
	var api apiFlags
	var which replayRange
	var wait bool
	op := replays()
	cmd := &cobra.Command{
		Use:   "replay --endpoint ENDPOINT",
		Short: "Deliver a range of events once more",
		Long: `Deliver the events of a range to an endpoint once more, from the outbox rows that are still there. It runs in the background, at the
endpoint's rate and in its order, and survives restarts. Count first with --dry-run; what has lost its row is counted and listed
(tailpost replay missing). ` + asks,
		Example: `  tailpost replay --endpoint erp --since 2026-03-14T08:00:00Z --until 2026-03-14T12:00:00Z --dry-run
  tailpost replay --endpoint erp --type 'order.*' --since 2026-03-14T08:00:00Z --wait
  tailpost replay cancel rp_0198c7a2`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if which.EndpointID == "" {
				return usagef(cmd.CommandPath(), "--endpoint: say which endpoint gets the events once more")
			}
			c, err := api.client(cmd.Context(), a, cmd.CommandPath())
			if err != nil {
				return err
			}
			answer, err := c.ask(cmd.Context(), http.MethodPost, op.path, nil, which)
			if err != nil {
				return err
			}
			var begun shownOperation
			if err := json.Unmarshal(answer, &begun); err != nil {
				return fmt.Errorf("read the API's answer: %w", err)
			}
			switch {
			case which.DryRun && !api.asJSON:
				return sayReplay(a, &begun)
			case wait && !which.DryRun:
				return op.follow(cmd.Context(), a, c, begun.ID, api.asJSON)
			case api.asJSON:
				return printRaw(a, answer)
			}
			a.note("Try: tailpost replay watch %s", begun.ID)
			return a.printf("replay %s has begun\n", begun.ID)
		},
	}
	api.register(cmd)
	cmd.Flags().StringVar(&which.EndpointID, "endpoint", "", "to this `endpoint`")
	cmd.Flags().StringArrayVar(&which.EventTypes, "type", nil, "only of events of this `type`, or of those that a pattern names (order.*); may be repeated; default: all that the endpoint wants")
	cmd.Flags().Var(timeFlag{&which.Since}, "since", "only of events from this `time` on (RFC 3339, or how long ago: 2h); default: from the first one")
	cmd.Flags().Var(timeFlag{&which.Until}, "until", "only of events before this `time` (RFC 3339, or how long ago: 2h); default: now")
	cmd.Flags().BoolVar(&which.DryRun, "dry-run", false, "count them, and change nothing")
	cmd.Flags().BoolVar(&wait, "wait", false, "follow it to its end, as watch does")
	cmd.AddCommand(append(op.subcommands(a), newMissingCommand(a))...)
	return cmd
}

// sayReplay prints what a dry run counted.
func sayReplay(a *app, s *shownOperation) error {
	if s.Total == nil {
		a.note("tailpost: %s", printable(s.Note, maxPreview*4))
		return a.printf("more events than can be counted in some seconds would be looked at; nothing was changed\n")
	}
	missing := ""
	if s.Missing != nil && *s.Missing > 0 {
		missing = fmt.Sprintf(", %d more cannot: their outbox rows are gone", *s.Missing)
	}
	return a.printf("%s would be looked at%s; nothing was changed\n", count(int(*s.Total), "event"), missing)
}

// shownMissing is an event that a replay cannot deliver once more.
type shownMissing struct {
	EventID     string    `json:"event_id"`
	EventType   string    `json:"event_type"`
	AttemptedAt time.Time `json:"attempted_at"`
	Outcome     string    `json:"outcome"`
}

func newMissingCommand(a *app) *cobra.Command {
	var api apiFlags
	var by filters
	cmd := &cobra.Command{
		Use:   "missing ID",
		Short: "List what a replay cannot deliver once more",
		Long:  "List the events of a replay's range that were attempted at the endpoint and whose outbox rows are gone. " + asks,
		Args:  args(1, 1),
		RunE: api.run(a, func(cmd *cobra.Command, c *client, args []string) error {
			t := table{
				columns: []string{"attempted", "event", "type", "outcome"},
				cells: row(func(v shownMissing) []string {
					return []string{at(&v.AttemptedAt), v.EventID, v.EventType, v.Outcome}
				}),
			}
			return printPages(cmd.Context(), a, c, "/v1/replays/"+url.PathEscape(args[0])+"/missing", by.query(), by.limit, t, api.asJSON)
		}),
	}
	api.register(cmd)
	by.register(cmd)
	return cmd
}
