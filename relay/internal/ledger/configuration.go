package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/config"
)

const noteConfigurationSQL = `
INSERT INTO tailpost.configuration (slot, epoch, fingerprints, updated_at)
SELECT r.slot, r.epoch, @fingerprints::jsonb, @now::timestamptz
FROM tailpost.relay AS r
WHERE r.slot = @slot
  AND r.epoch = @epoch
ON CONFLICT (slot) DO UPDATE
SET epoch = EXCLUDED.epoch,
    fingerprints = EXCLUDED.fingerprints,
    updated_at = EXCLUDED.updated_at`

// NoteConfiguration writes down what configuration a hold goes by, as far as a plan compares it. A
// deposed relay writes nothing: the one that has the slot writes its own.
func (e *Endpoints) NoteConfiguration(ctx context.Context, hold Hold, prints config.Fingerprints, now time.Time) error {
	text, err := json.Marshal(prints)
	if err != nil {
		return fmt.Errorf("encode the configuration's fingerprints: %w", err)
	}
	return e.link.Run(ctx, "note the configuration", func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, noteConfigurationSQL, pgx.NamedArgs{"slot": hold.Slot, "epoch": hold.Epoch, "fingerprints": string(text), "now": now})
		return err
	})
}
