package main

import (
	"cmp"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// shownDelivery is an unfinished delivery as the API has it.
type shownDelivery struct {
	EventID       string     `json:"event_id"`
	EventType     string     `json:"event_type"`
	EndpointID    string     `json:"endpoint_id"`
	State         string     `json:"state"`
	Reason        string     `json:"reason"`
	Attempts      int        `json:"attempts"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
	LastStatus    int        `json:"last_status"`
	LastError     string     `json:"last_error"`
}

func deliveryTable() table {
	return table{
		columns: []string{"event", "type", "endpoint", "state", "reason", "attempts", "next", "last"},
		cells: row(func(v shownDelivery) []string {
			return []string{
				v.EventID, v.EventType, v.EndpointID, v.State, v.Reason, strconv.Itoa(v.Attempts), at(v.NextAttemptAt),
				lastOf(&v),
			}
		}),
	}
}

// lastOf says what came of the last attempt: an error tells why an answer did not count.
func lastOf(v *shownDelivery) string {
	if v.LastStatus != 0 && v.LastError != "" {
		return status(v.LastStatus) + ": " + v.LastError
	}
	return cmp.Or(status(v.LastStatus), v.LastError)
}

func newDeliveriesCommand(a *app) *cobra.Command {
	var api apiFlags
	var by filters
	cmd := &cobra.Command{
		Use:   "deliveries",
		Short: "List what is not delivered, and why",
		Long:  "List the deliveries that are not made yet, or were given up, with the reason. " + asks,
		Example: `  tailpost deliveries --state dead
  tailpost deliveries --endpoint erp --limit 1000 --json | jq -r .event_id`,
		Args: args(0, 0),
		RunE: api.run(a, func(cmd *cobra.Command, c *client, _ []string) error {
			return printPages(cmd.Context(), a, c, "/v1/deliveries", by.query(), by.limit, deliveryTable(), api.asJSON)
		}),
	}
	api.register(cmd)
	by.register(
		cmd, [3]string{"state", "state", "only in this `state`: pending, dead"}, [3]string{"reason", "reason", "only for this `reason`"},
		[3]string{"endpoint", "endpoint_id", "only to this `endpoint`"}, [3]string{"event", "event_id", "only of this `event`"},
		[3]string{"type", "event_type", "only of events of this `type`"}, [3]string{"tenant", "tenant", "only of this `tenant`'s events"},
		[3]string{"since", "since", "only of events from this `time` on (RFC 3339, or how long ago: 2h)"}, [3]string{"until", "until", "only of events before this `time` (RFC 3339, or how long ago: 2h)"},
	)
	return cmd
}
