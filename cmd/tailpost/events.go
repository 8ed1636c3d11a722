package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

// shownEvent is an event of a list as the API has it.
type shownEvent struct {
	ID        string     `json:"id"`
	Type      string     `json:"type"`
	Key       string     `json:"key"`
	Tenant    string     `json:"tenant"`
	CreatedAt *time.Time `json:"created_at"`
	State     string     `json:"state"`
	Delivered int64      `json:"delivered"`
	Pending   int64      `json:"pending"`
	Dead      int64      `json:"dead"`
}

func eventTable() table {
	return table{
		columns: []string{"created", "event", "type", "key", "tenant", "state", "delivered", "pending", "dead"},
		cells: row(func(v shownEvent) []string {
			return []string{
				at(v.CreatedAt), v.ID, v.Type, v.Key, v.Tenant, v.State, number(v.Delivered), number(v.Pending), number(v.Dead),
			}
		}),
	}
}

func newEventsCommand(a *app) *cobra.Command {
	var api apiFlags
	var by filters
	cmd := &cobra.Command{
		Use:   "events [EVENT]",
		Short: "List events and what became of them, or show one",
		Long: `List events, newest first, each with what became of it: those of the outbox table, then those that were attempted and whose row is
gone. With EVENT, its id, show that one with its deliveries and attempts. ` + asks,
		Example: `  tailpost events --key order-42
  tailpost events --search order=42
  tailpost events --type 'order.*' --since 2026-03-14T00:00:00Z --json
  tailpost events 0198c7a2-7f3e-7c1e-9f6e-8f0d5a4b3c21`,
		Args: args(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			query := by.query()
			if len(args) == 1 && (len(query) > 0 || cmd.Flags().Changed("limit")) {
				return usagef(cmd.CommandPath(), "an id names one event: leave the filters out")
			}
			c, err := api.client(cmd.Context(), a, cmd.CommandPath())
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return printPages(cmd.Context(), a, c, "/v1/events", query, by.limit, eventTable(), api.asJSON)
			}
			answer, err := c.ask(cmd.Context(), http.MethodGet, "/v1/events/"+url.PathEscape(args[0]), nil, nil)
			if err != nil {
				return err
			}
			if api.asJSON {
				return printRaw(a, answer)
			}
			return printEvent(a, answer)
		},
	}
	api.register(cmd)
	by.registerSearch(cmd)
	by.register(
		cmd, [3]string{"key", "key", "only with this ordering `key`"},
		[3]string{"type", "type", "only of this `type`, or of those that a pattern names (order.*)"},
		[3]string{"tenant", "tenant", "only of this `tenant`"},
		[3]string{"since", "since", "only from this `time` on (RFC 3339, or how long ago: 2h)"}, [3]string{"until", "until", "only before this `time` (RFC 3339, or how long ago: 2h)"},
	)
	return cmd
}

// printEvent shows one event: what it is, what waits, and what was attempted.
func printEvent(a *app, answer json.RawMessage) error {
	var e struct {
		shownEvent

		Deliveries []json.RawMessage `json:"deliveries"`
		Attempts   []json.RawMessage `json:"attempts"`
	}
	if err := json.Unmarshal(answer, &e); err != nil {
		return fmt.Errorf("read the API's answer: %w", err)
	}
	for _, line := range [][2]string{{"event", e.ID}, {"type", e.Type}, {"key", e.Key}, {"tenant", e.Tenant}, {"created", at(e.CreatedAt)}} {
		if line[1] == "" {
			continue
		}
		if err := a.printf("%-9s %s\n", line[0], printable(line[1], maxPreview)); err != nil {
			return err
		}
	}
	for _, part := range []struct {
		table   table
		entries []json.RawMessage
	}{{deliveryTable(), e.Deliveries}, {attemptTable(), e.Attempts}} {
		if len(part.entries) == 0 {
			continue
		}
		if err := a.printf("\n"); err != nil {
			return err
		}
		rows := part.table.begin(a)
		for _, entry := range part.entries {
			if err := rows.add(entry); err != nil {
				return err
			}
		}
		if err := rows.end(); err != nil {
			return err
		}
	}
	return nil
}
