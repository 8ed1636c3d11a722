package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
)

// TakeOptions says who takes which slot, and where.
type TakeOptions struct {
	Slot     string
	Owner    string // host name and process id
	SystemID string // of the cluster the slot is on
	Timeline int32
	Now      time.Time
}

// takeSQL raises the epoch. Positions of another cluster mean nothing here. What RETURNING selects is the row before: a
// statement does not see its own changes.
const takeSQL = `
INSERT INTO tailpost.relay AS r (slot, epoch, owner, system_id, timeline, batch, settled_lsn, settled_at, updated_at)
VALUES (@slot, 1, @owner, @system_id, @timeline, 0, '0/0', NULL, @now)
ON CONFLICT (slot) DO UPDATE
SET epoch = r.epoch + 1,
    owner = EXCLUDED.owner,
    system_id = EXCLUDED.system_id,
    timeline = EXCLUDED.timeline,
    batch = 0,
    settled_lsn = CASE WHEN r.system_id = EXCLUDED.system_id THEN r.settled_lsn ELSE '0/0' END,
    settled_at = CASE WHEN r.system_id = EXCLUDED.system_id THEN r.settled_at END,
    updated_at = EXCLUDED.updated_at
RETURNING epoch, settled_lsn::text,
    COALESCE((SELECT b.system_id FROM tailpost.relay AS b WHERE b.slot = @slot), ''),
    COALESCE((SELECT b.timeline FROM tailpost.relay AS b WHERE b.slot = @slot), 0)`

// Take takes the slot's row, so that every Record of an earlier hold, of this or another relay, returns ErrDeposed. Only
// whoever streams from the slot may call it.
func (l *Ledger) Take(ctx context.Context, o TakeOptions) (Hold, error) {
	r := &l.recording
	r.mu.Lock()
	defer r.mu.Unlock()
	hold := Hold{Slot: o.Slot, Owner: o.Owner}
	var settled string
	// A lost answer is asked for again and costs an epoch, which is nobody's.
	err := l.load(ctx, "take the slot's row", func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, takeSQL, pgx.NamedArgs{
			"slot": o.Slot, "owner": o.Owner, "system_id": o.SystemID, "timeline": o.Timeline, "now": o.Now,
		}).Scan(&hold.Epoch, &settled, &hold.Before.SystemID, &hold.Before.Timeline)
	})
	if err != nil {
		return Hold{}, err
	}
	if hold.Settled, err = outbox.ParseLSN(settled); err != nil {
		return Hold{}, fmt.Errorf("take the slot's row: %w", err)
	}
	r.slot, r.epoch, r.batch, r.settled, r.uncertain = o.Slot, hold.Epoch, 0, hold.Settled, false
	return hold, nil
}
