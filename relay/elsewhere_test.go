package relay_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay"
)

// elsewhere runs a relay whose stream is of another database than the rest, until its log has a
// text or it ends by itself.
func elsewhere(t *testing.T, db, other *kit.Database, until string) (log string, err error) {
	t.Helper()
	cfg := &config.Config{Database: config.Database{URL: config.NewSecret(db.URL), ReplicationURL: config.NewSecret(other.URL), Slot: db.Slot}}
	cfg.Outbox.Mapping, cfg.Outbox.AuditInterval = outbox.DefaultMapping(), time.Hour
	said := new(kit.Log)
	r, err := relay.New(cfg, relay.Options{Logger: zerolog.New(said)})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), kit.Patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	kit.Eventually(t, kit.Patience, func() error {
		if len(done) == 0 && !strings.Contains(said.String(), until) {
			return context.DeadlineExceeded
		}
		return nil
	})
	cancel()
	err = <-done
	require.Zero(t, other.Count(t, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1", db.Slot), "a slot that nobody reads")
	require.Zero(t, other.Count(t, "SELECT count(*) FROM pg_publication"))
	return said.String(), err
}

// A stream of another database would have its events sent, and those of url's database never.
func TestAStreamOfAnotherDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	log, err := elsewhere(t, kit.NewDatabase(t), kit.NewDatabase(t), "slot taken")
	require.ErrorContains(t, err, "name the same one in both")
	require.NotContains(t, log, "slot taken")
}

// It may pass, after a failover, so the relay tries again, and says what is wrong.
func TestAStreamOfAnotherServerIsNotTaken(t *testing.T) {
	t.Parallel()
	server, err := pgserver.Start(t.Context(), pgserver.Options{Settings: pgserver.FastSettings()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	other := kit.OpenDatabase(t, server.URL("postgres"), "other")
	other.Migrate(t, outbox.DefaultMapping())
	log, err := elsewhere(t, kit.NewDatabase(t), other, "taking the slot again")
	require.NoError(t, err)
	require.Contains(t, log, "lead to different servers")
	require.NotContains(t, log, "slot taken")
}
