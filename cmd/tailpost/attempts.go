package main

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// shownAttempt is an attempt as the API has it.
type shownAttempt struct {
	EventID     string    `json:"event_id"`
	EventType   string    `json:"event_type"`
	EndpointID  string    `json:"endpoint_id"`
	Number      int       `json:"number"`
	Trigger     string    `json:"trigger"`
	Outcome     string    `json:"outcome"`
	StatusCode  int       `json:"status_code"`
	Error       string    `json:"error"`
	DurationMS  float64   `json:"duration_ms"`
	AttemptedAt time.Time `json:"attempted_at"`
}

func attemptTable() table {
	return table{
		columns: []string{"at", "event", "type", "endpoint", "attempt", "outcome", "status", "ms", "error"},
		cells: row(func(v shownAttempt) []string {
			return []string{
				at(&v.AttemptedAt), v.EventID, v.EventType, v.EndpointID, strconv.Itoa(v.Number), v.Outcome, status(v.StatusCode),
				strconv.FormatFloat(v.DurationMS, 'f', 0, 64), v.Error,
			}
		}),
	}
}

// status shows an HTTP status; nothing for none.
func status(code int) string {
	if code == 0 {
		return ""
	}
	return strconv.Itoa(code)
}

func newAttemptsCommand(a *app) *cobra.Command {
	var api apiFlags
	var by filters
	var following bool
	cmd := &cobra.Command{
		Use:   "attempts",
		Short: "List attempts, newest first, or follow them",
		Long: `List the requests that were made, newest first; with --follow those that are recorded from now on, until the command is
interrupted. More than 50 a second are not shown one by one. ` + asks,
		Example: `  tailpost attempts --endpoint erp --outcome dead
  tailpost attempts --follow --outcome retry
  tailpost attempts --event 0198c7a2-7f3e-7c1e-9f6e-8f0d5a4b3c21 --json | jq .response_body`,
		Args: args(0, 0),
		RunE: api.run(a, func(cmd *cobra.Command, c *client, _ []string) error {
			if following {
				for _, flag := range []string{"since", "until", "limit"} {
					if cmd.Flags().Changed(flag) {
						return usagef(cmd.CommandPath(), "--%s: what is followed begins now and has no end: leave it out", flag)
					}
				}
				return (&follower{app: a, client: c, query: by.query(), asJSON: api.asJSON, pause: followPause}).run(cmd.Context())
			}
			return printPages(cmd.Context(), a, c, "/v1/attempts", by.query(), by.limit, attemptTable(), api.asJSON)
		}),
	}
	api.register(cmd)
	cmd.Flags().BoolVarP(&following, "follow", "f", false, "print attempts as they are recorded, until interrupted")
	by.registerSearch(cmd)
	by.register(
		cmd, [3]string{"endpoint", "endpoint_id", "only of this `endpoint`"}, [3]string{"event", "event_id", "only of this `event`"},
		[3]string{"type", "event_type", "only of events of this `type`"}, [3]string{"tenant", "tenant", "only of this `tenant`'s events"},
		[3]string{"request", "request_id", "only those of this `request` with several events"},
		[3]string{"outcome", "outcome", "only with this `outcome`: delivered, retry, dead"},
		[3]string{"status", "status_class", "only with a status of this `class`: 2xx, 3xx, 4xx, 5xx"},
		[3]string{"since", "since", "only from this `time` on (RFC 3339, or how long ago: 2h)"}, [3]string{"until", "until", "only before this `time` (RFC 3339, or how long ago: 2h)"},
	)
	return cmd
}
