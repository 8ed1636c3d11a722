package query

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tailpost/tailpost/outbox/pglink"
)

const recordedUnderSQL = `
SELECT EXISTS (SELECT FROM tailpost.delivery WHERE event_id = @event)
    OR EXISTS (SELECT FROM tailpost.attempt WHERE event_id = @event)`

// EventID returns the id of an event as it is on record: as the type of the outbox table's column
// writes it, which may have several spellings of one value. An id that is on record as it is, and
// one that is no value of that type, stay as they are.
func (s events) EventID(ctx context.Context, id string) (string, error) {
	if s.mapping.Table == "" {
		return id, nil
	}
	var own string
	err := s.read(ctx, "read the event's id", func(ctx context.Context, tx pgx.Tx) (err error) {
		if own, err = spelledOut(ctx, tx, s.mapping.ID, s.mapping.QuotedTable(), id); err != nil || own == id {
			return err
		}
		var recorded bool // a message may have such an id
		if err = tx.QueryRow(ctx, recordedUnderSQL, pgx.NamedArgs{"event": id}).Scan(&recorded); recorded {
			own = id
		}
		return err
	})
	return own, err
}

// spelledOut returns the id as its row has it, or, where that is gone, as the column's type does.
func spelledOut(ctx context.Context, tx pgx.Tx, column, table, id string) (own string, err error) {
	column = pgx.Identifier{column}.Sanitize()
	sql := "SELECT COALESCE((SELECT o." + column + " FROM " + table + " AS o WHERE o." + column + " = $1 LIMIT 1), $1)"
	own = id
	err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, sql, pgx.QueryResultFormats{pgx.TextFormatCode}, id)
		if err != nil {
			return err
		}
		defer rows.Close()
		if rows.Next() && rows.RawValues()[0] != nil {
			own = string(rows.RawValues()[0])
			if rows.FieldDescriptions()[0].DataTypeOID == pgtype.BPCharOID {
				own = strings.TrimRight(own, " ") // as events do
			}
		}
		rows.Close()
		return rows.Err()
	})
	if pglink.NoValue(err) || pglink.Is(err, pglink.InsufficientPrivilege, pglink.UndefinedTable) {
		return id, nil // the id is that of a message, or what there is has to be found without the table
	}
	if err != nil {
		err = fmt.Errorf("read the id: %w", err)
	}
	return own, err
}
