package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

// operation is work of the relay that takes long and that a person asked for: what the commands of
// replays and resends have in common.
type operation struct {
	name  string // replay, resend: the command
	path  string // of the API
	table table
	verb  string // what becomes of its entries
	done  func(*shownOperation) int64
}

// shownOperation is a replay or a resend as the API has it.
type shownOperation struct {
	ID         string    `json:"id"`
	EndpointID string    `json:"endpoint_id"`
	State      string    `json:"state"`
	Total      *int64    `json:"total"`
	Done       int64     `json:"done"`
	Queued     int64     `json:"queued"`
	Missing    *int64    `json:"missing"`
	Note       string    `json:"note"`
	Error      string    `json:"error"`
	CreatedAt  time.Time `json:"created_at"`
}

func (s *shownOperation) over() bool { return s.State != "pending" && s.State != "running" }

// known shows a number, or nothing where nobody knows it.
func known(n *int64) string {
	if n == nil {
		return ""
	}
	return number(*n)
}

// subcommands are those for what was begun.
func (o *operation) subcommands(a *app) []*cobra.Command {
	return []*cobra.Command{o.list(a), o.watch(a), o.cancel(a)}
}

func (o *operation) list(a *app) *cobra.Command {
	var api apiFlags
	var by filters
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List " + o.name + "s, newest first",
		Long:  "List " + o.name + "s, newest first. " + asks,
		Args:  args(0, 0),
		RunE: api.run(a, func(cmd *cobra.Command, c *client, _ []string) error {
			return printPages(cmd.Context(), a, c, o.path, by.query(), by.limit, o.table, api.asJSON)
		}),
	}
	api.register(cmd)
	by.register(
		cmd, [3]string{"endpoint", "endpoint_id", "only to this `endpoint`"},
		[3]string{"state", "state", "only in this `state`: pending, running, done, cancelled, failed"},
	)
	return cmd
}

func (o *operation) watch(a *app) *cobra.Command {
	var api apiFlags
	cmd := &cobra.Command{
		Use:   "watch ID",
		Short: "Follow a " + o.name + " to its end",
		Long: "Say on stderr how far a " + o.name + " is, at which rate it goes and how long it still takes, and print it when it is over. " + asks +
			" The exit code is 1 if it failed or was cancelled.",
		Args: args(1, 1),
		RunE: api.run(a, func(cmd *cobra.Command, c *client, args []string) error {
			return o.follow(cmd.Context(), a, c, args[0], api.asJSON)
		}),
	}
	api.register(cmd)
	return cmd
}

func (o *operation) cancel(a *app) *cobra.Command {
	var api apiFlags
	cmd := &cobra.Command{
		Use:   "cancel ID",
		Short: "Stop a " + o.name,
		Long:  "Stop a " + o.name + ". What it queued already is still delivered. " + asks,
		Args:  args(1, 1),
		RunE: api.run(a, func(cmd *cobra.Command, c *client, args []string) error {
			answer, err := c.ask(cmd.Context(), http.MethodPost, o.path+"/"+url.PathEscape(args[0])+"/cancel", nil, struct{}{})
			if err != nil {
				return err
			}
			return printEntry(a, o.table, answer, api.asJSON)
		}),
	}
	api.register(cmd)
	return cmd
}

// followEvery is how often it is looked how far an operation is.
const followEvery = time.Second

// follow says how far an operation is until it is over, and prints it then. An interrupt leaves it
// running.
func (o *operation) follow(ctx context.Context, a *app, c *client, id string, asJSON bool) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	var pace progress
	for {
		answer, err := c.ask(ctx, http.MethodGet, o.path+"/"+url.PathEscape(id), nil, nil)
		if ctx.Err() != nil {
			return o.left(id)
		}
		if err != nil {
			return err
		}
		var s shownOperation
		if err := json.Unmarshal(answer, &s); err != nil {
			return fmt.Errorf("read the API's answer: %w", err)
		}
		if s.over() {
			return o.end(a, &s, answer, asJSON)
		}
		if s.State == "pending" {
			a.note("tailpost: %s %s has not begun: a relay that delivers takes it up", o.name, printable(id, maxPreview))
		} else {
			a.note("tailpost: %s %s: %s", o.name, printable(id, maxPreview), pace.say(o.verb, o.done(&s), s.Total))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return o.left(id)
		}
	}
}

func (o *operation) left(id string) error {
	return hint(fmt.Errorf("%s %s goes on without being watched", o.name, id),
		fmt.Sprintf("tailpost %s watch %s, or tailpost %s cancel %s", o.name, id, o.name, id))
}

func (o *operation) end(a *app, s *shownOperation, answer json.RawMessage, asJSON bool) error {
	if err := printEntry(a, o.table, answer, asJSON); err != nil {
		return err
	}
	for _, text := range []string{s.Note, s.Error} {
		if text != "" {
			a.note("tailpost: %s", printable(text, maxPreview*4))
		}
	}
	if s.State != "done" {
		return &quietError{code: exitFailed}
	}
	return nil
}
