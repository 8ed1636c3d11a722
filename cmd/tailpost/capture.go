package main

import (
	"github.com/spf13/cobra"

	"github.com/tailpost/tailpost/outbox/schema"
)

func newCaptureCommand(a *app) *cobra.Command {
	var (
		o  schema.CaptureOptions
		on []string
	)
	cmd := &cobra.Command{
		Use:   "capture TABLE",
		Short: "Print SQL that makes changes of a table events",
		Long: `Print SQL for triggers that insert a row into the outbox for each change of an existing table, in the
transaction of the change. For a start without a place in the application's code for the INSERT. Nothing is changed: run
what is printed with psql, or with your own migration tool. Run again, it replaces what it made; with --name a table has several
captures. The script begins with the statement that takes its triggers away again, and changes nothing where they could not write.

The event's payload is the row as JSON: the new one, and of a DELETE the one that was deleted.`,
		Example: `  tailpost capture orders --key id --type 'order.{op}' | psql "$DATABASE_URL"
  tailpost capture shop.orders --on update --when 'OLD.status IS DISTINCT FROM NEW.status' --type order.status_changed
  tailpost capture orders --on insert --name created --key id --type order.created
  tailpost capture orders --columns id,status,total --key id --tenant account_id --type 'order.{op}'`,
		Args: args(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := a.loadDatabase()
			if err != nil {
				return err
			}
			o.Mapping, o.Table = cfg.Outbox.Mapping, args[0]
			for _, op := range on {
				o.On = append(o.On, schema.Operation(op))
			}
			return schema.PrintCapture(a.stdout, o)
		},
	}
	cmd.Flags().StringSliceVar(&on, "on", nil, "`operations` that make events: insert, update, delete (default all)")
	cmd.Flags().StringVar(&o.When, "when", "", "SQL `condition` over NEW and OLD that a change must meet")
	cmd.Flags().StringVar(&o.Type, "type", "{table}.{op}", "`type` of the events; {op} and {table} stand for their names")
	cmd.Flags().StringSliceVar(&o.Columns, "columns", nil, "`columns` that the payload has (default all)")
	cmd.Flags().StringVar(&o.Name, "name", "", "`name` that tells this capture from others of the same table")
	cmd.Flags().StringVar(&o.Key, "key", "", "`column` with the event's ordering key")
	cmd.Flags().StringVar(&o.Tenant, "tenant", "", "`column` with the event's tenant")
	return cmd
}
