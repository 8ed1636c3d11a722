package ledger

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/relay/internal/scan"
)

const (
	// MissingListed is how many missing events of a replay are kept; more are only counted. A
	// replay of a year would otherwise write as many rows as the year had events.
	MissingListed = 10_000
)

// replayMissingSQL writes missing events down. A second search leaves out those that the replay
// itself has queued before their rows went: they wait, or were attempted under its place; and those
// that the first one found.
const replayMissingSQL = `
INSERT INTO tailpost.replay_missing (replay_id, event_id, event_type, tenant, attempted_at, outcome)
SELECT @id, u.event_id, u.event_type, NULLIF(u.tenant, ''), u.attempted_at,
       COALESCE((SELECT (array_agg(a.outcome ORDER BY a.attempted_at DESC, a.number DESC))[1]
                 FROM tailpost.attempt AS a
                 WHERE a.event_id = u.event_id
                   AND a.endpoint_id || '' = @endpoint
                   AND a.trigger <> 'test'), u.outcome)
FROM unnest(@events::text[], @types::text[], @tenants::text[], @times::timestamptz[], @outcomes::text[])
    AS u (event_id, event_type, tenant, attempted_at, outcome)
WHERE NOT @again
   OR NOT EXISTS (
       SELECT
       FROM tailpost.delivery AS d
       WHERE d.event_id = u.event_id
         AND d.endpoint_id = @endpoint
   )
  AND NOT EXISTS (
       SELECT
       FROM tailpost.attempt AS a
       WHERE a.event_id = u.event_id
         AND a.endpoint_id || '' = @endpoint
         AND a.commit_lsn = @place::text::pg_lsn
   )
  AND NOT EXISTS (
       SELECT
       FROM tailpost.replay_missing AS m
       WHERE m.replay_id = @id
         AND m.event_id = u.event_id
   )
ORDER BY u.attempted_at, u.event_id
LIMIT @room
ON CONFLICT (replay_id, event_id) DO NOTHING`

const replaySearchedSQL = `
UPDATE tailpost.replay
SET missing_found = @found,
    missing_cursor = NULLIF(@cursor, ''),
    missing = CASE WHEN @over THEN @found::bigint END,
    missing_error = NULLIF(@problem, ''),
    updated_at = @now
WHERE id = @id
  AND state = 'running'
  AND missing_cursor IS NOT DISTINCT FROM NULLIF(@was, '')`

// What a person reads of a search that was given up.
const (
	errSearchTime = "the attempts of the range cannot be read within the time that a statement may take"
	errSearchMany = "with those whose rows went before the replay came to them, they are more than are listed"
)

// SearchReplay moves a replay's search for missing events on by a page and writes down what it
// found.
func (o *Operations) SearchReplay(ctx context.Context, hold Hold, table *scan.Table, r *Replay, rg scan.Range, now time.Time) error {
	var (
		gone    []scan.MissingEvent
		next    scan.Missing
		over    bool
		problem string
	)
	err := o.link.Run(ctx, "search for missing events", func(ctx context.Context, conn *pgx.Conn) (err error) {
		gone, next, over, err = table.SearchMissing(ctx, conn, rg, r.Missing)
		if pglink.TookTooLong(err) {
			// It would take as long every time.
			problem = errSearchTime
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	args := pgx.NamedArgs{
		"id": r.ID, "cursor": next.Cursor, "was": r.Missing.Cursor, "over": over, "problem": problem, "now": now,
	}
	room := max(0, MissingListed-r.Missing.Found)
	if r.Again {
		room++ // one more tells that there are more
	}
	err = o.link.WhileHeld(ctx, hold, "note missing events", func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, replayMissingSQL, missingArgs(r, gone, room))
		if err != nil {
			return err
		}
		if r.Again {
			next.Found = r.Missing.Found + tag.RowsAffected()
		}
		if r.Again && next.Found > MissingListed {
			problem, over = errSearchMany, false
			args["over"], args["problem"] = over, problem
		}
		args["found"] = next.Found
		tag, err = tx.Exec(ctx, replaySearchedSQL, args)
		if err == nil && tag.RowsAffected() == 0 {
			return ErrOver
		}
		return err
	})
	if err == nil {
		r.Missing, r.Searched = next, over || problem != ""
	}
	return err
}

const replayAgainSQL = `
UPDATE tailpost.replay
SET missing = NULL,
    missing_cursor = NULL,
    missing_again = true,
    updated_at = @now
WHERE id = @id
  AND state = 'running'
  AND missing <= @listed
  AND NOT missing_again`

// SearchAgain has a replay that came to its end search once more, if it looked at fewer events than
// it had counted: retention went on. It says whether it does. A list that is full already cannot
// tell what is new.
func (o *Operations) SearchAgain(ctx context.Context, hold Hold, r *Replay, now time.Time) (does bool, err error) {
	if r.Again || r.Total == nil || r.Done >= *r.Total {
		return false, nil
	}
	err = o.link.WhileHeld(ctx, hold, "search for missing events again", func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, replayAgainSQL, pgx.NamedArgs{"id": r.ID, "listed": MissingListed, "now": now})
		does = tag.RowsAffected() > 0
		return err
	})
	return does, err
}

func missingArgs(r *Replay, gone []scan.MissingEvent, room int64) pgx.NamedArgs {
	events, types, tenants := make([]string, len(gone)), make([]string, len(gone)), make([]string, len(gone))
	times, outcomes := make([]time.Time, len(gone)), make([]string, len(gone))
	for i := range gone {
		e := &gone[i]
		events[i], types[i], tenants[i], times[i], outcomes[i] = e.EventID, e.EventType, e.Tenant, e.AttemptedAt, string(e.Outcome)
	}
	return pgx.NamedArgs{
		"id": r.ID, "endpoint": r.EndpointID, "again": r.Again, "room": room, "place": r.Place.String(), "events": events, "types": types, "tenants": tenants, "times": times, "outcomes": outcomes,
	}
}
