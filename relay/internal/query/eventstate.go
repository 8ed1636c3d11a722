package query

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// What became of an event.
const (
	EventDelivered = "delivered" // to every endpoint that is known to want it
	EventPending   = "pending"   // to one of them not yet
	EventDead      = "dead"      // to one of them given up
	EventDiscarded = "discarded" // by a person, or with its endpoint
	EventUnmatched = "unmatched" // no endpoint wanted it
	EventNew       = "new"       // the relay has not come to it
)

// EventState sums up an event's deliveries, over the endpoints that the caller may see.
type EventState struct {
	State string
	// Endpoints to which it was delivered, waits to be, and was given up. Of an event of very many,
	// the first thousand are looked at.
	Delivered, Pending, Dead int64
	LastAttemptAt            time.Time // zero: none
}

// caughtUpSQL reports whether a relay has settled all that is committed: its slot has let go of all
// of the server's log, and every partition has come that far, if there are any. Of events that
// nobody wants the relay records nothing, so that on an idle server the position that it recorded
// last may be from before them.
const caughtUpSQL = `
SELECT CASE WHEN pg_is_in_recovery() THEN false ELSE EXISTS (
           SELECT
           FROM tailpost.relay AS r
           JOIN pg_catalog.pg_replication_slots AS s ON s.slot_name = r.slot AND s.database = current_database()
           WHERE s.confirmed_flush_lsn >= pg_current_wal_insert_lsn()
             AND (r.partitions = 0 OR ` + settledSQL + ` >= s.confirmed_flush_lsn)
       ) END`

// statesSQL sums up what became of events. Those that left no trace matched nothing, unless they
// are newer than what is settled, and than what an audit found settled.
const statesSQL = `
SELECT u.id, COALESCE(a.delivered, 0), COALESCE(a.attempts, 0), a.last, COALESCE(d.pending, 0), COALESCE(d.dead, 0),
       EXISTS (
           SELECT
           FROM tailpost.discarded AS x
           WHERE x.event_id = u.id
             AND (@tenant::text = '' OR EXISTS (SELECT FROM tailpost.endpoint AS e WHERE e.id = x.endpoint_id AND e.tenant = @tenant))
       ),
       @caught_up OR COALESCE(u.created_at < (
           SELECT max(GREATEST(` + allSettledAtSQL + `, r.audited_at))
           FROM tailpost.relay AS r
           WHERE r.partition_of IS NULL
       ), false)
FROM unnest(@ids::text[], @created::timestamptz[]) AS u (id, created_at)
LEFT JOIN LATERAL (
    SELECT count(DISTINCT b.endpoint_id) FILTER (WHERE b.outcome = 'delivered') AS delivered, count(*) AS attempts,
           max(b.attempted_at) AS last
    FROM (
        SELECT a.endpoint_id, a.outcome, a.attempted_at
        FROM tailpost.attempt AS a
        WHERE a.event_id = u.id
          AND a.trigger <> 'test'
          AND (@tenant::text = '' OR EXISTS (SELECT FROM tailpost.endpoint AS e WHERE e.id = a.endpoint_id AND e.tenant = @tenant))
        LIMIT 1000
    ) AS b
) AS a ON true
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE c.state = 'pending') AS pending, count(*) FILTER (WHERE c.state = 'dead') AS dead
    FROM (
        SELECT d.state
        FROM tailpost.delivery AS d
        WHERE d.event_id = u.id
          AND (@tenant::text = '' OR EXISTS (SELECT FROM tailpost.endpoint AS e WHERE e.id = d.endpoint_id AND e.tenant = @tenant))
        LIMIT 1000
    ) AS c
) AS d ON true`

// plannerSQL undoes what pages set for the rest of their transaction.
const plannerSQL = `
SELECT set_config('enable_seqscan', 'on', true), set_config('enable_indexscan', 'on', true), set_config('enable_sort', 'on', true),
       set_config('enable_bitmapscan', 'on', true), set_config('statement_timeout', '` + statementTimeout + `', true)`

// EventStates fills in what became of events.
func (s events) EventStates(ctx context.Context, tenant string, events []ListedEvent) error {
	return s.read(ctx, "read what became of events", func(ctx context.Context, tx pgx.Tx) error {
		return readStates(ctx, tx, tenant, events)
	})
}

// readStates fills in what became of events.
func readStates(ctx context.Context, tx pgx.Tx, tenant string, events []ListedEvent) error {
	if len(events) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, plannerSQL); err != nil {
		return err
	}
	// Asked before what is recorded: that is there by then for all that is settled.
	var caughtUp bool
	if err := tx.QueryRow(ctx, caughtUpSQL).Scan(&caughtUp); err != nil {
		return err
	}
	ids, created := make([]string, len(events)), make([]*time.Time, len(events))
	at := make(map[string]*ListedEvent, len(events))
	for i := range events {
		e := &events[i]
		ids[i], created[i], at[e.ID] = e.ID, timeOrNull(e.CreatedAt), e
	}
	rows, err := tx.Query(ctx, statesSQL, pgx.NamedArgs{"ids": ids, "created": created, "tenant": tenant, "caught_up": caughtUp})
	if err != nil {
		return err
	}
	var id string
	var state EventState
	var attempts int64
	var last *time.Time
	var discarded, settled bool
	_, err = pgx.ForEachRow(rows, []any{&id, &state.Delivered, &attempts, &last, &state.Pending, &state.Dead, &discarded, &settled}, func() error {
		e := at[id]
		e.EventState = state
		if last != nil {
			e.LastAttemptAt = last.UTC()
		}
		e.State = stateOf(&state, attempts > 0 || discarded, settled)
		return nil
	})
	return err
}

func stateOf(s *EventState, traced, settled bool) string {
	switch {
	case s.Dead > 0:
		return EventDead
	case s.Pending > 0:
		return EventPending
	case s.Delivered > 0:
		return EventDelivered
	case traced:
		return EventDiscarded
	case settled:
		return EventUnmatched
	}
	return EventNew
}

// readableTime is a time of the application's as RFC 3339 can write it; zero: there is none, it is
// infinite, or its year is beyond 9999.
func readableTime(t pgtype.Timestamptz) time.Time {
	if !t.Valid || t.InfinityModifier != pgtype.Finite {
		return time.Time{}
	}
	at := t.Time.UTC()
	if at.Year() < 1 || at.Year() > 9999 {
		return time.Time{}
	}
	return at
}
