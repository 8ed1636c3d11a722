package upkeep

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// agedSQL has two of everything that retention knows, one of ten days ago and one of now, and what
// is old and not over.
const agedSQL = `
INSERT INTO public.outbox (id, type, payload, created_at)
SELECT ('018f0000-0000-7000-8000-00000000000' || n)::uuid, 'row ' || name, '{}', at
FROM (VALUES (1, 'old', @old::timestamptz), (2, 'new', @now)) AS v (n, name, at);
INSERT INTO tailpost.discarded (event_id, endpoint_id, at) VALUES ('old', 'erp', @old), ('new', 'erp', @now);
INSERT INTO tailpost.replay (id, endpoint_id, types, until, state, created_at, updated_at)
VALUES ('old', 'erp', '{}', @old, 'done', @old, @old), ('new', 'erp', '{}', @now, 'done', @now, @now), ('open', 'erp', '{}', @old, 'pending', @old, @old);
INSERT INTO tailpost.resend (id, selection, state, created_at, updated_at)
VALUES ('old', '{}', 'done', @old, @old), ('new', '{}', 'done', @now, @now), ('open', '{}', 'pending', @old, @old);
INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, commit_lsn, seq, event_created_at, created_at, updated_at)
VALUES ('old', 'erp', 'dead', 'exhausted', 1, 'a', '0/10', 0, @old, @old, @old), ('new', 'erp', 'dead', 'exhausted', 1, 'a', '0/20', 0, @now, @now, @now),
       ('open', 'erp', 'pending', 'retry', 1, 'a', '0/30', 0, @old, @old, @old);
INSERT INTO tailpost.type_stats (endpoint_id, hour, event_type, attempts, delivered, failed, dead)
VALUES ('', date_trunc('hour', @old::timestamptz), 'old', 1, 1, 0, 0), ('', date_trunc('hour', @now::timestamptz), 'new', 1, 1, 0, 0)`

const agedRowsSQL = `
SELECT type FROM public.outbox
UNION ALL SELECT 'discarded ' || event_id FROM tailpost.discarded
UNION ALL SELECT 'replay ' || id FROM tailpost.replay
UNION ALL SELECT 'resend ' || id FROM tailpost.resend
UNION ALL SELECT 'delivery ' || event_id FROM tailpost.delivery
UNION ALL SELECT 'counters ' || event_type FROM tailpost.type_stats
UNION ALL SELECT 'attempts ' || CASE WHEN right(relname::text, 8) < to_char(@now::timestamptz AT TIME ZONE 'UTC', 'YYYYMMDD') THEN 'old' ELSE 'new' END
FROM pg_catalog.pg_inherits
JOIN pg_catalog.pg_class ON oid = inhrelid
WHERE inhparent = 'tailpost.attempt'::regclass`

// TestRetentionRemovesWhatItIsSetFor: what is to be kept for ever stays, and so does what is not
// over, however old it is.
func TestRetentionRemovesWhatItIsSetFor(t *testing.T) {
	t.Parallel()
	db := pgschema.NewDB(t)
	conn := db.Conn(t)
	mapping := outbox.DefaultMapping()
	_, err := schema.Migrate(t.Context(), conn, schema.MigrateOptions{Mapping: mapping})
	require.NoError(t, err)
	const week = 7 * 24 * time.Hour
	now := time.Now()
	old := now.Add(-10 * 24 * time.Hour)
	_, err = schema.EnsurePartitions(t.Context(), conn, old, 1)
	require.NoError(t, err)
	args := pgx.NamedArgs{"old": old, "now": now}
	_, err = conn.Exec(t.Context(), agedSQL, pgx.QueryExecModeSimpleProtocol, args)
	require.NoError(t, err)
	left := func() []string {
		rows, err := conn.Query(t.Context(), agedRowsSQL, args)
		require.NoError(t, err)
		list, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		slices.Sort(list)
		return slices.Compact(list)
	}
	led, err := ledger.Open(t.Context(), ledger.Options{URL: config.NewSecret(db.URL)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = led.Close(context.WithoutCancel(t.Context())) })
	var barriers *source.Barriers
	barriers = source.NewBarriers(1, func(_ context.Context, name string) error {
		barriers.Seen(name, 10)
		barriers.Settled(10)
		return nil
	})
	want := left()
	require.Len(t, want, 17)
	for _, is := range []struct {
		rows time.Duration
		keep config.Retention
		goes []string
	}{
		{0, config.Retention{}, nil},
		{week, config.Retention{}, []string{"row old"}},
		{0, config.Retention{Dead: week}, []string{"delivery old"}},
		{0, config.Retention{Stats: week}, []string{"counters old"}},
		{0, config.Retention{Attempts: week}, []string{"attempts old", "discarded old", "replay old", "resend old"}},
	} {
		k := &keeper{
			ledger: led, barriers: barriers, outbox: config.Outbox{Mapping: mapping, Retention: is.rows}, log: zerolog.Nop(),
			keep: func() config.Retention { return is.keep },
		}
		want = slices.DeleteFunc(want, func(name string) bool { return slices.Contains(is.goes, name) })
		require.Eventually(t, func() bool {
			k.once(t.Context()) // a statement that had to wait for long is for the next time
			got := left()
			return !assert.Subset(t, got, want, "rows for %s, %+v", is.rows, is.keep) || len(got) == len(want)
		}, time.Minute, 10*time.Millisecond)
	}
}
