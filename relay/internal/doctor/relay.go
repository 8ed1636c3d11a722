package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox/pglink"
)

const otherSlotsSQL = `
SELECT r.slot, s.active
FROM tailpost.relay AS r
JOIN pg_catalog.pg_replication_slots AS s ON s.slot_name = r.slot AND s.database = current_database()
WHERE r.slot <> @slot
ORDER BY s.active DESC, r.slot
LIMIT 1`

// examineOtherSlots looks for a relay with another slot, beside which none starts.
func examineOtherSlots(ctx context.Context, p *patient) (Finding, error) {
	if !p.migrated(ctx) {
		return none()
	}
	var other string
	var active bool
	err := p.conn.QueryRow(ctx, otherSlotsSQL, pgx.NamedArgs{"slot": p.cfg.Database.Slot}).Scan(&other, &active)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return ok("no relay with another slot has served this database")
	case pglink.Is(err, pglink.InsufficientPrivilege):
		return none() // which the check of the schema says
	case err != nil:
		return Finding{}, err
	case active:
		return fail("give all relays of the database the same database.slot, or stop the other one",
			"a relay with slot %s serves this database: its endpoints, queue and attempts belong to one slot", other)
	}
	return warn("SELECT pg_drop_replication_slot('"+other+"');",
		"slot %s of an earlier configuration keeps the server's log, and no relay uses it", other)
}

const (
	// gapLimit is how many gaps a relay heals within gapPeriod: after more of them it does not
	// start.
	gapLimit  = 3
	gapPeriod = time.Hour
)

// uncounted are the heals that are none of a gap, so that a relay does not count them either: the
// stream was whole.
func uncounted() []string {
	return []string{
		"backfill",
		"not all that a fan-out had published was recorded when its partitions were given up: NATS took nothing, or the fan-out or the database was changed",
	}
}

// gapsSQL counts the gaps that were healed since a time or a person's `tailpost heal`, and those
// that are found and wait to be healed, be it without a time.
const gapsSQL = `
WITH slot AS (
    SELECT r.slot, r.heal, r.heal_gaps, GREATEST(@since::timestamptz, r.gaps_cleared_at) AS since
    FROM tailpost.relay AS r
    WHERE r.slot = @slot
),
counted AS (
    SELECT g.at, g.why
    FROM slot AS s
    JOIN tailpost.gap AS g ON g.slot = s.slot AND g.at > s.since AND g.why <> ALL (@uncounted::text[])
    UNION ALL
    SELECT f.at, s.heal
    FROM slot AS s
    CROSS JOIN unnest(s.heal_gaps) AS f (at)
    WHERE f.at > s.since
      AND s.heal IS NOT NULL
    UNION ALL
    SELECT clock_timestamp(), s.heal
    FROM slot AS s
    WHERE s.heal <> ALL (@uncounted::text[])
      AND NOT EXISTS (SELECT FROM unnest(s.heal_gaps) AS f (at) WHERE f.at > s.since)
)
SELECT count(*), COALESCE((array_agg(c.why ORDER BY c.at DESC))[1], '')
FROM counted AS c`

func examineGaps(ctx context.Context, p *patient) (Finding, error) {
	if !p.migrated(ctx) {
		return none()
	}
	var n int
	var why string
	args := pgx.NamedArgs{"slot": p.cfg.Database.Slot, "since": p.server.Clock.Add(-gapPeriod), "uncounted": uncounted()}
	err := p.conn.QueryRow(ctx, gapsSQL, args).Scan(&n, &why)
	switch {
	case pglink.Is(err, pglink.InsufficientPrivilege):
		return none() // which the check of the schema says
	case err != nil:
		return Finding{}, err
	}
	because := ""
	if why != "" {
		because = ", the last because " + why
	}
	const fix = "remove what breaks the stream (SELECT why, note FROM tailpost.gap; tells more)"
	switch {
	case n > gapLimit:
		return fail(fix+", then tailpost heal", "%d gaps within the last hour%s: a relay does not start", n, because)
	case n > 0:
		return warn(fix, "%d of the %d gaps that a relay heals within an hour%s", n, gapLimit, because)
	}
	return ok("no gap in the stream within the last hour")
}

const namesSQL = `
SELECT e.id
FROM tailpost.endpoint AS e
WHERE e.id = ANY (@ids::text[])
  AND e.source <> 'config'
ORDER BY e.id
LIMIT 1`

// examineNames looks for endpoints of the configuration whose names others have. It needs the
// endpoints, which a configuration of the database alone has not.
func examineNames(ctx context.Context, p *patient) (Finding, error) {
	if len(p.cfg.Endpoints) == 0 || !p.migrated(ctx) {
		return none()
	}
	ids := make([]string, len(p.cfg.Endpoints))
	for i := range p.cfg.Endpoints {
		ids[i] = p.cfg.Endpoints[i].ID
	}
	var id string
	err := p.conn.QueryRow(ctx, namesSQL, pgx.NamedArgs{"ids": ids}).Scan(&id)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return ok("no endpoint made through the API has the name of one of the configuration")
	case pglink.Is(err, pglink.InsufficientPrivilege):
		return none() // which the check of the schema says
	case err != nil:
		return Finding{}, err
	}
	return fail("give the one in the configuration another name", "endpoint %q exists already, made through the API", id)
}

// days is a time as a number of days, for people.
func days(d time.Duration) string { return fmt.Sprintf("%.0f days", d.Hours()/24) }
