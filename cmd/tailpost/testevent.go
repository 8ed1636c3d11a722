package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

func newTestCommand(a *app) *cobra.Command {
	api := apiFlags{whole: true}
	var eventType string
	cmd := &cobra.Command{
		Use:   "test ENDPOINT",
		Short: "Send a test event to an endpoint",
		Long: `Send one signed request to an endpoint, whatever its status and subscriptions, and print the attempt. ` + asks + ` The exit
code is 1 if the receiver does not answer with 2xx.`,
		Args: args(1, 1),
		RunE: api.run(a, func(cmd *cobra.Command, c *client, args []string) error {
			body := make(map[string]string)
			if eventType != "" {
				body["type"] = eventType
			}
			answer, err := c.ask(cmd.Context(), http.MethodPost, "/v1/endpoints/"+url.PathEscape(args[0])+"/test", nil, body)
			if err != nil {
				return err
			}
			if err := printEntry(a, attemptTable(), answer, api.asJSON); err != nil {
				return err
			}
			var made shownAttempt
			if err := json.Unmarshal(answer, &made); err != nil {
				return fmt.Errorf("read the API's answer: %w", err)
			}
			if made.Outcome != "delivered" {
				return &quietError{code: exitFailed}
			}
			return nil
		}),
	}
	api.register(cmd)
	cmd.Flags().StringVar(&eventType, "type", "", "`type` of the event (default webhook.test)")
	return cmd
}
