package main

import (
	"fmt"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/tailpost/tailpost/relay"
)

// healResult is what the command prints as JSON.
type healResult struct {
	Slot string `json:"slot"`
	Due  string `json:"due"`
}

func newHealCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "heal",
		Short: "Let relays heal gaps again after there were too many",
		Long: `Let relays heal gaps again after one has stopped because there were more than three within an hour.

A gap is what the stream has missed: somebody dropped the slot or the publication, Postgres gave the slot up, the database was
restored. Relays find it in the outbox table and deliver it, but not for ever: the fourth within an hour ends them, and every
start after that, until the first is an hour old. Remove the cause, which table tailpost.gap tells, then run this once and start
the relays: gaps until now do not count any more.`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.loadDatabase()
			if err != nil {
				return err
			}
			due, err := relay.ClearGaps(cmd.Context(), cfg, zerolog.Nop())
			switch {
			case err != nil:
				return fmt.Errorf("heal: %w", err)
			case asJSON:
				return a.printJSON(healResult{cfg.Database.Slot, due})
			case due == "":
				return a.printf("gaps are healed again; none waits to be\n")
			}
			return a.printf("gaps are healed again; the relay that takes slot %s next heals this one: %s\n", cfg.Database.Slot, due)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
