package query_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// eventsSQL adds events to the neighbours' database. The event n of the tests has an id that ends
// with n, which is the order of the ids.
//
//	1  was delivered to ep-1, given up by ep-3
//	2  was only sent as a test
//	3  was discarded by ep-1, waits for ep-3
//	4  waits for its first attempt to ep-3
//	5  waits for its first attempt to ep-1, and has no row any more
//	6  waits for ep-1 like that, and was attempted by ep-3
//	7  waits for ep-2, and was sent as a test
//	8  has a row that the relay has not come to
//	11, 12  have attempts alone
const eventsSQL = `
SET timezone = 'UTC';
CREATE FUNCTION pg_temp.ev(n integer) RETURNS text LANGUAGE sql AS $f$ SELECT '018f0000-0000-7000-8000-' || lpad(n::text, 12, '0') $f$;
CREATE FUNCTION pg_temp.ago(minutes integer) RETURNS timestamptz LANGUAGE sql AS $f$ SELECT timestamptz '2026-03-14 12:00Z' - minutes * interval '1 minute' $f$;
INSERT INTO tailpost.endpoint (id, name, url, subscriptions, policy, status, disabled_reason, source, created_at, updated_at)
VALUES ('ep-7', 'gone', 'https://example.com/', '[]', '{}', 'disabled', '410', 'api', @noon, @noon),
       ('ep-8', 'old', 'https://example.com/', '[]', '{}', 'disabled', 'removed from the configuration', 'config', @noon, @noon);
INSERT INTO public.outbox (id, type, key, tenant, payload, created_at)
SELECT pg_temp.ev(n)::uuid, type, key, tenant, json_build_object('n', n), pg_temp.ago(ago)
FROM (VALUES
    (1, 'order.created', 'k1', 'alpha', 60),
    (2, 'order.paid',    'k2', 'bravo', 120),
    (3, 'order.created', 'k1', 'alpha', 180),
    (4, 'order.created', NULL, NULL,    240),
    (8, 'order.created', NULL, NULL,    5)
) AS v (n, type, key, tenant, ago);
INSERT INTO tailpost.attempt (event_id, event_type, tenant, endpoint_id, number, trigger, url, outcome, duration_ms, attempted_at, commit_lsn, search)
SELECT pg_temp.ev(n), type, tenant, endpoint, 1, trigger, 'https://example.com/', outcome, 1, pg_temp.ago(ago), '0/10', search::text[]
FROM (VALUES
    (1,  'order.created', 'alpha', 'ep-1', 'stream', 'delivered', 59,  '{cart=1}'),
    (1,  'order.created', 'alpha', 'ep-3', 'stream', 'dead',      58,  '{cart=1}'),
    (2,  'order.paid',    'bravo', 'ep-2', 'test',   'delivered', 57,  NULL),
    (6,  'order.created', 'alpha', 'ep-3', 'stream', 'delivered', 70,  '{cart=9}'),
    (7,  'order.paid',    'bravo', 'ep-2', 'test',   'delivered', 71,  NULL),
    (11, 'order.created', 'alpha', 'ep-1', 'stream', 'delivered', 50,  NULL),
    (11, 'order.created', 'alpha', 'ep-3', 'stream', 'delivered', 40,  NULL),
    (11, 'order.created', 'alpha', 'ep-1', 'test',   'delivered', 30,  NULL),
    (12, 'order.paid',    'bravo', 'ep-2', 'stream', 'delivered', 35,  NULL)
) AS v (n, type, tenant, endpoint, trigger, outcome, ago, search);
INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, tenant, payload, commit_lsn, seq, event_created_at, created_at, updated_at, search)
SELECT pg_temp.ev(n), endpoint, state, 'retry', attempts, type, tenant, convert_to(json_build_object('n', n, 'to', endpoint)::text, 'UTF8'), '0/20', n,
       pg_temp.ago(ago), @noon, @noon, search::text[]
FROM (VALUES
    (1, 'ep-3', 'dead',    1, 'order.created', 'alpha', 900, NULL),
    (3, 'ep-3', 'pending', 1, 'order.created', 'alpha', 180, NULL),
    (4, 'ep-3', 'pending', 0, 'order.created', NULL,    240, '{cart=9}'),
    (5, 'ep-1', 'pending', 0, 'order.paid',    'alpha', 200, '{cart=9}'),
    (6, 'ep-1', 'pending', 0, 'order.created', 'alpha', 150, '{cart=9}'),
    (7, 'ep-2', 'pending', 0, 'order.paid',    'bravo', 100, '{cart=9}')
) AS v (n, endpoint, state, attempts, type, tenant, ago, search);
INSERT INTO tailpost.discarded (event_id, endpoint_id, at) VALUES (pg_temp.ev(3), 'ep-1', @noon);
INSERT INTO tailpost.relay (slot, epoch, owner, system_id, timeline, batch, settled_lsn, settled_at, audited_at, updated_at, started_at, heal)
VALUES ('slot-1', 1, 'owner-1', 's', 1, 1, '0/10', pg_temp.ago(90), pg_temp.ago(600), @noon, pg_temp.ago(120), 'one'),
       ('slot-2', 2, 'owner-2', 's', 1, 1, '0/20', pg_temp.ago(95), pg_temp.ago(700), @noon, pg_temp.ago(110), 'two');
INSERT INTO tailpost.gap (slot, why, from_lsn, to_lsn, events, deliveries, detected_at, at)
SELECT slot, why, '0/1', '0/2', events, events, @noon, @noon
FROM (VALUES ('slot-1', 'slot_lost', 3), ('slot-2', 'failover', 40), ('slot-2', 'failover', 50)) AS v (slot, why, events);
INSERT INTO tailpost.endpoint_stats (endpoint_id, hour, attempts, delivered, failed, dead, duration_ms_sum, buckets)
VALUES ('ep-1', @noon::timestamptz + interval '1 hour', 5000, 0, 0, 0, 0, '{}');
INSERT INTO tailpost.type_stats (endpoint_id, hour, event_type, attempts, delivered, failed, dead)
SELECT endpoint, @noon::timestamptz + h * interval '1 hour', type, n, 0, 0, 0
FROM (VALUES
    ('ep-1', -2, 'order.created', 7),
    ('',     -1, 'order.created', 1),
    ('',      0, 'order.created', 100),
    ('',      0, 'order.paid',    200),
    ('',      1, 'order.created', 400),
    ('ep-1',  0, 'order.created', 4),
    ('ep-1',  0, 'order.paid',    6),
    ('ep-2',  0, 'order.created', 20)
) AS v (endpoint, h, type, n)`

func ev(n int) string { return fmt.Sprintf("018f0000-0000-7000-8000-%012d", n) }

func evs(n ...int) []string {
	list := make([]string, len(n))
	for i := range n {
		list[i] = ev(n[i])
	}
	return list
}

// neighbouringEvents opens a database that neighboursSQL and eventsSQL filled.
func neighbouringEvents(t *testing.T) (*query.Store, *pgx.Conn) {
	t.Helper()
	store, conn := neighbours(t)
	_, err := schema.EnsurePartitions(t.Context(), conn, noon, 1)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), eventsSQL, pgx.QueryExecModeSimpleProtocol, pgx.NamedArgs{"noon": noon})
	require.NoError(t, err)
	return store, conn
}

func pattern(t *testing.T, text string) config.Pattern {
	t.Helper()
	p, err := config.ParsePattern(text)
	require.NoError(t, err)
	return p
}

func ago(minutes int) time.Time { return noon.Add(-time.Duration(minutes) * time.Minute) }

// TestAListOfEventsHasWhatItWasAskedFor: each filter leaves out what differs in that one thing, and
// an event without a row stands where its last attempt does that is asked for.
func TestAListOfEventsHasWhatItWasAskedFor(t *testing.T) {
	t.Parallel()
	store, _ := neighbouringEvents(t)
	cart := []query.Term{{"cart=9"}}
	for name, list := range map[string]struct {
		q    query.EventQuery
		want []string
	}{
		"everything":          {query.EventQuery{}, evs(8, 4, 3, 2, 1, 12, 11, 6)},
		"what a tenant sees":  {query.EventQuery{Tenant: "alpha"}, evs(3, 1, 11)},
		"a tenant's":          {query.EventQuery{EventTenant: "bravo"}, evs(2, 12)},
		"a key's":             {query.EventQuery{Key: "k1"}, evs(3, 1)},
		"of a type":           {query.EventQuery{Type: pattern(t, "order.paid")}, evs(2, 12)},
		"since":               {query.EventQuery{Since: ago(60)}, evs(8, 1, 12, 11)},
		"until":               {query.EventQuery{Until: ago(60)}, evs(4, 3, 2, 6)},
		"until the last of 2": {query.EventQuery{Until: ago(45)}, evs(4, 3, 2, 1, 11, 6)},
		"only rows":           {query.EventQuery{RowsOnly: true}, evs(8, 4, 3, 2, 1)},

		"found":                    {query.EventQuery{Search: cart}, evs(4, 5, 7, 6)},
		"found, of what one sees":  {query.EventQuery{Search: cart, Tenant: "alpha"}, evs(5, 6)},
		"found, a tenant's":        {query.EventQuery{Search: cart, EventTenant: "alpha"}, evs(5, 6)},
		"found, of a type":         {query.EventQuery{Search: cart, Type: pattern(t, "order.paid")}, evs(5, 7)},
		"found, since":             {query.EventQuery{Search: cart, Since: ago(200)}, evs(5, 7, 6)},
		"found, until":             {query.EventQuery{Search: cart, Until: ago(200)}, evs(4)},
		"found by another value":   {query.EventQuery{Search: []query.Term{{"cart=1"}}}, evs(1)},
		"found by two of one name": {query.EventQuery{Search: []query.Term{{"cart=9"}, {"cart=1"}}}, nil},
	} {
		for _, limit := range []int{1, 2, 100} {
			list.q.Limit = limit
			require.Equal(t, list.want, allEvents(t, store, list.q), "%s, %d a page", name, limit)
		}
	}
	page, err := store.Events(t.Context(), query.EventQuery{Search: cart, Tenant: "bravo", Limit: 1})
	require.NoError(t, err)
	require.Nil(t, page.Next, "after the only one")
	page, err = store.Events(t.Context(), query.EventQuery{Search: []query.Term{{"cart=1"}}, Limit: 1})
	require.NoError(t, err)
	require.Equal(t, query.ListedEvent{
		ID: ev(1), Type: "order.created", Key: "k1", Tenant: "alpha", CreatedAt: ago(60), HasRow: true,
		EventState: query.EventState{State: query.EventDead, Delivered: 1, Dead: 1, LastAttemptAt: ago(58)},
	}, page.Events[0], "with what its row alone has")
}

// TestWhatBecameOfAnEventIsSaidOfItAlone: over the endpoints that the caller sees, without tests.
func TestWhatBecameOfAnEventIsSaidOfItAlone(t *testing.T) {
	t.Parallel()
	store, _ := neighbouringEvents(t)
	for tenant, want := range map[string]map[int]query.EventState{
		"": {
			1: {State: query.EventDead, Delivered: 1, Dead: 1, LastAttemptAt: ago(58)}, 2: {State: query.EventUnmatched},
			3: {State: query.EventPending, Pending: 1}, 4: {State: query.EventPending, Pending: 1}, 8: {State: query.EventNew},
		},
		"alpha": {
			1: {State: query.EventDelivered, Delivered: 1, LastAttemptAt: ago(59)}, 2: {State: query.EventUnmatched},
			3: {State: query.EventDiscarded}, 4: {State: query.EventUnmatched}, 8: {State: query.EventNew},
		},
		"bravo": { // what another tenant has discarded is none of its business
			1: {State: query.EventNew}, 2: {State: query.EventUnmatched},
			3: {State: query.EventUnmatched}, 4: {State: query.EventUnmatched}, 8: {State: query.EventNew},
		},
	} {
		page, err := store.Events(t.Context(), query.EventQuery{RowsOnly: true, Limit: 10})
		require.NoError(t, err)
		require.NoError(t, store.EventStates(t.Context(), tenant, page.Events))
		for n, state := range want {
			for i := range page.Events {
				if e := &page.Events[i]; e.ID == ev(n) {
					require.Equal(t, state, e.EventState, "event %d, seen by %q", n, tenant)
				}
			}
		}
		require.Len(t, page.Events, len(want))
	}
}

// TestAnEventIsReadWithItsOwn: payload, deliveries and attempts.
func TestAnEventIsReadWithItsOwn(t *testing.T) {
	t.Parallel()
	store, conn := neighbouringEvents(t)
	found, err := store.Event(t.Context(), "", ev(1))
	require.NoError(t, err)
	require.JSONEq(t, `{"n": 1}`, string(found.Event.Payload))
	require.Len(t, found.Deliveries, 1)
	require.Len(t, found.Attempts, 2)
	found, err = store.Event(t.Context(), "alpha", ev(1))
	require.NoError(t, err)
	require.Empty(t, found.Deliveries)
	require.Len(t, found.Attempts, 1)
	for n, to := range map[int]string{5: "ep-1", 7: "ep-2"} {
		found, err = store.Event(t.Context(), "", ev(n))
		require.NoError(t, err)
		require.JSONEq(t, fmt.Sprintf(`{"n": %d, "to": %q}`, n, to), string(found.Event.Payload), "what waits has the payload")
		require.True(t, found.HasRow)
	}
	found, err = store.Event(t.Context(), "", ev(12))
	require.NoError(t, err)
	require.False(t, found.HasRow)
	require.Equal(t, outbox.Event{ID: ev(12), Type: "order.paid", Tenant: "bravo", CommitLSN: 0x10}, found.Event, "as far as its attempt tells")
	// Of an event of another tenant everybody sees what went, or goes, to an endpoint of one's own.
	for _, sql := range []string{
		"UPDATE public.outbox SET tenant = 'charlie'", "UPDATE tailpost.delivery SET endpoint_id = 'ep-2' WHERE event_id = '" + ev(4) + "'",
	} {
		_, err = conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	for tenant, n := range map[string]int{"alpha": 1, "bravo": 4} {
		found, err = store.Event(t.Context(), tenant, ev(n))
		require.NoError(t, err, tenant)
		require.True(t, found.HasRow)
	}
	for _, read := range []struct {
		tenant string
		n      int
	}{{"bravo", 1}, {"bravo", 5}, {"bravo", 11}, {"alpha", 4}, {"alpha", 8}, {"", 99}} {
		_, err = store.Event(t.Context(), read.tenant, ev(read.n))
		require.ErrorIs(t, err, query.ErrNotFound, "event %d for %q", read.n, read.tenant)
	}
	for given, want := range map[string]string{
		"018F0000-0000-7000-8000-000000000008": ev(8), // of another spelling, and without a trace
		ev(11):                                 ev(11),
		"event-1":                              "event-1",
	} {
		id, err := store.EventID(t.Context(), given)
		require.NoError(t, err)
		require.Equal(t, want, id)
	}
}

// TestAnEventIsSentAgainWhereItIsOver: to an endpoint that has its own trace of it, which is not a
// test, and where it does not wait.
func TestAnEventIsSentAgainWhereItIsOver(t *testing.T) {
	t.Parallel()
	store, conn := neighbouringEvents(t)
	for _, ask := range []struct {
		tenant   string
		n        int
		endpoint string
		want     error
	}{
		{"", 1, "ep-1", nil},
		{"alpha", 1, "ep-1", nil},
		{"", 1, "ep-3", nil},
		{"", 3, "ep-1", nil}, // delivered, dead, discarded
		{"bravo", 1, "ep-1", query.ErrNotFound},
		{"", 1, "none", query.ErrNotFound}, // whose endpoint
		{"", 1, "ep-5", query.ErrNotFound},
		{"", 3, "ep-5", query.ErrNotFound}, // another endpoint's trace
		{"", 2, "ep-1", query.ErrNotFound},
		{"", 8, "ep-1", query.ErrNotFound}, // another event's trace
		{"", 2, "ep-2", query.ErrNotFound}, // a test
		{"", 3, "ep-3", query.ErrConflict},
		{"", 4, "ep-3", query.ErrConflict},
		{"", 11, "ep-1", query.ErrConflict}, // its payload is gone
	} {
		require.ErrorIs(t, store.CanResend(t.Context(), ask.tenant, ev(ask.n), ask.endpoint), ask.want, "%+v", ask)
	}
	before := rowsOf(t, conn)
	require.NoError(t, change(func(ctx context.Context, c *query.Change) error {
		if err := c.ResendRecorded(ctx, "alpha", ev(3), "ep-1"); err != nil {
			return err
		}
		// Who deletes the endpoint waits: what is queued would stay for ever.
		var free int
		require.NoError(t, conn.QueryRow(ctx, "SELECT count(*) FROM (SELECT FROM tailpost.endpoint WHERE id = 'ep-1' FOR UPDATE SKIP LOCKED) AS x").Scan(&free))
		require.Zero(t, free)
		return nil
	})(t.Context(), store))
	require.Equal(t, []string{ev(3) + " to ep-1"}, differences(before, rowsOf(t, conn)))

	_, err := conn.PgConn().Exec(t.Context(), `ALTER TABLE public.outbox ALTER created_at DROP NOT NULL; UPDATE public.outbox SET created_at = NULL;
		INSERT INTO tailpost.attempt (event_id, event_type, endpoint_id, number, trigger, url, outcome, duration_ms, attempted_at, commit_lsn)
		SELECT event_id, event_type, endpoint_id, 2, 'resend', url, 'dead', 1, '2026-03-14 11:30Z', commit_lsn FROM tailpost.attempt WHERE endpoint_id = 'ep-1' AND event_id = '`+ev(1)+"'").ReadAll()
	require.NoError(t, err)
	require.NoError(t, change(func(ctx context.Context, c *query.Change) error { return c.ResendRecorded(ctx, "", ev(1), "ep-1") })(t.Context(), store))
	again, err := store.Deliveries(t.Context(), query.DeliveryQuery{DeliveryFilter: ledger.DeliveryFilter{EventID: ev(1), EndpointID: "ep-1"}, Limit: 1})
	require.NoError(t, err)
	require.Equal(t, ago(59), again[0].Event.CreatedAt, "a row without a time is as old as its first attempt")
}

// TestCountersOverTimeAreThoseAskedFor: of the hours, the endpoints and the types. Those by type
// are whole from the hour after the first one on; before it they are those of the endpoints.
func TestCountersOverTimeAreThoseAskedFor(t *testing.T) {
	t.Parallel()
	store, _ := neighbouringEvents(t)
	hour := func(h int) time.Time { return noon.Add(time.Duration(h) * time.Hour) }
	for name, read := range map[string]struct {
		q    query.SeriesQuery
		want map[string]map[int]int64
	}{
		"of all":            {query.SeriesQuery{}, map[string]map[int]int64{"": {-1: 32, 0: 300}}},
		"of all, by type":   {query.SeriesQuery{By: query.ByType, Most: 9}, map[string]map[int]int64{"order.created": {-1: 1, 0: 100}, "order.paid": {0: 200}, "": {-1: 31, 0: 0}}},
		"by the first type": {query.SeriesQuery{By: query.ByType, Most: 1}, map[string]map[int]int64{"order.paid": {0: 200}, "": {-1: 32, 0: 100}}},
		"of one, by type":   {query.SeriesQuery{By: query.ByType, Most: 9, EndpointIDs: []string{"ep-1"}}, map[string]map[int]int64{"order.created": {0: 4}, "order.paid": {0: 6}, "": {-1: 11, 0: 0}}},
		"of a tenant's":     {query.SeriesQuery{By: query.ByType, Most: 9, Tenant: "bravo"}, map[string]map[int]int64{"order.created": {0: 20}, "": {-1: 21, 0: 0}}},
		"by endpoint":       {query.SeriesQuery{By: query.ByEndpoint, Most: 9}, map[string]map[int]int64{"ep-1": {-1: 11, 0: 10}, "ep-2": {-1: 21, 0: 20}}},
		"by the busiest":    {query.SeriesQuery{By: query.ByEndpoint, Most: 1}, map[string]map[int]int64{"ep-2": {-1: 21, 0: 20}, "": {-1: 11, 0: 280}}},
		"of one":            {query.SeriesQuery{EndpointIDs: []string{"ep-1"}}, map[string]map[int]int64{"": {-1: 11, 0: 10}}},
		"of a tenant":       {query.SeriesQuery{Tenant: "bravo"}, map[string]map[int]int64{"": {-1: 21, 0: 20}}},
		"of another's":      {query.SeriesQuery{Tenant: "bravo", EndpointIDs: []string{"ep-1"}}, map[string]map[int]int64{}},
	} {
		read.q.From, read.q.To, read.q.Step = hour(-1), hour(1), time.Hour
		series, err := store.Series(t.Context(), read.q)
		require.NoError(t, err)
		got := map[string]map[int]int64{}
		for _, s := range series {
			got[s.Name] = map[int]int64{}
			require.Equal(t, map[bool]string{true: "ERP"}[read.q.By == query.ByEndpoint && s.Name != ""], s.Label)
			for i := range s.Points {
				got[s.Name][int(s.Points[i].At.Sub(noon)/time.Hour)] = s.Points[i].Attempts
			}
		}
		require.Equal(t, read.want, got, name)
	}
}

// TestRecentEventsAreATenantsOwn: so that a filter is tried on nothing else.
func TestRecentEventsAreATenantsOwn(t *testing.T) {
	t.Parallel()
	store, _ := neighbouringEvents(t)
	for tenant, want := range map[string][]string{"": evs(8, 4, 3, 2, 1), "alpha": evs(3, 1), "none": nil} {
		var got []string
		recent, err := store.Recent(t.Context(), query.RecentQuery{Tenant: tenant, Most: 10}, func(e *outbox.Event) { got = append(got, e.ID) })
		require.NoError(t, err)
		require.True(t, recent.Listed)
		require.Equal(t, want, got, tenant)
	}
}

// TestRecentEventsHaveTheTimesOfTheStream: a time without a zone is of the zone that the
// configuration names, or else of the database's, in a list of events as in one alone.
func TestRecentEventsHaveTheTimesOfTheStream(t *testing.T) {
	t.Parallel()
	for zone, want := range map[string]string{"": "2026-07-01T06:30:00Z", "America/Los_Angeles": "2026-07-01T19:00:00Z"} {
		db := pgschema.NewDB(t)
		conn := db.Conn(t)
		_, err := schema.Migrate(t.Context(), conn, schema.MigrateOptions{Now: noon})
		require.NoError(t, err)
		for _, sql := range []string{
			"CREATE TABLE e (id text PRIMARY KEY, type text NOT NULL, key text, tenant text, payload jsonb, headers jsonb, created_at timestamp)",
			"INSERT INTO e (id, type, payload, created_at) VALUES ('ev-1', 'order.created', '{}', '2026-07-01 12:00')",
			"ALTER DATABASE " + pgx.Identifier{db.Name}.Sanitize() + " SET TimeZone = 'Asia/Kolkata'",
		} {
			_, err := conn.Exec(t.Context(), sql)
			require.NoError(t, err)
		}
		m := outbox.DefaultMapping()
		m.Table, m.TimeZone = "public.e", zone
		store, err := query.Open(t.Context(), query.Options{URL: config.NewSecret(db.URL), Owner: "test", Mapping: m})
		require.NoError(t, err)
		t.Cleanup(store.Close)
		var got []time.Time
		_, err = store.Recent(t.Context(), query.RecentQuery{Most: 10}, func(e *outbox.Event) { got = append(got, e.CreatedAt) })
		require.NoError(t, err)
		one, err := store.Event(t.Context(), "", "ev-1")
		require.NoError(t, err)
		at, err := time.Parse(time.RFC3339, want)
		require.NoError(t, err)
		require.Len(t, got, 1)
		require.True(t, at.Equal(got[0]), "%s: %s", zone, got[0])
		require.True(t, at.Equal(one.Event.CreatedAt), "%s: %s", zone, one.Event.CreatedAt)
	}
}
