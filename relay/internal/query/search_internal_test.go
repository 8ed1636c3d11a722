package query

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
)

const hours = 60

// setup is a store over 40,000 attempts of 60 hours until 6 seconds ago to 40 endpoints, of which
// one failed always with a 503; the others never did.
func setup(t *testing.T) *Store {
	t.Helper()
	db := pgschema.NewDB(t)
	conn := db.Conn(t)
	now := time.Now().UTC()
	_, err := schema.Migrate(t.Context(), conn, schema.MigrateOptions{Now: now})
	require.NoError(t, err)
	_, err = schema.EnsurePartitions(t.Context(), conn, now.Add(-hours*time.Hour), 1+hours/24)
	require.NoError(t, err)
	for _, sql := range []string{`
INSERT INTO tailpost.endpoint (id, tenant, name, url, subscriptions, policy, status, source, created_at, updated_at)
SELECT 'ep_' || i, CASE WHEN i = 1 THEN 'one' ELSE 'many' END, 'e', 'https://example.com', '[]', '{}', 'active', 'api', now(), now()
FROM generate_series(0, 39) AS i`, `
INSERT INTO tailpost.attempt (event_id, event_type, tenant, endpoint_id, number, trigger, url, outcome, status_code, duration_ms,
    attempted_at, commit_lsn, search)
SELECT 'event-' || i, 'type_' || i % 4, 'tenant_' || i % 10, 'ep_' || i % 40, 1, 'stream', 'https://example.com/in',
       CASE WHEN i % 40 = 0 THEN 'retry' ELSE 'delivered' END, CASE WHEN i % 40 = 0 THEN 503 ELSE 200 END, 1,
       now() - interval '1 second' - (40001 - i) * interval '5.4 seconds', '0/0', ARRAY['half=' || i % 2]
FROM generate_series(1, 40000) AS i`, `VACUUM ANALYZE tailpost.attempt`} {
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	s, err := Open(t.Context(), Options{URL: config.NewSecret(db.URL), Owner: "test"})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// attemptsReadSQL counts for the backend, since it last told the server.
const attemptsReadSQL = `
SELECT sum(seq_tup_read + idx_tup_fetch)
FROM pg_stat_xact_all_tables
WHERE schemaname = 'tailpost'
  AND relname LIKE 'attempt%'`

// young counts the attempts of a day that has just begun: Postgres reads a table of a few pages
// whole, whatever indexes it has.
func young(t *testing.T, s *Store) (n int) {
	t.Helper()
	err := s.read(t.Context(), "count the newest day", func(ctx context.Context, tx pgx.Tx) error {
		return tx.QueryRow(ctx, `
SELECT COALESCE(sum(n), 0)
FROM (SELECT count(*) AS n FROM tailpost.attempt GROUP BY tableoid) AS days
WHERE n < 2000`).Scan(&n)
	})
	require.NoError(t, err)
	return n
}

// What a page reads to be found does not grow with what there is. The limits are counts of rows;
// ranges of pages come whole, and those that are not full yet have no summary, so that every window
// reads them.
func TestAttempts_readLittleMoreThanTheyShow(t *testing.T) {
	t.Parallel()
	s := setup(t)
	const page, ranges = 2 * 51, 20_000
	young := young(t, s)
	for name, c := range map[string]struct {
		q          AttemptQuery
		rows, most int
	}{
		"endpoint":                       {AttemptQuery{EndpointID: "ep_1"}, 50, page},
		"endpoint, all failed":           {AttemptQuery{EndpointID: "ep_0", Outcome: "retry"}, 50, page},
		"endpoint, none dead":            {AttemptQuery{EndpointID: "ep_0", Outcome: "dead"}, 0, 0},
		"key's tenant with one endpoint": {AttemptQuery{Tenant: "one"}, 50, page},
		"that endpoint":                  {AttemptQuery{Tenant: "one", EndpointID: "ep_1"}, 50, page},
		"another endpoint":               {AttemptQuery{Tenant: "one", EndpointID: "ep_2"}, 0, 0},
		"tenant without endpoints":       {AttemptQuery{Tenant: "nobody"}, 0, 0},
		"failed":                         {AttemptQuery{Outcome: "retry"}, 50, page},
		"dead, none":                     {AttemptQuery{Outcome: "dead"}, 0, 0},
		"5xx":                            {AttemptQuery{StatusClass: 5}, 50, page},
		"4xx, none":                      {AttemptQuery{StatusClass: 4}, 0, 0},
		"event":                          {AttemptQuery{EventID: "event-17"}, 1, 1 + young},
		"type, none":                     {AttemptQuery{EventType: "nothing"}, 0, ranges},
		"tenant of events, none":         {AttemptQuery{EventTenant: "nobody"}, 0, ranges},
		"a term of every other one":      {AttemptQuery{Search: []Term{{"half=1"}}}, 50, 6_000 + young},
		"type, none, of many endpoints":  {AttemptQuery{Tenant: "many", EventType: "nothing"}, 0, ranges},
	} {
		// A window that ends late is read again, smaller: the least of some readings is what it
		// takes.
		least := math.MaxInt
		for range 5 {
			found, read := readPages(t, s, c.q, c.rows)
			require.Equal(t, c.rows, found, name)
			if least = min(least, read); least <= c.most {
				break
			}
		}
		require.LessOrEqual(t, least, c.most, "%s: attempts read", name)
		t.Logf("%s: %d attempts read for %d", name, least, c.rows)
	}
}

// readPages reads pages until they have some attempts, or all where those are none, and returns how
// many they had, and how many rows Postgres read for them.
func readPages(t *testing.T, s *Store, q AttemptQuery, wanted int) (found, read int) {
	t.Helper()
	before, after := 0, 0
	require.NoError(t, s.read(t.Context(), "read pages", func(ctx context.Context, tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, attemptsReadSQL).Scan(&before); err != nil {
			return err
		}
		for more := true; more && (found < wanted || wanted == 0); {
			q.Limit = max(50-found, 1)
			page, err := readAttempts(ctx, tx, q)
			if err != nil {
				return err
			}
			found += len(page.Attempts)
			if more = page.Next != nil; more {
				q.After = *page.Next
			}
		}
		return tx.QueryRow(ctx, attemptsReadSQL).Scan(&after)
	}))
	return found, after - before
}

// slowly has a query take a millisecond for each ten minutes of its window, as one does that reads
// a lot to find little.
func slowly(sql string) string {
	return strings.Replace(sql, "WHERE ", `WHERE (SELECT pg_sleep(extract(epoch FROM @high::timestamptz - @low::timestamptz) / 600000)) IS NOT NULL
  AND `, 1)
}

// A window that is not read in its time is read in parts, in the same transaction, and the page
// ends.
func TestSearch_givesUpWindowsThatTakeTooLong(t *testing.T) {
	t.Parallel()
	s := setup(t)
	middle := time.Now().Add(-hours / 2 * time.Hour)
	for name, c := range map[string]struct {
		after AttemptPosition
		want  int
	}{
		"from small windows on": {AttemptPosition{}, 2_000},
		"too large at once":     {AttemptPosition{At: middle, Window: lastWindow, Fixed: 1}, 1_000},
	} {
		q := AttemptQuery{EventType: "type_1", EventTenant: "tenant_3", After: c.after, Limit: 250}
		found, pages := 0, 0
		var timeout string
		for more := true; more; pages++ {
			require.NoError(t, s.read(t.Context(), "read a page", func(ctx context.Context, tx pgx.Tx) error {
				sql, args := attemptsQuery(q)
				page, err := searchAttempts(ctx, tx, q, slowly(sql), args)
				if err != nil {
					return err
				}
				found += len(page.Attempts)
				if more = page.Next != nil; more {
					require.True(t, q.After.At.IsZero() || page.Next.At.Before(q.After.At), "every page comes further")
					q.After = *page.Next
				}
				return tx.QueryRow(ctx, "SHOW statement_timeout").Scan(&timeout)
			}), name)
			require.Equal(t, statementTimeout, timeout, name)
		}
		require.InDelta(t, c.want, found, 10, "%s: those of half the time are some more or less", name)
		require.Greater(t, pages, 10, "%s: windows were read in time", name)
	}
}

// A tail looks at the last pages of a day and at nothing before them.
func TestTail_readsTheLastPagesOnly(t *testing.T) {
	t.Parallel()
	s := setup(t)
	now := time.Now()
	day := tailDays(now)[0]
	err := s.read(t.Context(), "explain", func(ctx context.Context, tx pgx.Tx) error {
		plan, err := many(ctx, tx, "EXPLAIN "+tailPlacesSQL, pgx.NamedArgs{"day": day, "from": TID{Block: 100}.String()}, pgx.RowTo[string])
		require.Contains(t, strings.Join(plan, "\n"), "Tid Range Scan")
		require.Equal(t, 1, strings.Count(strings.Join(plan, "\n"), "Scan on"), "one day")
		return err
	})
	require.NoError(t, err)
}

// On a slow machine an empty page is worth no less than on a fast one: whoever reads it takes it
// for all there is.
func TestAPageEndsEarlyOnlyOnceItHasLookedFarEnough(t *testing.T) {
	t.Parallel()
	some := &AttemptPage{Attempts: make([]outbox.Attempt, 1)}
	for name, test := range map[string]struct {
		page  *AttemptPage
		parts int
		took  time.Duration
		want  bool
	}{
		"something, in time":     {some, 9, searchPatience, false},
		"something, late":        {some, 1, searchPatience + 1, true},
		"nothing, in time":       {&AttemptPage{}, 9, searchPatience, false},
		"nothing, late at once":  {&AttemptPage{}, 1, time.Minute, false},
		"nothing, late by parts": {&AttemptPage{}, leastParts - 1, time.Minute, false},
		"nothing, looked enough": {&AttemptPage{}, leastParts, searchPatience + 1, true},
	} {
		require.Equal(t, test.want, test.page.enough(test.parts, test.took), name)
	}
}
