package main

import (
	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox/schema"
)

func newMigrateCommand(a *app) *cobra.Command {
	var (
		printOnly bool
		o         schema.PrintOptions
	)
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Create or update the tables in your database",
		Long: `Create schema tailpost, or bring it to this version, and create the outbox table if it does not exist. Safe to run again, and by
several replicas at once. A database that is newer than this binary is left alone.

With --print nothing is changed: the same steps are printed as SQL for your own migration tool, followed by roles with the
least privileges.`,
		Example: `  tailpost migrate
  tailpost migrate --print > migrations/0042_tailpost.sql`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !printOnly {
				for _, name := range []string{"after", "relay-role", "application-role", "reader-role"} {
					if cmd.Flags().Changed(name) {
						return usagef(cmd.CommandPath(), "--%s: of use with --print only", name)
					}
				}
			}
			cfg, err := a.loadDatabase()
			if err != nil {
				return err
			}
			if printOnly {
				o.Mapping, o.Slot = cfg.Outbox.Mapping, cfg.Database.Slot
				return schema.Print(a.stdout, o)
			}
			return withDatabase(cmd.Context(), cfg.Database, func(conn *pgx.Conn) error { return migrate(a, cmd, conn, cfg) })
		},
	}
	cmd.Flags().BoolVar(&printOnly, "print", false, "print SQL, change nothing")
	cmd.Flags().IntVar(&o.AfterVersion, "after", 0, "print only the steps after schema `version`")
	cmd.Flags().StringVar(&o.Relay, "relay-role", "tailpost_relay", "role of the relay")
	cmd.Flags().StringVar(&o.Application, "application-role", "tailpost_application", "role that writes events")
	cmd.Flags().StringVar(&o.Reader, "reader-role", "tailpost_reader", "role for people")
	return cmd
}

func migrate(a *app, cmd *cobra.Command, conn *pgx.Conn, cfg *config.Config) error {
	done, err := schema.Migrate(cmd.Context(), conn, schema.MigrateOptions{Mapping: cfg.Outbox.Mapping})
	for _, step := range done.Applied {
		if err := a.printf("applied %04d_%s\n", step.Version, step.Name); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if done.OutboxCreated {
		if err := a.printf("created table %s\n", cfg.Outbox.Mapping.Table); err != nil {
			return err
		}
	}
	return a.printf("schema tailpost is at version %d\n", done.Version)
}
