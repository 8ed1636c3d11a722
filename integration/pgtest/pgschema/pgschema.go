package pgschema

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
)

// NewDB is pgtest.NewDB with every step of the schema, and neither an outbox table nor partitions
// of attempts: schema.Migrate makes them, as the test's options and clock want them, and finds
// nothing else to do.
func NewDB(t pgtest.TB) *pgtest.DB {
	t.Helper()
	version, err := version()
	if err != nil {
		t.Fatalf("name the steps of the schema: %v", err)
	}
	return pgtest.NewCopy(t, version, migrate)
}

// version names the SQL of all steps, so that a change of one has them run again.
var version = sync.OnceValues(func() (string, error) {
	var script bytes.Buffer
	if err := schema.Print(&script, schema.PrintOptions{Slot: "tailpost", Mapping: outbox.Mapping{}}); err != nil {
		return "", err
	}
	sum := sha256.Sum256(script.Bytes())
	return hex.EncodeToString(sum[:8]), nil
})

func migrate(ctx context.Context, conn *pgx.Conn) error {
	if _, err := schema.Migrate(ctx, conn, schema.MigrateOptions{}); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, `
DO $do$
DECLARE
    partition regclass;
BEGIN
    FOR partition IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'tailpost.attempt'::regclass LOOP
        EXECUTE format('DROP TABLE %s', partition);
    END LOOP;
END
$do$`)
	if err != nil {
		return fmt.Errorf("drop the partitions: %w", err)
	}
	return nil
}
