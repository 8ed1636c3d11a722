package query

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// Completeness tells whether anything is missing.
type Completeness struct {
	Events []ListedEvent // the newest outbox rows, newest first
	Whole  bool          // they are all there are
	Listed bool          // there is a table that can be listed
	// Unaccounted are those that left no trace although they are settled and somebody wants them.
	Unaccounted []string

	Audit Audit
	Gaps  []Gap
	Found int64 // gaps ever found
	WAL   WAL
}

// Audit is how the audit stands.
type Audit struct {
	StartedAt *time.Time // rows from before are no business of the audit's
	AuditedAt *time.Time // rows from before were found settled
	SettledAt *time.Time // of the partition that is behind most
	Due       string     // why one is due; empty: none is
	DueSince  *time.Time
}

// Gap is a row of tailpost.gap.
type Gap struct {
	Why        string
	Since      *time.Time
	Events     int64
	Deliveries int64
	Note       string
	DetectedAt time.Time
	At         time.Time
}

// WAL is the write-ahead log that the slot keeps.
type WAL struct {
	Retained int64
	Safe     *int64 // may be written before the slot is lost; nil: there is no limit
	Position int64  // where it is now
	Average  float64
}

const auditSQL = `
SELECT r.started_at, r.audited_at, ` + settledAtSQL + `, COALESCE(r.heal, ''), r.heal_at
FROM tailpost.relay AS r
WHERE r.slot = @slot`

const gapsSQL = `
SELECT why, since, events, deliveries, note, detected_at, at
FROM tailpost.gap
WHERE slot = @slot
ORDER BY at DESC, id DESC
LIMIT 20`

// walSQL has the average rate since the server's counters were reset.
const walSQL = `
SELECT CASE WHEN pg_is_in_recovery() THEN 0 ELSE COALESCE(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn), 0) END::bigint,
       s.safe_wal_size,
       CASE WHEN pg_is_in_recovery() THEN 0 ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') END::bigint,
       COALESCE((SELECT w.wal_bytes / NULLIF(extract(epoch FROM clock_timestamp() - w.stats_reset), 0) FROM pg_catalog.pg_stat_wal AS w), 0)::double precision
FROM (SELECT @slot::text AS slot) AS q
LEFT JOIN pg_catalog.pg_replication_slots AS s ON s.slot_name = q.slot AND s.database = current_database()`

const wantingSQL = endpointColumns + `
WHERE NOT (status = 'disabled' AND disabled_reason = @removed)
ORDER BY id`

// untracedBatch bounds the payloads that are read at once.
const untracedBatch = 20

// Wanting makes, of all endpoints and of the times since when they want what they want, what tells
// whether one wants an event.
type Wanting func(endpoints []ledger.EndpointRow, since map[string]time.Time) func(*outbox.Event) bool

// Completeness reads how complete the record of a slot is, over the newest most outbox rows.
func (s health) Completeness(ctx context.Context, slot string, most int, wanting Wanting) (Completeness, error) {
	var c Completeness
	err := s.read(ctx, "look for what is missing", func(ctx context.Context, tx pgx.Tx) error {
		c = Completeness{}
		args := pgx.NamedArgs{"slot": slot, "removed": ledger.ReasonRemoved}
		audits, err := many(ctx, tx, auditSQL, args, pgx.RowToStructByPos[Audit])
		if err != nil {
			return err
		}
		if len(audits) > 0 {
			c.Audit = audits[0]
		}
		if c.Gaps, err = many(ctx, tx, gapsSQL, args, pgx.RowToStructByPos[Gap]); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM tailpost.gap WHERE slot = @slot", args).Scan(&c.Found); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, walSQL, args).Scan(&c.WAL.Retained, &c.WAL.Safe, &c.WAL.Position, &c.WAL.Average); err != nil {
			return err
		}
		return s.newestRows(ctx, tx, most, &c, wanting)
	})
	return c, err
}

// newestRows reads the newest outbox rows and what became of them.
func (s health) newestRows(ctx context.Context, tx pgx.Tx, most int, c *Completeness, wanting Wanting) error {
	list := eventList{tx: tx, q: EventQuery{RowsOnly: true, Limit: most}, until: time.Now().Add(recentTime)}
	if err := list.read(ctx, s.mapping); err != nil {
		return err
	}
	c.Events, c.Whole, c.Listed = list.page.Events, list.page.Next == nil, list.page.Order != "attempted_at"
	if err := readStates(ctx, tx, "", c.Events); err != nil {
		return err
	}
	var ids []string
	for i := range c.Events {
		if e := &c.Events[i]; e.State == EventUnmatched && (c.Audit.StartedAt == nil || !e.CreatedAt.Before(*c.Audit.StartedAt)) {
			ids = append(ids, e.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	endpoints, err := many(ctx, tx, wantingSQL, pgx.NamedArgs{"removed": ledger.ReasonRemoved}, scanEndpoint)
	if err != nil {
		return err
	}
	since, err := routedSince(ctx, tx)
	if err != nil {
		return err
	}
	wants := wanting(endpoints, since)
	for len(ids) > 0 {
		n := min(len(ids), untracedBatch)
		events, err := outboxRows(ctx, tx, &list.table, ids[:n])
		if err != nil {
			return err
		}
		for i := range events {
			if wants(&events[i]) {
				c.Unaccounted = append(c.Unaccounted, events[i].ID)
			}
		}
		ids = ids[n:]
	}
	return nil
}

func routedSince(ctx context.Context, tx pgx.Tx) (map[string]time.Time, error) {
	rows, err := tx.Query(ctx, "SELECT id, routed_since FROM tailpost.endpoint")
	if err != nil {
		return nil, err
	}
	since := make(map[string]time.Time)
	var id string
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &at}, func() error { since[id] = at; return nil })
	return since, err
}
