package upkeep

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// A row that is still in the stream is all that could heal it.
func TestRetentionWaitsForTheStream(t *testing.T) {
	t.Parallel()
	db := pgschema.NewDB(t)
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

// Nothing that is old goes as long as a gap is to be healed: neither rows, which are what heals it,
// nor attempts, by which the audit goes.
func TestRetentionWaitsForAGapToBeHealed(t *testing.T) {
	t.Parallel()
	db := pgschema.NewDB(t)
	conn := db.Conn(t)
	mapping := outbox.DefaultMapping()
	_, err := schema.Migrate(t.Context(), conn, schema.MigrateOptions{Mapping: mapping})
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "INSERT INTO public.outbox (id, type, payload, created_at) VALUES (gen_random_uuid(), 'a', '{}', now() - interval '2 hours')")
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `
		INSERT INTO tailpost.discarded VALUES ('e1', 'erp', now() - interval '2 hours');
		INSERT INTO tailpost.relay (slot, epoch, owner, system_id, timeline, batch, settled_lsn, updated_at, started_at, audited_at)
		VALUES ('s', 1, '', '1', 1, 0, '0/0', now(), now(), now())`)
	require.NoError(t, err)
	led, err := ledger.Open(t.Context(), ledger.Options{URL: config.NewSecret(db.URL)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = led.Close(context.WithoutCancel(t.Context())) })
	var barriers *source.Barriers
	asked := make(chan struct{}, 10)
	barriers = source.NewBarriers(1, func(_ context.Context, name string) error {
		asked <- struct{}{}
		barriers.Seen(name, 10)
		barriers.Settled(10)
		return nil
	})
	healed := make(chan struct{})
	task := retention(&Options{
		Ledger: led, Hold: ledger.Hold{Slot: "s"}, Barriers: barriers, Healed: healed, Logger: zerolog.Nop(),
		Outbox:    config.Outbox{Mapping: mapping, Retention: time.Hour, AuditInterval: time.Minute},
		Retention: func() config.Retention { return config.Retention{Attempts: time.Hour} },
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		task.Run(ctx)
	}()
	left := func() (n int) {
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM public.outbox) + (SELECT count(*) FROM tailpost.discarded)").Scan(&n))
		return n
	}
	select {
	case <-asked:
		t.Fatal("rows are removed that the heal needs")
	case <-time.After(time.Second):
		require.Equal(t, 2, left())
	}
	close(healed)
	require.Eventually(t, func() bool { return left() == 0 }, 30*time.Second, 10*time.Millisecond)
	stop()
	<-done
}

// A row that the stream did not bring looks like one that nobody wants: it stays until an audit has
// looked at it, an hour after it was created, however short the retention is.
func TestRetentionWaitsForTheAudit(t *testing.T) {
	t.Parallel()
	db := pgschema.NewDB(t)
	conn := db.Conn(t)
	mapping := outbox.DefaultMapping()
	_, err := schema.Migrate(t.Context(), conn, schema.MigrateOptions{Mapping: mapping})
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `
		INSERT INTO public.outbox (id, type, payload, created_at)
		SELECT gen_random_uuid(), n::text, '{}', now() - n * interval '30 minutes' FROM generate_series(1, 8) AS n;
		INSERT INTO tailpost.relay (slot, epoch, owner, system_id, timeline, batch, settled_lsn, updated_at, started_at)
		VALUES ('s', 1, '', '1', 1, 0, '0/0', now(), now() - interval '195 minutes')`)
	require.NoError(t, err)
	led, err := ledger.Open(t.Context(), ledger.Options{URL: config.NewSecret(db.URL)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = led.Close(context.WithoutCancel(t.Context())) })
	left := func(interval, retention time.Duration) (n int) {
		k := &keeper{
			ledger: led, slot: "s", barriers: passed(), outbox: config.Outbox{Mapping: mapping, AuditInterval: interval}, log: zerolog.Nop(),
		}
		require.NoError(t, k.events(t.Context(), time.Now().Add(-retention)))
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM public.outbox").Scan(&n))
		return n
	}
	require.Equal(t, 8, left(time.Hour, time.Minute), "all are of after the slot, or of an hour before it")
	_, err = conn.Exec(t.Context(), "UPDATE tailpost.relay SET audited_at = now() - interval '105 minutes'")
	require.NoError(t, err)
	require.Equal(t, 7, left(time.Hour, 225*time.Minute), "a retention that is longer is kept")
	require.Equal(t, 5, left(time.Hour, time.Minute), "created an hour before an audit began")
	require.Equal(t, 5, left(time.Minute, time.Minute))
	require.Zero(t, left(0, time.Minute), "there is no audit")
}
