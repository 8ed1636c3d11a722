package query

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/config"
)

// NotedConfiguration is what is known of the configuration that the relay of a slot goes by.
type NotedConfiguration struct {
	Epoch        int64 // of the slot; 0: no relay ever held it
	Noted        bool  // the relay has written it down; else Fingerprints are zero
	Fingerprints config.Fingerprints
}

const notedConfigurationSQL = `
SELECT COALESCE(r.epoch, 0), c.fingerprints::text
FROM (SELECT @slot::text AS slot) AS q
LEFT JOIN tailpost.relay AS r ON r.slot = q.slot
LEFT JOIN tailpost.configuration AS c ON c.slot = r.slot AND c.epoch = r.epoch`

// NotedConfiguration reads what the relay of a slot wrote down when it took the slot, or at its
// last reload.
func (s health) NotedConfiguration(ctx context.Context, slot string) (c NotedConfiguration, err error) {
	err = s.read(ctx, "read the configuration's fingerprints", func(ctx context.Context, tx pgx.Tx) error {
		var text *string
		if err := tx.QueryRow(ctx, notedConfigurationSQL, pgx.NamedArgs{"slot": slot}).Scan(&c.Epoch, &text); err != nil || text == nil {
			return err
		}
		c.Noted = true
		if err := json.Unmarshal([]byte(*text), &c.Fingerprints); err != nil {
			return fmt.Errorf("read tailpost.configuration: %w", err)
		}
		return nil
	})
	return c, err
}
