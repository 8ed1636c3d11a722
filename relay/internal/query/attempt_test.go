package query_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// days is for how many days before today there are partitions.
const days = 5

// tenantOf has the endpoints of pages; one of them is nobody's.
var tenantOf = map[string]string{"ep_a": "two", "ep_b": "two", "ep_c": "one", "ep_d": ""}

type bundle struct {
	conn  *pgx.Conn
	store *query.Store
	now   time.Time
}

func setup(tb testing.TB) *bundle {
	tb.Helper()
	db := pgschema.NewDB(tb)
	b := &bundle{conn: db.Conn(tb), now: time.Now().UTC().Truncate(time.Microsecond)}
	_, err := schema.Migrate(tb.Context(), b.conn, schema.MigrateOptions{Now: b.now})
	require.NoError(tb, err)
	_, err = schema.EnsurePartitions(tb.Context(), b.conn, b.now.Add(-days*24*time.Hour), days)
	require.NoError(tb, err)
	for id, tenant := range tenantOf {
		_, err := b.conn.Exec(tb.Context(), `
INSERT INTO tailpost.endpoint (id, tenant, name, url, subscriptions, policy, status, source, created_at, updated_at)
VALUES ($1, NULLIF($2, ''), 'e', 'https://example.com', '[]', '{}', 'active', 'api', now(), now())`, id, tenant)
		require.NoError(tb, err)
	}
	b.store, err = query.Open(tb.Context(), query.Options{URL: config.NewSecret(db.URL), Owner: "test"})
	require.NoError(tb, err)
	tb.Cleanup(b.store.Close)
	return b
}

func (b *bundle) insert(ctx context.Context, tb require.TestingT, attempts []outbox.Attempt) {
	rows := make([][]any, len(attempts))
	orNull := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	for i := range attempts {
		a := &attempts[i]
		var status any
		if a.StatusCode != 0 {
			status = a.StatusCode
		}
		rows[i] = []any{
			a.EventID, a.EventType, orNull(a.Tenant), a.EndpointID, a.Number, "stream", "https://example.com", string(a.Outcome), status, 1.0,
			a.AttemptedAt, a.CommitLSN, a.Search, orNull(a.RequestID),
		}
	}
	columns := []string{
		"event_id", "event_type", "tenant", "endpoint_id", "number", "trigger", "url", "outcome", "status_code", "duration_ms",
		"attempted_at", "commit_lsn", "search", "request_id",
	}
	_, err := b.conn.CopyFrom(ctx, pgx.Identifier{"tailpost", "attempt"}, columns, pgx.CopyFromRows(rows))
	require.NoError(tb, err)
}

// key is an attempt's place among those of pages, as text.
func key(a *outbox.Attempt) string {
	return fmt.Sprintf("%s %s %s %d", a.AttemptedAt.UTC().Format("2006-01-02 15:04:05.000000"), a.EventID, a.EndpointID, a.Number)
}

// chosen are the places of the attempts that a query asks for, in the order of its pages.
func chosen(attempts []outbox.Attempt, q query.AttemptQuery) []string {
	keys := []string{}
	for i := range attempts {
		a := &attempts[i]
		class := q.StatusClass == 0 || a.StatusCode/100 == q.StatusClass
		if class && (q.Tenant == "" || tenantOf[a.EndpointID] == q.Tenant) && (q.EndpointID == "" || a.EndpointID == q.EndpointID) &&
			(q.EventID == "" || a.EventID == q.EventID) && (q.RequestID == "" || a.RequestID == q.RequestID) && (q.EventType == "" || a.EventType == q.EventType) &&
			(q.EventTenant == "" || a.Tenant == q.EventTenant) && (q.Outcome == "" || string(a.Outcome) == q.Outcome) &&
			!slices.ContainsFunc(q.Search, func(term query.Term) bool {
				return !slices.ContainsFunc(term, func(form string) bool { return slices.Contains(a.Search, form) })
			}) &&
			(q.Since.IsZero() || !a.AttemptedAt.Before(q.Since)) && (q.Until.IsZero() || a.AttemptedAt.Before(q.Until)) {
			keys = append(keys, key(a))
		}
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Compare(b, a) })
	return keys
}

// found reads all pages of a query: a slow machine's may be short.
func found(t *testing.T, store *query.Store, q query.AttemptQuery) (keys []string, pages int) {
	t.Helper()
	keys = []string{}
	for more := true; more; pages++ {
		page, err := store.Attempts(t.Context(), q)
		require.NoError(t, err)
		for i := range page.Attempts {
			keys = append(keys, key(&page.Attempts[i]))
		}
		if more = page.Next != nil; more {
			q.After = *page.Next
		}
	}
	return keys, pages
}

func drawAttempt(t *rapid.T, now time.Time) outbox.Attempt {
	one := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	ago := rapid.SampledFrom([]time.Duration{
		time.Millisecond, 3 * time.Second, 3*time.Second + time.Microsecond, 20 * time.Second, 10 * time.Minute, 7 * time.Hour, 26 * time.Hour,
		4 * 24 * time.Hour, -90 * time.Second, -2 * time.Hour, // a relay's clock may be ahead of ours
	}).Draw(t, "ago")
	a := outbox.Attempt{
		EventID: one("event", "e1", "e2", "e3"), EventType: one("type", "t1", "t2", "t3"), Tenant: one("tenant", "", "x", "y"),
		EndpointID: one("endpoint", "ep_a", "ep_b", "ep_c", "ep_d"), Number: rapid.IntRange(1, 3).Draw(t, "number"),
		Outcome: outbox.Outcome(one("outcome", "delivered", "retry", "dead")), StatusCode: 200, AttemptedAt: now.Add(-ago),
	}
	if terms := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a=1", "a=2", "b=1"}), 0, 2, rapid.ID).Draw(t, "search"); len(terms) > 0 {
		a.Search = terms
	}
	if a.Outcome != outbox.Delivered {
		a.StatusCode = rapid.SampledFrom([]int{0, 200, 302, 404, 429, 500, 503}).Draw(t, "status")
	} else if rapid.IntRange(0, 4).Draw(t, "another success") == 0 {
		a.StatusCode = 409
	}
	return a
}

func drawQuery(t *rapid.T, now time.Time) query.AttemptQuery {
	// Most queries have few conditions.
	one := func(label string, of ...string) string {
		if rapid.IntRange(0, 2).Draw(t, "with "+label) > 0 {
			return ""
		}
		return rapid.SampledFrom(of).Draw(t, label)
	}
	q := query.AttemptQuery{
		Tenant: one("tenant", "one", "two", "none"), EndpointID: one("endpoint", "ep_a", "ep_c", "ep_d", "none"), EventID: one("event", "e1", "none"),
		EventType: one("type", "t1", "none"), EventTenant: one("event tenant", "x", "none"), Outcome: one("outcome", "delivered", "retry", "dead"),
		Limit: rapid.IntRange(1, 20).Draw(t, "limit"),
	}
	if class := one("class", "1", "2", "3", "4", "5"); class != "" {
		q.StatusClass = int(class[0] - '0')
	}
	for range rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "terms") {
		q.Search = append(q.Search, rapid.SampledFrom([]query.Term{{"a=1"}, {"a=1", "b=1"}, {"b=1"}, {"none=1"}}).Draw(t, "term"))
	}
	if rapid.IntRange(0, 3).Draw(t, "with since") == 0 {
		q.Since = now.Add(-rapid.SampledFrom([]time.Duration{10 * time.Second, 26 * time.Hour}).Draw(t, "since"))
	}
	if rapid.IntRange(0, 3).Draw(t, "with until") == 0 {
		q.Until = now.Add(-rapid.SampledFrom([]time.Duration{0, 3 * time.Second, 26 * time.Hour}).Draw(t, "until"))
	}
	return q
}

// drawLearned is what a caller makes of what a cursor says that the search has learned: nothing;
// what the versions had that did not say it; or anything. How many pages there are depends on the
// machine, so that it is drawn before.
func drawLearned(t *rapid.T) func(*query.AttemptPosition) {
	window, fixed, dense := rapid.Int64().Draw(t, "window"), rapid.Int64().Draw(t, "fixed"), rapid.Int64().Draw(t, "dense")
	how := rapid.IntRange(0, 3).Draw(t, "learned")
	return func(p *query.AttemptPosition) {
		switch how {
		case 0:
			p.Window, p.Fixed, p.Dense = 0, 0, time.Time{}
		case 1:
			p.Window, p.Fixed, p.Dense = time.Duration(window), time.Duration(fixed), time.Unix(dense, 0)
		}
	}
}

// cursorOf is a position as it comes back from a caller.
func cursorOf(tb require.TestingT, p *query.AttemptPosition) (back query.AttemptPosition) {
	text, err := json.Marshal(any(p))
	require.NoError(tb, err)
	require.NoError(tb, json.Unmarshal(text, any(&back)))
	return back
}

// Whatever there is and whatever is asked for, the pages one after the other have each of it once,
// newest first.
func TestAttempts_pagesSkipNothingAndRepeatNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rapid.Check(t, func(rt *rapid.T) {
		_, err := b.conn.Exec(t.Context(), "TRUNCATE tailpost.attempt")
		require.NoError(rt, err)
		attempts := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) outbox.Attempt { return drawAttempt(t, b.now) }), 0, 60,
			func(a outbox.Attempt) string { return key(&a) }).Draw(rt, "attempts")
		b.insert(t.Context(), rt, attempts)
		for range 5 {
			q := drawQuery(rt, b.now)
			learned := rapid.SliceOfN(rapid.Custom(drawLearned), 3, 3).Draw(rt, "learned")
			want, got := chosen(attempts, q), []string{}
			pages := 0
			for more := true; more; pages++ {
				page, err := b.store.Attempts(t.Context(), q)
				require.NoError(rt, err)
				require.LessOrEqual(rt, len(page.Attempts), q.Limit)
				for i := range page.Attempts {
					got = append(got, key(&page.Attempts[i]))
				}
				require.LessOrEqual(rt, len(got), len(want), "more than there are: %v", got)
				if more = page.Next != nil; more {
					q.After = cursorOf(rt, page.Next)
					learned[pages%3](&q.After)
				}
			}
			require.Equal(rt, want, got)
		}
	})
}

// The first window is a second long: what is on its edges is in one of the windows.
func TestAttempts_windowsMeet(t *testing.T) {
	t.Parallel()
	b := setup(t)
	until := b.now.Add(-time.Hour)
	var attempts []outbox.Attempt
	for i, ago := range []time.Duration{time.Microsecond, time.Second - time.Microsecond, time.Second, time.Second + time.Microsecond, 2 * time.Second} {
		for _, endpoint := range []string{"ep_a", "ep_b"} {
			attempts = append(attempts, outbox.Attempt{
				EventID: fmt.Sprintf("e%d", i), EventType: "edge", EndpointID: endpoint, Number: 1, Outcome: outbox.Delivered, StatusCode: 200, AttemptedAt: until.Add(-ago),
			})
		}
	}
	b.insert(t.Context(), t, attempts)
	for _, limit := range []int{50, 1} { // of those of the same microsecond, a page has one
		q := query.AttemptQuery{EventType: "edge", Until: until, Limit: limit}
		got, _ := found(t, b.store, q)
		require.Equal(t, chosen(attempts, q), got, limit)
	}
}

// An endpoint may take any status for a success.
func TestAttempts_ofAClassWhateverItMeans(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var attempts []outbox.Attempt
	for i, outcome := range []outbox.Outcome{outbox.Delivered, outbox.Retry, outbox.Dead} {
		attempts = append(attempts, outbox.Attempt{
			EventID: fmt.Sprintf("e%d", i), EventType: "edge", EndpointID: "ep_a", Number: 1, Outcome: outcome, StatusCode: 409, AttemptedAt: b.now.Add(-time.Hour),
		})
	}
	b.insert(t.Context(), t, attempts)
	for _, q := range []query.AttemptQuery{{StatusClass: 4}, {StatusClass: 4, Outcome: "delivered"}, {StatusClass: 4, EndpointID: "ep_a"}, {StatusClass: 5}} {
		q.Limit = 10
		got, _ := found(t, b.store, q)
		require.Equal(t, chosen(attempts, q), got)
	}
}

// What was frequent until a day ago and is not since: thousands lie behind a search that has found
// nothing.
func TestAttempts_findWhatIsDenseFarBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	attempts := make([]outbox.Attempt, 0, 6000)
	for i := range cap(attempts) {
		attempts = append(attempts, outbox.Attempt{
			EventID: fmt.Sprintf("e%05d", i), EventType: "order.created", Tenant: "x", EndpointID: []string{"ep_a", "ep_b"}[i%2], Number: 1,
			Outcome: outbox.Delivered, StatusCode: 200, AttemptedAt: b.now.Add(-26*time.Hour - time.Duration(i)*20*time.Millisecond),
		})
	}
	slices.Reverse(attempts) // as they were recorded
	b.insert(t.Context(), t, attempts)
	_, err := b.conn.Exec(t.Context(), "VACUUM ANALYZE tailpost.attempt")
	require.NoError(t, err)
	for name, q := range map[string]query.AttemptQuery{
		"all": {}, "type": {EventType: "order.created"}, "tenant of the event": {EventTenant: "x"}, "tenant of the key": {Tenant: "two"},
		"endpoint, delivered": {EndpointID: "ep_a", Outcome: "delivered"},
	} {
		q.Limit = 250
		got, pages := found(t, b.store, q)
		require.Equal(t, chosen(attempts, q), got, name)
		t.Logf("%s: %d pages", name, pages)
	}
}
