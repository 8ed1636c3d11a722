package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

func newExplainCommand(a *app) *cobra.Command {
	var api apiFlags
	var endpoint string
	cmd := &cobra.Command{
		Use:   "explain EVENT",
		Short: "Say why endpoints got an event, or did not",
		Long: `Say for each endpoint why it got an event, or why not: by what is on record and, where nothing is, by the endpoint's settings of now.
` + asks,
		Args: args(1, 1),
		RunE: api.run(a, func(cmd *cobra.Command, c *client, args []string) error {
			query := make(url.Values)
			if endpoint != "" {
				query.Set("endpoint", endpoint)
			}
			return explain(a, cmd, c, args[0], query, api.asJSON)
		}),
	}
	api.register(cmd)
	cmd.Flags().StringVar(&endpoint, "endpoint", "", "only for this `endpoint`")
	return cmd
}

// explain prints a page of endpoints after the other.
func explain(a *app, cmd *cobra.Command, c *client, event string, query url.Values, asJSON bool) error {
	for {
		answer, err := c.ask(cmd.Context(), http.MethodGet, "/v1/events/"+url.PathEscape(event)+"/explain", query, nil)
		if err != nil {
			return err
		}
		var page struct {
			EventType string `json:"event_type"`
			Endpoints []struct {
				EndpointID string `json:"endpoint_id"`
				Verdict    string `json:"verdict"`
				Sentence   string `json:"sentence"`
			} `json:"endpoints"`
			NextCursor string `json:"next_cursor"`
		}
		if err := json.Unmarshal(answer, &page); err != nil {
			return fmt.Errorf("read the API's answer: %w", err)
		}
		if asJSON {
			if err := printRaw(a, answer); err != nil {
				return err
			}
		}
		for _, e := range page.Endpoints {
			if asJSON {
				break
			}
			if err := a.printf("%s: %s. %s\n", printable(e.EndpointID, maxPreview), printable(e.Verdict, maxPreview), printable(e.Sentence, maxPreview*4)); err != nil {
				return err
			}
		}
		if page.NextCursor == "" {
			return nil
		}
		query.Set("cursor", page.NextCursor)
	}
}
