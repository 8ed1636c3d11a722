package ledger_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/scan"
)

func TestDelete_removesOldRowsOfItsBlocksAndNoOthers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.outboxOf(t, "bigint")
	b.exec(t, "INSERT INTO public.events SELECT i, 'a', to_json((SELECT string_agg(md5(i::text || j), '') FROM generate_series(1, 50) AS j)), $1 FROM generate_series(1, 40) AS i", noon)
	b.exec(t, "UPDATE public.events SET created_at = $1 WHERE id % 2 = 0", noon.Add(time.Second))
	b.exec(t, "INSERT INTO public.events VALUES (99, 'a', '{}', NULL)")
	sweep, err := b.ledger.NewSweep(t.Context(), m, scan.Scope{})
	require.NoError(t, err)
	blocks, _, err := sweep.Blocks(t.Context())
	require.NoError(t, err)
	require.Greater(t, blocks, int64(3))
	old := "SELECT count(*) FROM public.events WHERE created_at = '" + noon.Format(time.RFC3339) + "'"
	rows, err := sweep.Rows(t.Context(), 1, blocks)
	require.NoError(t, err)
	require.Len(t, rows, b.count(t, "SELECT count(*) FROM public.events WHERE ctid >= '(1,0)'"))
	for _, part := range [][2]int64{{1, 1}, {0, 1}, {2, blocks}} { // in any order
		want := b.count(t, old+" AND ctid >= format('(%s,0)', $1::bigint)::tid AND ctid < format('(%s,0)', $2::bigint)::tid", part[0], part[0]+part[1])
		require.Positive(t, want)
		deleted, err := sweep.Delete(t.Context(), part[0], part[1], noon.Add(time.Second))
		require.NoError(t, err)
		require.EqualValues(t, want, deleted)
	}
	require.Equal(t, 21, b.count(t, "SELECT count(*) FROM public.events"), "as old as the bound, and without a time, is not old")
}

// A row that says but its day may have been written at the end of it.
func TestDelete_keepsADayUntilItIsOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.outboxOf(t, "text", "before", "same", "always")
	b.exec(t, "ALTER TABLE public.events ALTER created_at TYPE date USING '2026-03-14'::date")
	b.exec(t, "UPDATE public.events SET created_at = '2026-03-13' WHERE id = 'before'")
	b.exec(t, "UPDATE public.events SET created_at = '-infinity' WHERE id = 'always'")
	m.TimeZone = "Asia/Kolkata"
	sweep, err := b.ledger.NewSweep(t.Context(), m, scan.Scope{})
	require.NoError(t, err)
	for _, step := range []struct {
		before time.Time
		want   string
	}{{noon, "same"}, {noon.Add(6*time.Hour + 29*time.Minute), "same"}, {noon.Add(6*time.Hour + 30*time.Minute), ""}} { // midnight there
		_, err = sweep.Delete(t.Context(), 0, 10, step.before)
		require.NoError(t, err)
		require.Equal(t, step.want, strings.Join(b.texts(t, "SELECT id FROM public.events"), " "))
	}
}

// Rows that were imported, or back-dated, would vanish minutes after they were delivered.
func TestDelete_countsFromWhenARowWasSettled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, "SELECT tailpost.ensure_attempt_partitions('2026-03-01', 13)")
	m := b.outboxOf(t, "text", "imported", "delivered long ago", "parked", "parked long ago", "unwanted")
	before := noon.AddDate(0, 0, -7)
	b.exec(t, "UPDATE public.events SET created_at = $1", before.AddDate(0, -1, 0))
	b.attempted(t, "imported", 1, "stream", outbox.Delivered, 0)
	b.attempted(t, "delivered long ago", 1, "stream", outbox.Delivered, -8*24*3600)
	hold := take(t, b.ledger)
	park := func(event string, at time.Time) {
		require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: []outbox.Delivery{pending(event, "erp", "", 1, noon)}, Now: at}))
	}
	park("parked", noon)
	park("parked long ago", before.Add(-time.Second))
	sweep, err := b.ledger.NewSweep(t.Context(), m, scan.Scope{})
	require.NoError(t, err)
	deleted, err := sweep.Delete(t.Context(), 0, 10, before)
	require.NoError(t, err)
	require.EqualValues(t, 3, deleted)
	require.Equal(t, []string{"imported", "parked"}, b.texts(t, "SELECT id FROM public.events ORDER BY id"))
}

// What can wait gives the connection back when somebody holds a lock.
func TestDelete_doesNotWaitForALock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sweep, err := b.ledger.NewSweep(t.Context(), b.outboxOf(t, "bigint", "1"), scan.Scope{})
	require.NoError(t, err)
	tx, err := b.db.Conn(t).Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE public.events")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		_, err := sweep.Delete(t.Context(), 0, 10, noon.Add(time.Second))
		done <- err
	}()
	require.ErrorContains(t, <-done, "lock timeout")
	require.NoError(t, tx.Rollback(t.Context()))
}

func TestDropDead_dropsWhatIsDeadAndOldInPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.deadRows(t, 1500, "a")
	b.exec(t, "UPDATE tailpost.delivery SET state = 'pending' WHERE event_id::int <= 50")
	b.exec(t, "UPDATE tailpost.delivery SET updated_at = $1 WHERE event_id::int > 1450", noon)
	dropped, more, err := b.ledger.DropDead(t.Context(), noon)
	require.NoError(t, err)
	require.EqualValues(t, 1000, dropped)
	require.True(t, more)
	dropped, more, err = b.ledger.DropDead(t.Context(), noon)
	require.NoError(t, err)
	require.EqualValues(t, 400, dropped)
	require.False(t, more)
	require.Equal(t, 50, b.count(t, "SELECT count(*) FROM tailpost.delivery WHERE state = 'pending'"))
	require.Equal(t, 50, b.count(t, "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead'"))
}

// However much waits that is older: the dead are what a page looks for.
func TestDropDead_passesByWhatIsPending(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.deadRows(t, 1200, "a")
	b.exec(t, "UPDATE tailpost.delivery SET state = 'pending', updated_at = $1 WHERE event_id::int <= 1100", noon.Add(-2*time.Hour))
	dropped, more, err := b.ledger.DropDead(t.Context(), noon)
	require.NoError(t, err)
	require.EqualValues(t, 100, dropped)
	require.False(t, more)
}

// What somebody resends just as it gets old stays: the row is locked then, and says something else
// once it can be looked at.
func TestDrop_leavesWhatChangesMeanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.deadRows(t, 1, "a")
	b.exec(t, `INSERT INTO tailpost.replay (id, endpoint_id, types, until, state, created_at, updated_at)
		VALUES ('r', 'a', '{}', $1, 'failed', $1, $1)`, noon.Add(-time.Hour))
	for table, drop := range map[string]func(context.Context, time.Time) (int64, bool, error){
		"delivery": b.ledger.DropDead, "replay": b.ledger.DropReplays,
	} {
		other := b.db.Conn(t)
		tx, err := other.Begin(t.Context())
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), "UPDATE tailpost."+table+" SET state = 'pending'")
		require.NoError(t, err)
		done := make(chan int64, 1)
		go func() {
			dropped, _, err := drop(t.Context(), noon)
			assert.NoError(t, err)
			done <- dropped
		}()
		b.awaitBlocked(t)
		require.NoError(t, tx.Commit(t.Context()))
		require.Zero(t, <-done, table)
		require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost."+table), table)
	}
}

func TestDropDiscarded_forgetsTheOldest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, "INSERT INTO tailpost.discarded SELECT i::text, 'erp', $1::timestamptz + i * interval '1s' FROM generate_series(0, 9) AS i", noon)
	dropped, more, err := b.ledger.DropDiscarded(t.Context(), noon.Add(4*time.Second))
	require.NoError(t, err)
	require.EqualValues(t, 4, dropped)
	require.False(t, more)
	require.Zero(t, b.count(t, "SELECT count(*) FROM tailpost.discarded WHERE at < $1", noon.Add(4*time.Second)))

	// However much is old: a bounded part at a time.
	b.exec(t, "INSERT INTO tailpost.discarded SELECT 'old ' || i, 'erp', $1 FROM generate_series(1, 1100) AS i", noon)
	b.exec(t, `INSERT INTO tailpost.resend (id, selection, state, created_at, updated_at)
		SELECT i::text, '{}', 'done', $1, $1 FROM generate_series(1, 1100) AS i`, noon)
	for _, drop := range []func(context.Context, time.Time) (int64, bool, error){b.ledger.DropDiscarded, b.ledger.DropResends} {
		for _, want := range []int64{1000, 100} {
			dropped, more, err := drop(t.Context(), noon.Add(time.Second))
			require.NoError(t, err)
			require.Equal(t, want, dropped)
			require.Equal(t, want == 1000, more)
		}
	}
}

// What people asked for is forgotten some time after its end, and never before it.
func TestDropReplaysAndResends_leaveWhatIsNotOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const values = `SELECT state || n, 'erp', '{}', state, $1::timestamptz - interval '1 day', $1::timestamptz - n * interval '1 hour'
		FROM unnest('{pending,running,done,cancelled,failed}'::text[]) AS state, generate_series(0, 2) AS n`
	b.exec(t, "INSERT INTO tailpost.replay (id, endpoint_id, types, state, created_at, updated_at, until) "+strings.Replace(values, "FROM", ", now() FROM", 1), noon)
	b.exec(t, "INSERT INTO tailpost.resend (id, tenant, selection, state, created_at, updated_at) "+strings.Replace(values, "'{}'", "'{}'::jsonb", 1), noon)
	for table, drop := range map[string]func(context.Context, time.Time) (int64, bool, error){
		"replay": b.ledger.DropReplays, "resend": b.ledger.DropResends,
	} {
		var pages []int64
		for more := true; more; {
			dropped, again, err := drop(t.Context(), noon.Add(-time.Minute))
			require.NoError(t, err)
			pages, more = append(pages, dropped), again
		}
		require.Equal(t, map[string][]int64{"replay": {5, 1}, "resend": {6}}[table], pages, "%s: a replay may have a long list", table)
		require.Equal(t, 6, b.count(t, "SELECT count(*) FROM tailpost."+table+" WHERE state IN ('pending', 'running')"), table)
		require.Equal(t, 3, b.count(t, "SELECT count(*) FROM tailpost."+table+" WHERE updated_at = $1 AND state NOT IN ('pending', 'running')", noon), table)
	}
}

// Whoever sums over all hours gets the same before and after.
func TestFoldStats_keepsEverySum(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	outcomes := []outbox.Outcome{outbox.Delivered, outbox.Retry, outbox.Dead}
	var many []outbox.Attempt
	for i := range 300 {
		a := attempt("e", []string{"erp", "crm"}[i%2], outcomes[i%3], 1)
		a.AttemptedAt = noon.Add(time.Duration(-i) * 20 * time.Minute)
		a.Duration = time.Duration(i*i) * time.Millisecond
		many = append(many, a)
	}
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Attempts: many}))
	const sums = `
		SELECT string_agg(s::text, ' ' ORDER BY endpoint_id)
		FROM (
		    SELECT endpoint_id, sum(attempts), sum(delivered), sum(failed), sum(dead), round(sum(duration_ms_sum)),
		           (SELECT array_agg(n ORDER BY place)
		            FROM (SELECT place, sum(n) AS n
		                  FROM tailpost.endpoint_stats AS x, unnest(x.buckets) WITH ORDINALITY AS u (n, place)
		                  WHERE x.endpoint_id = s.endpoint_id
		                  GROUP BY place) AS p)
		    FROM tailpost.endpoint_stats AS s
		    GROUP BY endpoint_id
		) AS s`
	before := b.texts(t, sums)
	for _, bound := range []time.Time{noon.AddDate(0, 0, -2), noon.AddDate(0, 0, -1)} {
		hours := b.count(t, "SELECT count(*) FROM tailpost.endpoint_stats WHERE hour < $1 AND hour > 'epoch'", bound)
		folded, more, err := b.ledger.FoldStats(t.Context(), bound.Add(30*time.Minute))
		require.NoError(t, err)
		require.False(t, more)
		require.EqualValues(t, hours, folded)
		require.Equal(t, before, b.texts(t, sums))
		require.Equal(t, 2, b.count(t, "SELECT count(*) FROM tailpost.endpoint_stats WHERE hour < $1", bound))
	}
	require.Positive(t, b.count(t, "SELECT count(*) FROM tailpost.endpoint_stats WHERE hour = $1", noon.AddDate(0, 0, -1)),
		"the hour of the bound itself is not over")
}

func TestDropPartition_dropsTheOldestDayBeforeTheBound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, "SELECT tailpost.ensure_attempt_partitions('2026-02-22', 5)")
	drop := func(before time.Time) string {
		name, err := b.ledger.DropPartition(t.Context(), before)
		require.NoError(t, err)
		return name
	}
	require.Equal(t, "attempt_20260222", drop(noon.AddDate(0, 0, -18)))
	require.Equal(t, "attempt_20260223", drop(noon.AddDate(0, 0, -18)))
	require.Empty(t, drop(noon.AddDate(0, 0, -18)), "the day of the bound is kept whole")
	require.Zero(t, b.count(t, "SELECT count(*) FROM pg_class WHERE relname IN ('attempt_20260222', 'attempt_20260223')"))

	// What a relay that died while it dropped one left behind is dropped too.
	b.exec(t, "ALTER TABLE tailpost.attempt DETACH PARTITION tailpost.attempt_20260224")
	require.Equal(t, "attempt_20260224", drop(noon.AddDate(0, 0, -17)))
	require.Equal(t, 2, b.count(t, "SELECT count(*) FROM pg_class WHERE relname IN ('attempt_20260225', 'attempt_20260226')"))
}

// What is called like a partition is not one: a table of somebody else, or a view.
func TestDropPartition_leavesWhatIsNoPartition(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, "CREATE TABLE public.attempt_20250101 (id int)")
	b.exec(t, "CREATE VIEW tailpost.attempt_20250102 AS SELECT 1")
	name, err := b.ledger.DropPartition(t.Context(), noon)
	require.NoError(t, err)
	require.Empty(t, name)
	b.exec(t, "TABLE public.attempt_20250101; TABLE tailpost.attempt_20250102")
}

// A role that owns the table waits for those who read it, and meanwhile locks nobody out.
func TestDropPartition_locksNobodyOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, "SELECT tailpost.ensure_attempt_partitions('2026-02-22', 1)")
	reader, err := b.db.Conn(t).Begin(t.Context())
	require.NoError(t, err)
	_, err = reader.Exec(t.Context(), "SELECT FROM tailpost.attempt")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		_, err := b.ledger.DropPartition(t.Context(), noon)
		done <- err
	}()
	b.awaitBlocked(t)
	b.exec(t, "SET lock_timeout = '200ms'")
	b.attempted(t, "e1", 1, "stream", outbox.Delivered, 0)
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.attempt"))
	require.NoError(t, reader.Rollback(t.Context()))
	require.NoError(t, <-done)
	require.Zero(t, b.count(t, "SELECT count(*) FROM pg_class WHERE relname = 'attempt_20260222'"))
}

// A statement that removes what is old looks at a bounded part of it, of however many endpoints and
// types that is.
func TestOldCountersGoInPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO tailpost.endpoint_stats (endpoint_id, hour, attempts, delivered, failed, dead, duration_ms_sum, buckets)
		SELECT e::text, $1::timestamptz - h * interval '1 hour', 1, 1, 0, 0, 1, array_fill(1::bigint, ARRAY[15])
		FROM generate_series(1, 30) AS e, generate_series(0, 50) AS h`, noon)
	b.exec(t, `INSERT INTO tailpost.type_stats (endpoint_id, hour, event_type, attempts, delivered, failed, dead)
		SELECT e::text, $1::timestamptz - h * interval '1 hour', y::text, 1, 1, 0, 0
		FROM generate_series(1, 6) AS e, generate_series(0, 50) AS h, generate_series(1, 5) AS y`, noon)
	for name, drop := range map[string]func(context.Context, time.Time) (int64, bool, error){
		"sums": b.ledger.FoldStats, "types": b.ledger.DropTypeStats,
	} {
		for _, want := range []int64{1000, 500} {
			dropped, more, err := drop(t.Context(), noon)
			require.NoError(t, err)
			require.Equal(t, want, dropped, name)
			require.Equal(t, want == 1000, more, name)
		}
	}
	require.Equal(t, 1500, b.count(t, "SELECT sum(attempts) FROM tailpost.endpoint_stats WHERE hour = 'epoch'"))
	for _, table := range []string{"endpoint_stats", "type_stats"} {
		require.Equal(t, 30, b.count(t, "SELECT count(*) FROM tailpost."+table+" WHERE hour = $1", noon), "%s: the hour that begins then", table)
	}
}
