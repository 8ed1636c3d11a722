package main

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

// shownEndpoint is an endpoint as the API has it.
type shownEndpoint struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	URL    string   `json:"url"`
	Events []string `json:"events"`
	Status string   `json:"status"`
	Waits  bool     `json:"unverified"`
	Source string   `json:"source"`
	Tenant string   `json:"tenant"`
	Stats  struct {
		Successful int64 `json:"successful"`
		Failed     int64 `json:"failed"`
	} `json:"stats"`
}

func endpointTable() table {
	return table{
		columns: []string{"id", "name", "status", "source", "tenant", "events", "delivered", "failed", "url"},
		cells: row(func(v shownEndpoint) []string {
			if v.Waits {
				v.Status += ", unverified"
			}
			if v.Name == v.ID {
				v.Name = "" // as those of the configuration have it
			}
			return []string{
				v.ID, v.Name, v.Status, v.Source, v.Tenant, cmp.Or(strings.Join(v.Events, ","), "all"), number(v.Stats.Successful), number(v.Stats.Failed), v.URL,
			}
		}),
	}
}

func newEndpointsCommand(a *app) *cobra.Command {
	var api apiFlags
	var by filters
	cmd := &cobra.Command{
		Use:   "endpoints",
		Short: "List endpoints, newest first",
		Long:  "List the endpoints of the configuration and those made through the API. " + asks,
		Args:  args(0, 0),
		RunE: api.run(a, func(cmd *cobra.Command, c *client, _ []string) error {
			return printPages(cmd.Context(), a, c, "/v1/endpoints", by.query(), by.limit, endpointTable(), api.asJSON)
		}),
	}
	api.register(cmd)
	by.registerBool(cmd, "trouble", "trouble", "only those that are not active, or that fail since their last success")
	by.register(
		cmd, [3]string{"name", "name", "only those of this `name`, in capitals or not"}, [3]string{"status", "status", "only with this `status`: active, paused, disabled"},
		[3]string{"source", "source", "only from this `source`: config, api"}, [3]string{"tenant", "tenant", "only of this `tenant`"},
	)
	return cmd
}

// newEndpointAction makes a command that does something to one endpoint, and shows the endpoint as
// it is then.
func newEndpointAction(a *app, verb, short, long string) *cobra.Command {
	var api apiFlags
	cmd := &cobra.Command{
		Use:   verb + " ENDPOINT",
		Short: short,
		Long:  long,
		Args:  args(1, 1),
		RunE: api.run(a, func(cmd *cobra.Command, c *client, args []string) error {
			answer, err := c.ask(cmd.Context(), http.MethodPost, "/v1/endpoints/"+url.PathEscape(args[0])+"/"+verb, nil, struct{}{})
			if err != nil {
				return err
			}
			return printEntry(a, endpointTable(), answer, api.asJSON)
		}),
	}
	api.register(cmd)
	return cmd
}

// printEntry prints one entry: as the API has it, or as a table of one row.
func printEntry(a *app, t table, entry json.RawMessage, asJSON bool) error {
	if asJSON {
		return printRaw(a, entry)
	}
	rows := t.begin(a)
	if err := rows.add(entry); err != nil {
		return err
	}
	return rows.end()
}
