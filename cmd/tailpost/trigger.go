package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/outbox/schema"
)

// triggerFlags are the parts of the event, and how its row is written.
type triggerFlags struct {
	id, key, tenant string
	data            string
	headers         []string
	databaseID      bool
	bytea           bool
	asJSON          bool
}

// triggerResult is what the command prints as JSON.
type triggerResult struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

func newTriggerCommand(a *app) *cobra.Command {
	var f triggerFlags
	cmd := &cobra.Command{
		Use:   "trigger TYPE",
		Short: "Insert an event",
		Long: `Insert an event into the outbox table, in a transaction of its own, as an application would; where the configuration has no table, emit it
as a logical message. Prints the event's id.`,
		Example: `  tailpost trigger order.created --data '{"id": 1}' --key order-1 --tenant acme --header source=shop
  tailpost trigger order.created --data @order.json
  generate-order | tailpost trigger order.created --data -`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			event, err := f.event(a, cmd.CommandPath(), args[0])
			if err != nil {
				return err
			}
			cfg, err := a.loadDatabase()
			if err != nil {
				return err
			}
			var ids []string
			err = withDatabase(cmd.Context(), cfg.Database, func(conn *pgx.Conn) error {
				return pgx.BeginFunc(cmd.Context(), conn, func(tx pgx.Tx) (err error) {
					ids, err = f.write(cmd.Context(), tx, cfg, event)
					return err
				})
			})
			if err != nil {
				return triggerHint(err)
			}
			if f.asJSON {
				return a.printJSON(triggerResult{ids[0], event.Type})
			}
			return a.printf("%s\n", ids[0])
		},
	}
	cmd.Flags().StringVarP(&f.data, "data", "d", "{}", "payload as `JSON`, @file, or - for stdin")
	cmd.Flags().StringVar(&f.key, "key", "", "ordering `key`")
	cmd.Flags().StringVar(&f.tenant, "tenant", "", "`tenant` the event belongs to")
	cmd.Flags().StringArrayVar(&f.headers, "header", nil, "header of the event as `name=value`; may be repeated")
	cmd.Flags().StringVar(&f.id, "id", "", "`id` of the event (default: a new UUIDv7)")
	cmd.Flags().BoolVar(&f.databaseID, "database-id", false, "leave the id to the column's default, for example an identity column")
	cmd.Flags().BoolVar(&f.bytea, "bytea", false, "the payload column is of type bytea")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
	cmd.MarkFlagsMutuallyExclusive("id", "database-id")
	return cmd
}

// event makes the event that the flags describe.
func (f *triggerFlags) event(a *app, command, eventType string) (outbox.Event, error) {
	payload := []byte(f.data)
	var err error
	switch file, isFile := strings.CutPrefix(f.data, "@"); {
	case isFile:
		payload, err = a.readInput(file)
	case f.data == "-":
		payload, err = a.readInput("-")
	}
	if err != nil {
		return outbox.Event{}, err
	}
	if !json.Valid(payload) {
		return outbox.Event{}, usagef(command, "--data: not JSON")
	}
	e := outbox.Event{ID: f.id, Type: eventType, Key: f.key, Tenant: f.tenant, Payload: payload}
	for _, header := range f.headers {
		name, value, ok := strings.Cut(header, "=")
		if !ok || name == "" {
			return outbox.Event{}, usagef(command, "--header: want name=value")
		}
		if e.Headers == nil {
			e.Headers = make(map[string]string, len(f.headers))
		}
		e.Headers[strings.ToLower(name)] = value
	}
	return e, nil
}

// write inserts or emits the event and returns its id.
func (f *triggerFlags) write(ctx context.Context, tx pgx.Tx, cfg *config.Config, e outbox.Event) ([]string, error) {
	if cfg.Outbox.Mapping.IsZero() {
		return outbox.Emit(ctx, tx, cfg.Outbox.Messages, e)
	}
	var options []outbox.WriterOption
	if f.databaseID {
		options = append(options, outbox.WithDatabaseIDs())
	}
	if f.bytea {
		options = append(options, outbox.WithByteaPayload())
	}
	mapping, err := schema.Fit(ctx, tx, cfg.Outbox.Mapping)
	if err != nil {
		return nil, err
	}
	w, err := outbox.NewWriter(mapping, options...)
	if err != nil {
		return nil, err
	}
	return w.Insert(ctx, tx, e)
}

// triggerHint adds to what Postgres says about the row what the user can do about it.
func triggerHint(err error) error {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return err
	}
	// The detail and the context of pgErr would show values of the row; its text does not.
	err = fmt.Errorf("insert the event: %s (SQLSTATE %s)", pgErr.Message, pgErr.Code)
	switch pgErr.Code {
	case pglink.UndefinedTable:
		return hint(err, "tailpost migrate")
	case pglink.InvalidText, pglink.GeneratedAlways:
		return hint(err, "--id with an id of the column's type, --database-id if the column makes its own, --bytea if the payload column is bytea")
	case pglink.UniqueViolation:
		return hint(err, "another --id")
	case pglink.InsufficientPrivilege:
		return hint(err, "a role that may write events (tailpost migrate --print has one)")
	}
	return err
}
