package ledger

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
)

const recordedSQL = `
SELECT event_id, endpoint_id
FROM tailpost.attempt
WHERE commit_lsn >= @from::text::pg_lsn
  AND outcome IN ('delivered', 'dead')
  AND attempted_at >= COALESCE((SELECT r.moved_at - interval '1 hour' FROM tailpost.relay AS r WHERE r.slot = @slot), '-infinity')
UNION ALL
SELECT event_id, endpoint_id
FROM tailpost.delivery
WHERE commit_lsn >= @from::text::pg_lsn`

// Recorded returns the deliveries of events that committed at or after from and are settled: they
// have a final attempt, or a row in the queue. A relay that starts streaming at from skips them
// once. Attempts of long before the database moved to this cluster are left out: their positions
// may all be higher than from, and they are many.
func (l *Ledger) Recorded(ctx context.Context, slot string, from outbox.LSN) (map[outbox.Pair]struct{}, error) {
	var pairs map[outbox.Pair]struct{}
	err := l.link.Run(ctx, "load what is recorded", func(ctx context.Context, conn *pgx.Conn) error {
		pairs = make(map[outbox.Pair]struct{})
		endpoints := make(map[string]string) // one copy of each id instead of one a row
		rows, err := conn.Query(ctx, recordedSQL, pgx.NamedArgs{"slot": slot, "from": from.String()})
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			raw := rows.RawValues()
			endpoint, ok := endpoints[string(raw[1])]
			if !ok {
				endpoint = string(raw[1])
				endpoints[endpoint] = endpoint
			}
			pairs[outbox.Pair{EventID: string(raw[0]), EndpointID: endpoint}] = struct{}{}
		}
		return rows.Err()
	})
	return pairs, err
}

// Check reports whether this binary can work with the schema and with the outbox table, and what it
// had better have.
func (l *Ledger) Check(ctx context.Context, m outbox.Mapping) (warnings []string, err error) {
	err = l.link.Run(ctx, "check the database", func(ctx context.Context, conn *pgx.Conn) (err error) {
		if err := schema.Check(ctx, conn); err != nil {
			return err
		}
		if m == (outbox.Mapping{}) {
			return nil
		}
		warnings, err = schema.CheckTable(ctx, conn, m)
		return err
	})
	return warnings, err
}
