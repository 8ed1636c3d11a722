package upkeep

import (
	"context"
	"fmt"
	"slices"
	"strings"
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
// over, however old it is, and what is old only by the relay's clock, which is months ahead.
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
	barriers := passed()
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
			k.remove(t.Context(), now.Add(20*week)) // a statement that had to wait for long is for the next time
			got := left()
			return !assert.Subset(t, got, want, "rows for %s, %+v", is.rows, is.keep) || len(got) == len(want)
		}, time.Minute, 10*time.Millisecond)
	}
}

// passed are barriers of a stream that has nothing on its way.
func passed() (barriers *source.Barriers) {
	barriers = source.NewBarriers(1, func(_ context.Context, name string) error {
		barriers.Seen(name, 10)
		barriers.Settled(10)
		return nil
	})
	return barriers
}

// TestRetentionKeepsEachForItsOwnTime: attempts, dead deliveries and counters are kept for times of
// their own, whichever is longest.
func TestRetentionKeepsEachForItsOwnTime(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, keep := range []config.Retention{
		{Attempts: 5 * day, Dead: 15 * day, Stats: 25 * day},
		{Attempts: 15 * day, Dead: 25 * day, Stats: 5 * day},
		{Attempts: 25 * day, Dead: 5 * day, Stats: 15 * day},
	} {
		t.Run(keep.Attempts.String(), func(t *testing.T) {
			t.Parallel()
			b := setupAgain(t)
			now := time.Now()
			for _, old := range []int{0, 10, 20, 30} {
				b.exec(t, "INSERT INTO tailpost.discarded (event_id, endpoint_id, at) VALUES ('d' || $1::int, 'erp', now() - $1::int * interval '1 day')", old)
				b.exec(t, `
					INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, commit_lsn, seq, event_created_at, created_at, updated_at)
					SELECT 'd' || $1::int, 'erp', 'dead', 'exhausted', 1, 'a', '0/10', $1::int, at, at, at FROM (SELECT now() - $1::int * interval '1 day' AS at) AS x`, old)
				b.exec(t, `
					INSERT INTO tailpost.endpoint_stats (endpoint_id, hour, attempts, delivered, failed, dead, duration_ms_sum, buckets)
					VALUES ('erp', date_trunc('hour', now() - $1::int * interval '1 day'), 1, 1, 0, 0, 1, array_fill(0::bigint, ARRAY[15]))`, old)
			}
			tomorrow := "tailpost.attempt_" + now.UTC().Add(day).Format("20060102")
			b.exec(t, "DROP TABLE IF EXISTS "+tomorrow)
			k := &keeper{
				ledger: b.ledger, barriers: passed(), outbox: config.Outbox{Mapping: b.mapping}, log: zerolog.Nop(), keep: func() config.Retention { return keep },
			}
			want := func(kept time.Duration) string {
				return map[time.Duration]string{5 * day: "0", 15 * day: "0 10", 25 * day: "0 10 20"}[kept]
			}
			const ages = "SELECT COALESCE(string_agg(age, ' ' ORDER BY age), '') FROM (SELECT round(extract(epoch FROM now() - %s) / 86400)::text AS age FROM tailpost.%s WHERE %[1]s > 'epoch') AS x"
			require.Eventually(t, func() bool {
				k.once(t.Context()) // a statement that had to wait for long is for the next time
				for _, is := range []struct {
					column, table string
					kept          time.Duration
				}{{"at", "discarded", keep.Attempts}, {"updated_at", "delivery", keep.Dead}, {"hour", "endpoint_stats", keep.Stats}} {
					got := b.text(t, fmt.Sprintf(ages, is.column, is.table))
					if !assert.True(t, strings.HasPrefix(got, want(is.kept)), "%s: %s are left, kept for %s", is.table, got, is.kept) {
						return true
					}
					if got != want(is.kept) {
						return false
					}
				}
				return true
			}, time.Minute, 10*time.Millisecond)
			require.Equal(t, "true", b.text(t, "SELECT (to_regclass('"+tomorrow+"') IS NOT NULL)::text"), "tomorrow is made before it comes")
		})
	}
}

// TestRetentionGoesThroughAllOfTheTable: pages grow while rows are removed, and none is left out.
func TestRetentionGoesThroughAllOfTheTable(t *testing.T) {
	t.Parallel()
	b := setupAgain(t)
	b.exec(t, `
		TRUNCATE public.events;
		ALTER TABLE public.events SET (fillfactor = 10);
		INSERT INTO public.events
		SELECT 'e' || n, 'order.created', to_json(repeat(md5(n::text), 20)), now() - interval '1 day' FROM generate_series(1, 300) AS n`)
	k := &keeper{ledger: b.ledger, barriers: passed(), outbox: config.Outbox{Mapping: b.mapping}, log: zerolog.Nop()}
	require.NoError(t, k.events(t.Context(), time.Now().Add(-time.Hour)))
	require.Equal(t, "0", b.text(t, "SELECT count(*)::text FROM public.events"))
}

// TestWhatPeopleAskForWakesItsTasks: nobody looks for a replay, a resend or a rejected event by
// itself.
func TestWhatPeopleAskForWakesItsTasks(t *testing.T) {
	t.Parallel()
	b := setupAgain(t)
	u := New(Options{Ledger: b.ledger, Dispatcher: b.dispatcher, Hold: b.hold, Outbox: config.Outbox{Mapping: b.mapping}, Logger: zerolog.Nop()})
	asked := []string{"replays", "resends", "rejected events"}
	u.WakeOperations()
	for _, task := range u.Tasks() {
		require.Equal(t, slices.Contains(asked, task.Name), len(task.Wake) == 1, task.Name)
	}
}
