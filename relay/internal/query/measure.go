package query

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Measures are what the database tells of a slot and its queues in numbers.
type Measures struct {
	Now           time.Time  // by the database's clock
	Settled       uint64     // LSN; 0: the slot was never held
	SettledAt     *time.Time // commit time of the last settled transaction; nil: not known
	SlotActive    bool       // a relay streams from it
	LagBytes      int64      // WAL that the slot has not confirmed
	RetainedBytes int64      // WAL that the server keeps for the slot
	Gaps          int64      // ever found
	Queues        []QueueLength
	Gone          []string // of the endpoints that were asked about: those that are there no more
}

// QueueLength is how much of an endpoint is not delivered.
type QueueLength struct {
	EndpointID    string
	Pending, Dead int64
}

const measureSQL = `
SELECT clock_timestamp(), COALESCE(r.settled_lsn - '0/0'::pg_lsn, 0)::bigint, r.settled_at, COALESCE(s.active, false),
       CASE WHEN pg_is_in_recovery() THEN 0 ELSE COALESCE(pg_wal_lsn_diff(pg_current_wal_lsn(), s.confirmed_flush_lsn), 0) END::bigint,
       CASE WHEN pg_is_in_recovery() THEN 0 ELSE COALESCE(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn), 0) END::bigint,
       (SELECT count(*) FROM tailpost.gap AS g WHERE g.slot = q.slot)
FROM (SELECT @slot::text AS slot) AS q
LEFT JOIN tailpost.relay AS r ON r.slot = q.slot
LEFT JOIN pg_catalog.pg_replication_slots AS s ON s.slot_name = q.slot AND s.database = current_database()`

const queueLengthsSQL = `
SELECT endpoint_id, count(*) FILTER (WHERE state = 'pending') AS pending, count(*) FILTER (WHERE state = 'dead') AS dead
FROM tailpost.delivery
GROUP BY endpoint_id`

const goneSQL = `
SELECT k.id
FROM unnest(@known::text[]) AS k (id)
WHERE NOT EXISTS (
    SELECT 1
    FROM tailpost.endpoint AS e
    WHERE e.id = k.id
)`

// Measure reads the measures of a slot, and which of the known endpoints are gone.
func (s *Store) Measure(ctx context.Context, slot string, known []string) (m Measures, err error) {
	err = s.read(ctx, "measure the queues", func(ctx context.Context, tx pgx.Tx) error {
		var settled int64
		err := tx.QueryRow(ctx, measureSQL, pgx.NamedArgs{"slot": slot}).Scan(
			&m.Now, &settled, &m.SettledAt, &m.SlotActive, &m.LagBytes, &m.RetainedBytes, &m.Gaps)
		if err != nil {
			return err
		}
		m.Settled = uint64(max(settled, 0))
		if m.Queues, err = many(ctx, tx, queueLengthsSQL, pgx.NamedArgs{}, pgx.RowToStructByPos[QueueLength]); err != nil {
			return err
		}
		m.Gone, err = many(ctx, tx, goneSQL, pgx.NamedArgs{"known": append([]string{}, known...)}, pgx.RowTo[string])
		return err
	})
	return m, err
}
