package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// gapsSQL has what was healed, what is found and waits to be healed, and a heal that is due without
// a time within reach: its finder may have died before Take. None of them counts once a person has
// cleared it.
const gapsSQL = `
WITH slot AS (
    SELECT r.slot, r.heal, r.heal_gaps, GREATEST(@since::timestamptz, r.gaps_cleared_at) AS since
    FROM tailpost.relay AS r
    WHERE r.slot = @slot
)
SELECT g.at, g.why
FROM slot AS s
JOIN tailpost.gap AS g ON g.slot = s.slot AND g.at > s.since AND g.why <> ALL(@uncounted::text[])
UNION ALL
SELECT f.at, s.heal
FROM slot AS s
CROSS JOIN unnest(s.heal_gaps) AS f (at)
WHERE f.at > s.since
  AND s.heal IS NOT NULL
UNION ALL
SELECT @now::timestamptz, s.heal
FROM slot AS s
WHERE s.heal <> ALL(@uncounted::text[])
  AND NOT EXISTS (SELECT FROM unnest(s.heal_gaps) AS f (at) WHERE f.at > s.since)
ORDER BY at`

// GapsOptions say which gaps count.
type GapsOptions struct {
	Slot      string
	Uncounted []string  // reasons of heals that are none of a gap
	Since     time.Time // gaps until then are forgotten
	Now       time.Time
}

// RecentGap is a gap that counts toward the hourly limit.
type RecentGap struct {
	At  time.Time // when it was healed, or found where that is still to be done
	Why string
}

// Gaps returns the gaps that count, in order.
func (k *Healing) Gaps(ctx context.Context, o GapsOptions) (gaps []RecentGap, err error) {
	err = k.link.Run(ctx, "count the gaps", func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, gapsSQL, pgx.NamedArgs{"slot": o.Slot, "uncounted": o.Uncounted, "since": o.Since, "now": o.Now})
		if err != nil {
			return err
		}
		gaps, err = pgx.CollectRows(rows, pgx.RowToStructByPos[RecentGap])
		return err
	})
	return gaps, err
}

// clearGapsSQL clears what there is even where the clock of whoever asks is behind that of the
// relay.
const clearGapsSQL = `
UPDATE tailpost.relay AS r
SET gaps_cleared_at = GREATEST(
    @now::timestamptz,
    (SELECT max(h.at) FROM tailpost.gap AS h WHERE h.slot = r.slot),
    (SELECT max(f.at) FROM unnest(r.heal_gaps) AS f (at))
)
WHERE r.slot = @slot
RETURNING COALESCE(r.heal, '')`

// ClearGaps makes Gaps forget the gaps until now, and returns why a heal is due; empty: none is. A
// slot that was never taken is an error.
func (k *Healing) ClearGaps(ctx context.Context, slot string, now time.Time) (due string, err error) {
	err = k.link.Run(ctx, "clear the gaps", func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, clearGapsSQL, pgx.NamedArgs{"slot": slot, "now": now})
		if err != nil {
			return err
		}
		cleared, err := pgx.CollectRows(rows, pgx.RowTo[string])
		switch {
		case err != nil:
			return err
		case len(cleared) == 0:
			return fmt.Errorf("no relay has ever held slot %q", slot)
		}
		due = cleared[0]
		return nil
	})
	return due, err
}
