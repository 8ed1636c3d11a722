package schema_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
)

func TestWhatTablesTakeAndByHowMuchTheyGrow(t *testing.T) {
	t.Parallel()
	conn := pgtest.NewDB(t).Conn(t)
	_, err := schema.Migrate(t.Context(), conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
	require.NoError(t, err)
	now := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	measure := func(retention time.Duration) schema.Sizes {
		tx, err := conn.Begin(t.Context())
		require.NoError(t, err)
		defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
		sizes, err := schema.MeasureSizes(t.Context(), tx, outbox.DefaultMapping(), retention, now)
		require.NoError(t, err)
		return sizes
	}
	require.Nil(t, measure(0).Growth, "no day is over")
	fill := func(day string, rows int) {
		_, err := conn.Exec(t.Context(), "SELECT tailpost.ensure_attempt_partitions($1::text::date, 1)", day)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), `
			INSERT INTO tailpost.attempt (event_id, event_type, endpoint_id, number, trigger, url, outcome, duration_ms, attempted_at, commit_lsn)
			SELECT n::text, 'a', 'erp', 1, 'stream', repeat('u', 1000), 'delivered', 1, $1::text::timestamptz + interval '12 hours', '0/0'
			FROM generate_series(1, $2) AS n`, day+" 00:00+00", rows)
		require.NoError(t, err)
	}
	before := measure(0)
	fill("2026-03-13", 8000)
	fill("2026-02-12", 2000)
	fill("2026-03-14", 2000)
	sizes := measure(0)
	require.InEpsilon(t, 12<<20, sizes.Attempts-before.Attempts, 0.3)
	require.Equal(t, before.Outbox, sizes.Outbox)
	require.Positive(t, sizes.Outbox)
	require.Equal(t, sizes.Attempts+sizes.Deliveries+sizes.Other+sizes.Outbox, sizes.Total())
	require.InEpsilon(t, 8<<20, *sizes.Growth, 0.3)
	require.InEpsilon(t, 6<<20, *measure(30 * 24 * time.Hour).Growth, 0.3, "as much as is dropped next does not grow")
	require.Equal(t, *sizes.Growth, *measure(29 * 24 * time.Hour).Growth)
	of30Days := *measure(30 * 24 * time.Hour).Growth
	for _, hours := range []int{-14, 14} { // where it is another day than in UTC
		now = now.In(time.FixedZone("", hours*3600))
		require.Equal(t, *sizes.Growth, *measure(0).Growth, "days are those of UTC, whatever the machine's zone: %v", now)
		require.Equal(t, of30Days, *measure(30 * 24 * time.Hour).Growth, "so is the one that is dropped next: %v", now)
	}
	_, err = conn.Exec(t.Context(), "INSERT INTO outbox (type, payload) SELECT 'a', to_jsonb(n) FROM generate_series(1, 20000) AS n")
	require.NoError(t, err)
	require.Greater(t, measure(0).Outbox, sizes.Outbox+1<<20)
}

func TestWithoutATableTheRestIsMeasured(t *testing.T) {
	t.Parallel()
	conn := pgtest.NewDB(t).Conn(t)
	_, err := schema.Migrate(t.Context(), conn, schema.MigrateOptions{})
	require.NoError(t, err)
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
	sizes, err := schema.MeasureSizes(t.Context(), tx, outbox.Mapping{}, 0, time.Now())
	require.NoError(t, err)
	require.Zero(t, sizes.Outbox)
	require.Positive(t, sizes.Total())
}
