package upkeep

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// A row that is still in the stream is all that could heal it.
func TestRetentionWaitsForTheStream(t *testing.T) {
	t.Parallel()
	db := pgtest.NewDB(t)
	mapping := outbox.DefaultMapping()
	_, err := schema.Migrate(t.Context(), db.Conn(t), schema.MigrateOptions{Mapping: mapping})
	require.NoError(t, err)
	led, err := ledger.Open(t.Context(), ledger.Options{URL: config.NewSecret(db.URL)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = led.Close(context.WithoutCancel(t.Context())) })
	sent := make(chan string, 1)
	barriers := source.NewBarriers(1, func(_ context.Context, name string) error {
		sent <- name
		return nil
	})
	k := &keeper{ledger: led, barriers: barriers, outbox: config.Outbox{Mapping: mapping, Retention: time.Hour}, log: zerolog.Nop()}
	done := make(chan error, 1)
	go func() { done <- k.events(t.Context(), time.Now()) }()
	select {
	case err := <-done:
		require.Fail(t, "it did not wait", "%v", err)
	case name := <-sent:
		require.Empty(t, done)
		barriers.Seen(name, 10)
		barriers.Settled(10)
	}
	require.NoError(t, <-done)
}
