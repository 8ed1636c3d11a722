package ledger

import (
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
)

const recordedSQL = `
SELECT event_id, endpoint_id, commit_lsn::text
FROM tailpost.attempt
WHERE commit_lsn >= @from::text::pg_lsn
  AND outcome IN ('delivered', 'dead')
  AND attempted_at >= COALESCE((
          SELECT r.moved_at - interval '1 hour'
          FROM tailpost.relay AS r
          WHERE r.slot = COALESCE((SELECT p.partition_of FROM tailpost.relay AS p WHERE p.slot = @slot), @slot)
      ), '-infinity')
  AND (@events::text[] IS NULL OR event_id = ANY (@events))
UNION ALL
SELECT event_id, endpoint_id, commit_lsn::text
FROM tailpost.delivery
WHERE commit_lsn >= @from::text::pg_lsn
  AND (@events::text[] IS NULL OR event_id = ANY (@events))`

// MostRecorded is how many deliveries Recorded returns at most: some 15 MB of memory.
const MostRecorded = 100_000

// Recorded returns the deliveries of events that committed at or after from and are settled: they
// have a final attempt, or a row in the queue. A relay that starts streaming at from skips them
// once. Attempts of long before the database moved to this cluster are left out: their positions
// may all be higher than from, and they are many. The slot may be a partition's, whose slot says
// when that was; deliveries of other partitions are among what is returned.
//
// A crash within a giant transaction leaves more than anybody should keep in memory. Where there
// are more than most, none is returned, and until is the place up to which RecordedOf is to be
// asked instead.
func (l *Ledger) Recorded(ctx context.Context, slot string, from outbox.LSN, most int) (pairs map[outbox.Pair]struct{}, until outbox.LSN, err error) {
	return l.recorded(ctx, slot, from, nil, most)
}

// RecordedOf is Recorded of some events alone.
func (l *Ledger) RecordedOf(ctx context.Context, slot string, from outbox.LSN, events []string) (map[outbox.Pair]struct{}, error) {
	pairs, _, err := l.recorded(ctx, slot, from, events, math.MaxInt)
	return pairs, err
}

func (l *Ledger) recorded(ctx context.Context, slot string, from outbox.LSN, events []string, most int) (pairs map[outbox.Pair]struct{}, until outbox.LSN, err error) {
	err = l.link.Run(ctx, "load what is recorded", func(ctx context.Context, conn *pgx.Conn) error {
		pairs, until = make(map[outbox.Pair]struct{}), 0
		endpoints := make(map[string]string) // one copy of each id instead of one a row
		rows, err := conn.Query(ctx, recordedSQL, pgx.NamedArgs{"slot": slot, "from": from.String(), "events": events})
		if err != nil {
			return err
		}
		defer rows.Close()
		var last outbox.LSN // of all that was read
		for rows.Next() {
			raw := rows.RawValues()
			place, err := outbox.ParseLSN(string(raw[2]))
			if err != nil {
				return fmt.Errorf("read a place: %w", err)
			}
			last = max(last, place)
			if until != 0 {
				continue
			}
			endpoint, ok := endpoints[string(raw[1])]
			if !ok {
				endpoint = string(raw[1])
				endpoints[endpoint] = endpoint
			}
			pairs[outbox.Pair{EventID: string(raw[0]), EndpointID: endpoint}] = struct{}{}
			if len(pairs) > most {
				pairs, until = nil, last
			}
		}
		if until != 0 {
			until = last
		}
		return rows.Err()
	})
	return pairs, until, err
}

// Lacks returns the optional columns of a mapping that the outbox table does not have.
func (l *Ledger) Lacks(ctx context.Context, m outbox.Mapping) (columns []string, err error) {
	if m.IsZero() {
		return nil, nil
	}
	err = l.link.Run(ctx, "read the outbox table's columns", func(ctx context.Context, conn *pgx.Conn) (err error) {
		columns, err = schema.Lacks(ctx, conn, m)
		return err
	})
	return columns, err
}

// Check reports whether this binary can work with the outbox table, and what it had better have.
func (l *Ledger) Check(ctx context.Context, m outbox.Mapping) (warnings []string, err error) {
	if m.IsZero() {
		return nil, nil
	}
	err = l.link.Run(ctx, "check the outbox table", func(ctx context.Context, conn *pgx.Conn) (err error) {
		warnings, err = schema.CheckTable(ctx, conn, m)
		return err
	})
	return warnings, err
}
