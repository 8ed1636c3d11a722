package query

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox/schema"
)

// Measures are the numbers of a slot and its queues, read from the database.
type Measures struct {
	Now           time.Time  // by the database's clock
	Settled       uint64     // LSN, of the partition that is behind most; 0: the slot was never held
	SettledAt     *time.Time // commit time of the last settled transaction there; nil: not known
	AuditedAt     *time.Time // when the last audit that ended began, or the slot was first taken; nil: never
	SlotActive    bool       // a relay streams from it
	LagBytes      int64      // WAL that the slot has not confirmed
	RetainedBytes int64      // WAL that the server keeps for the slot
	SafeBytes     *int64     // WAL that may be written before the slot is lost; nil: there is no limit
	Gaps          int64      // ever found
	Healed        int64      // events that these gaps had lost
	// Written is the WAL of the sessions of the slot's relays that are connected; nil: the server
	// does not say (before Postgres 18).
	Written    []Written
	Partitions []Partition // of a fan-out; without one there are none
	Queues     []QueueLength
	Reasons    []ReasonCount
	Gone       []string // of the endpoints that were asked about: those that are there no more
}

const measureSQL = `
SELECT clock_timestamp(), COALESCE(` + settledSQL + ` - '0/0'::pg_lsn, 0)::bigint, ` + settledAtSQL + `, GREATEST(r.audited_at, r.started_at),
       COALESCE(s.active, false),
       CASE WHEN pg_is_in_recovery() THEN 0 ELSE COALESCE(pg_wal_lsn_diff(pg_current_wal_lsn(), s.confirmed_flush_lsn), 0) END::bigint,
       CASE WHEN pg_is_in_recovery() THEN 0 ELSE COALESCE(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn), 0) END::bigint,
       s.safe_wal_size, g.found, g.healed
FROM (SELECT @slot::text AS slot) AS q
CROSS JOIN LATERAL (
    SELECT count(*) AS found, COALESCE(sum(h.events), 0)::bigint AS healed
    FROM tailpost.gap AS h
    WHERE h.slot = q.slot
) AS g
LEFT JOIN tailpost.relay AS r ON r.slot = q.slot
LEFT JOIN pg_catalog.pg_replication_slots AS s ON s.slot_name = q.slot AND s.database = current_database()`

// Session is a connection to the database.
type Session struct {
	PID     int32
	Started time.Time
}

// Written is what a session has written.
type Written struct {
	Session

	Bytes int64 // of WAL
}

// countsSQL finds out whether the server has the function of writtenSQL, as Postgres 18 has: a
// statement that names it fails on any other.
const countsSQL = "SELECT to_regprocedure('pg_catalog.pg_stat_get_backend_wal(integer)') IS NOT NULL"

const writtenSQL = `
SELECT a.pid, a.backend_start, w.wal_bytes::bigint
FROM pg_catalog.pg_stat_activity AS a
CROSS JOIN LATERAL pg_catalog.pg_stat_get_backend_wal(a.pid) AS w
WHERE a.datname = current_database()
  AND a.usename = current_user
  AND a.application_name = 'tailpost ' || @slot
  AND a.backend_type = 'client backend'`

const goneSQL = `
SELECT k.id
FROM unnest(@known::text[]) AS k (id)
WHERE NOT EXISTS (
    SELECT 1
    FROM tailpost.endpoint AS e
    WHERE e.id = k.id
)`

// Measure reads the measures of a slot, and which of the known endpoints are gone. However much is
// queued, it reads no more than so much of it.
func (s health) Measure(ctx context.Context, slot string, known []string) (m Measures, err error) {
	err = s.read(ctx, "measure the queues", func(ctx context.Context, tx pgx.Tx) error {
		m = Measures{}
		var settled int64
		err := tx.QueryRow(ctx, measureSQL, pgx.NamedArgs{"slot": slot}).Scan(&m.Now, &settled, &m.SettledAt, &m.AuditedAt,
			&m.SlotActive, &m.LagBytes, &m.RetainedBytes, &m.SafeBytes, &m.Gaps, &m.Healed)
		if err != nil {
			return err
		}
		m.Settled = uint64(max(settled, 0))
		if m.Partitions, err = readPartitions(ctx, tx, slot); err != nil {
			return err
		}
		if m.Queues, m.Reasons, err = readQueues(ctx, tx); err != nil {
			return err
		}
		if m.Written, err = readWritten(ctx, tx, slot); err != nil {
			return err
		}
		m.Gone, err = many(ctx, tx, goneSQL, pgx.NamedArgs{"known": append([]string{}, known...)}, pgx.RowTo[string])
		return err
	})
	return m, err
}

// readWritten reads what the sessions of a slot's relays have written, where the server says it.
func readWritten(ctx context.Context, tx pgx.Tx, slot string) ([]Written, error) {
	var counts bool
	if err := tx.QueryRow(ctx, countsSQL).Scan(&counts); err != nil || !counts {
		return nil, err
	}
	all, err := many(ctx, tx, writtenSQL, pgx.NamedArgs{"slot": slot}, func(row pgx.CollectableRow) (w Written, err error) {
		err = row.Scan(&w.PID, &w.Started, &w.Bytes)
		return w, err
	})
	if all == nil {
		all = []Written{}
	}
	return all, err
}

// Sizes reads what Tailpost's tables and the outbox table take. Attempts are kept as long as
// retention says, 0 or less for ever.
func (s health) Sizes(ctx context.Context, retention time.Duration, now time.Time) (sizes schema.Sizes, err error) {
	err = s.read(ctx, "measure the tables", func(ctx context.Context, tx pgx.Tx) (err error) {
		sizes, err = schema.MeasureSizes(ctx, tx, s.mapping, retention, now)
		return err
	})
	return sizes, err
}
