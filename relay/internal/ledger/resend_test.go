package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// deadRows writes dead deliveries: n to each endpoint, their commits in the opposite order of their
// ids.
func (b *bundle) deadRows(t *testing.T, n int, endpoints ...string) {
	t.Helper()
	b.exec(t, `
INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, tenant, event_created_at, commit_lsn, seq,
    created_at, updated_at)
SELECT i::text, e, 'dead', 'exhausted', 10, CASE WHEN i % 10 = 0 THEN 'order.paid' ELSE 'order.created' END, 'acme', $3::timestamptz,
    '0/1000'::pg_lsn - i / 3, -i, $3, $3
FROM unnest($1::text[]) AS e, generate_series(1, $2::int) AS i`, endpoints, n, noon.Add(-time.Hour))
}

// resend asks for one.
func (b *bundle) resend(t *testing.T, tenant, selection string) {
	t.Helper()
	b.exec(t, `INSERT INTO tailpost.resend (id, tenant, selection, state, created_at, updated_at)
		VALUES ('rs', NULLIF($1, ''), $2::text::jsonb, 'pending', $3, $3)`, tenant, selection, noon)
}

// next reads the resend that is open; nil: there is none.
func (b *bundle) next(t *testing.T, l *ledger.Ledger) *ledger.Resend {
	t.Helper()
	open, err := l.Resends(t.Context())
	require.NoError(t, err)
	if len(open) == 0 {
		return nil
	}
	require.Len(t, open, 1)
	require.Empty(t, open[0].Problem)
	return &open[0]
}

// page does one page of the resend that is open.
func (b *bundle) page(t *testing.T, hold ledger.Hold, limit int, now time.Time) ledger.Resent {
	t.Helper()
	page, err := b.ledger.ResendPage(t.Context(), hold, b.next(t, b.ledger), limit, now)
	require.NoError(t, err)
	return page
}

const resentIDs = "SELECT endpoint_id || '/' || event_id FROM tailpost.delivery WHERE trigger = 'resend' ORDER BY next_attempt_at, endpoint_id, commit_lsn, seq"

func (b *bundle) texts(t *testing.T, sql string) []string {
	t.Helper()
	rows, err := b.conn.Query(t.Context(), sql)
	require.NoError(t, err)
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return all
}

func TestResendGoesInPagesThroughTheOrderOfEachEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	b.deadRows(t, 25, "a", "b")
	b.resend(t, "", `{"state": "dead"}`)
	var want []string
	for _, endpoint := range []string{"a", "b"} {
		for i := 25; i > 0; i-- {
			want = append(want, fmt.Sprintf("%s/%d", endpoint, i))
		}
	}
	var touched [][]string
	for n := range 6 {
		// Another relay may do the next page.
		l := b.open(t, b.db.URL)
		before := hold
		hold = take(t, l)
		_, err := b.ledger.ResendPage(t.Context(), before, b.next(t, b.ledger), 10, noon)
		require.ErrorIs(t, err, ledger.ErrDeposed)
		page, err := l.ResendPage(t.Context(), hold, b.next(t, l), 10, noon.Add(time.Duration(n)*time.Second))
		require.NoError(t, err)
		touched = append(touched, page.Endpoints)
		require.Equal(t, n == 5, page.Over)
	}
	require.Equal(t, [][]string{{"a"}, {"a"}, {"a", "b"}, {"b"}, {"b"}, {}}, touched)
	require.Equal(t, want, b.texts(t, resentIDs))
	require.Equal(t, 10, b.count(t, "SELECT max(n) FROM (SELECT count(*) AS n FROM tailpost.delivery GROUP BY xmin::text) AS x"), "rows that a transaction changed")
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.resend WHERE state = 'done' AND queued = 50 AND as_of = $1", noon))
	require.Nil(t, b.next(t, b.ledger))

	dropped, _, err := b.ledger.DropResends(t.Context(), noon.Add(5*time.Second))
	require.NoError(t, err)
	require.Zero(t, dropped)
	dropped, _, err = b.ledger.DropResends(t.Context(), noon.Add(6*time.Second))
	require.NoError(t, err)
	require.EqualValues(t, 1, dropped)
}

func TestResendLeavesAloneWhatChangedSinceItBegan(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	b.deadRows(t, 20, "a")
	b.resend(t, "", `{"state": "dead", "endpoint_id": "a"}`)
	require.EqualValues(t, 10, b.page(t, hold, 10, noon).Queued)
	// One that was queued dies again; another, that it has yet to come to, was resent by hand and
	// died too.
	b.exec(t, "UPDATE tailpost.delivery SET state = 'dead', trigger = NULL, updated_at = $1 WHERE event_id IN ('20', '3')", noon.Add(time.Second))
	require.EqualValues(t, 9, b.page(t, hold, 10, noon.Add(2*time.Second)).Queued)
	require.True(t, b.page(t, hold, 10, noon.Add(3*time.Second)).Over)
	require.Equal(t, []string{"20", "3"}, b.texts(t, "SELECT event_id FROM tailpost.delivery WHERE state = 'dead' ORDER BY event_id"))
	require.Equal(t, 19, b.count(t, "SELECT queued FROM tailpost.resend"))
}

func TestResendQueuesWhatItsSelectionChooses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, tenant, selection string
		queued                  int
	}{
		{"all that are dead", "", `{"state": "dead"}`, 60},
		{"of an endpoint", "", `{"state": "dead", "endpoint_id": "b"}`, 30},
		{"of an event", "", `{"state": "dead", "event_id": "7"}`, 2},
		{"of a type, with pages that have none", "", `{"state": "dead", "event_types": ["order.paid"]}`, 6},
		{"with a reason", "", `{"state": "dead", "reason": "invalid"}`, 0},
		{"of events of a tenant", "", `{"state": "dead", "event_tenant": "acme"}`, 60},
		{"from their time on", "", `{"state": "dead", "since": "2026-03-14T11:00:00Z"}`, 60},
		{"after their time", "", `{"state": "dead", "since": "2026-03-14T11:00:00.000001Z"}`, 0},
		{"up to their time", "", `{"state": "dead", "until": "2026-03-14T11:00:00Z"}`, 0},
		{"up to a time after theirs", "", `{"state": "dead", "until": "2026-03-14T11:00:00.000001Z"}`, 60},
		{"to the endpoints of a tenant", "bravo", `{"state": "dead"}`, 30},
		{"to the endpoints of nobody", "other", `{"state": "dead", "endpoint_id": "b"}`, 0},
		{"of those that wait", "", `{"state": "pending"}`, 2},
		{"of those that waited by then, which one was asked to later", "", `{"state": "pending", "as_of": "2026-03-14T11:00:00Z"}`, 1},
		{"of those that were dead by then", "", `{"state": "dead", "endpoint_id": "a", "as_of": "2026-03-14T11:00:00Z"}`, 29},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			hold := take(t, b.ledger)
			b.deadRows(t, 30, "a", "b")
			b.deadRows(t, 2, "c")
			b.exec(t, `UPDATE tailpost.delivery SET state = 'pending', reason = 'failed', updated_at = $1, trigger = CASE event_id WHEN '2' THEN 'resend' END
				WHERE endpoint_id = 'c'`, noon)
			b.exec(t, "UPDATE tailpost.delivery SET updated_at = $1 WHERE endpoint_id = 'a' AND event_id = '30'", noon)
			b.exec(t, `INSERT INTO tailpost.endpoint (id, tenant, name, url, subscriptions, policy, status, source, created_at, updated_at)
				VALUES ('b', 'bravo', 'b', 'https://b.example', '[]', '{}', 'active', 'api', now(), now())`)
			b.resend(t, c.tenant, c.selection)
			queued := int64(0)
			for b.next(t, b.ledger) != nil {
				queued += b.page(t, hold, 4, noon).Queued
			}
			require.EqualValues(t, c.queued, queued)
			require.Equal(t, c.queued, b.count(t, "SELECT count(*) FROM tailpost.delivery WHERE trigger = 'resend' AND state = 'pending' AND next_attempt_at = $1", noon))
			require.Equal(t, c.queued, b.count(t, "SELECT queued FROM tailpost.resend WHERE state = 'done'"))
		})
	}
}

// What waited for its time waits no longer, because somebody resends it; what was tried already
// waits for what it did.
func TestResendSaysWhyWhatWaitsIsDue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	b.deadRows(t, 3, "a")
	b.exec(t, `UPDATE tailpost.delivery SET state = 'pending', next_attempt_at = $1, reason = CASE event_id WHEN '1' THEN 'scheduled' ELSE 'failed' END
		WHERE event_id <> '3'`, noon.Add(time.Hour))
	b.resend(t, "", `{}`)
	for b.next(t, b.ledger) != nil {
		b.page(t, hold, 4, noon)
	}
	require.Equal(t, []string{"1 resend", "2 failed", "3 resend"}, b.texts(t, "SELECT event_id || ' ' || reason FROM tailpost.delivery WHERE trigger = 'resend' ORDER BY event_id"))
}

func TestResendThatIsCancelledQueuesNoMore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	b.deadRows(t, 20, "a")
	b.resend(t, "", `{"state": "dead"}`)
	stale := b.next(t, b.ledger)
	b.page(t, hold, 10, noon)
	// The commit of a page was not heard of, and it is done once more.
	_, err := b.ledger.ResendPage(t.Context(), hold, stale, 10, noon)
	require.ErrorIs(t, err, ledger.ErrOver)
	open := b.next(t, b.ledger)
	b.exec(t, "UPDATE tailpost.resend SET state = 'cancelled'")
	_, err = b.ledger.ResendPage(t.Context(), hold, open, 10, noon)
	require.ErrorIs(t, err, ledger.ErrOver)
	require.Equal(t, 10, b.count(t, "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead'"))
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.resend WHERE state = 'cancelled' AND queued = 10"))
}

// TestResendWhoseCommitIsNotHeardOfTellsWhatItQueued: nobody else would look at these queues.
func TestResendWhoseCommitIsNotHeardOfTellsWhatItQueued(t *testing.T) {
	t.Parallel()
	b, p := setupProxy(t)
	hold := take(t, b.ledger)
	b.deadRows(t, 5, "a", "b")
	b.resend(t, "", `{"state": "dead"}`)
	open := b.next(t, b.ledger)
	p.next(committed)
	page, err := b.ledger.ResendPage(t.Context(), hold, open, 10, noon)
	require.ErrorIs(t, err, ledger.ErrOver)
	require.Equal(t, []string{"a", "b"}, page.Endpoints)
	require.Equal(t, 10, b.count(t, "SELECT queued FROM tailpost.resend"))
}

func TestResendOfARowThatIsLockedIsAnErrorSoon(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	b.deadRows(t, 3, "a")
	b.resend(t, "", `{"state": "dead"}`)
	tx, err := b.db.Conn(t).Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "SELECT FROM tailpost.delivery WHERE event_id = '2' FOR UPDATE")
	require.NoError(t, err)
	_, err = b.ledger.ResendPage(t.Context(), hold, b.next(t, b.ledger), 10, noon)
	require.ErrorContains(t, err, "lock timeout")
	require.NoError(t, tx.Rollback(t.Context()))
	require.EqualValues(t, 3, b.page(t, hold, 10, noon).Queued)
}

func TestResendWithAConditionThatIsNotKnownIsNotCarriedOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	b.resend(t, "", `{"state": "dead", "phase_of_the_moon": "full"}`)
	open, err := b.ledger.Resends(t.Context())
	require.NoError(t, err)
	require.Contains(t, open[0].Problem, "phase_of_the_moon")
	require.NoError(t, b.ledger.FailResend(t.Context(), hold, "rs", open[0].Problem, noon))
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.resend WHERE state = 'failed' AND error LIKE '%moon%'"))
}

// TestResendBeginsAgainOnAnotherCluster: places of before come after all that is there.
func TestResendBeginsAgainOnAnotherCluster(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	b.deadRows(t, 20, "a")
	b.resend(t, "", `{"state": "dead"}`)
	b.page(t, hold, 10, noon)
	require.NoError(t, b.ledger.Rebase(t.Context(), hold.Slot, "8"))
	for b.next(t, b.ledger) != nil {
		b.page(t, hold, 10, noon.Add(time.Second))
	}
	require.Zero(t, b.count(t, "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead'"))
	require.Equal(t, 20, b.count(t, "SELECT queued FROM tailpost.resend"), "none of them twice")
}

// An event that stood for everyone is read again: what it had of an endpoint before stays.
func TestReroute_leavesWhatAnEndpointHas(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Now: noon, Park: []outbox.Delivery{
		pending("e1", "*", "", 1, noon), pending("e1", "erp", "", 1, noon),
	}}))
	require.NoError(t, b.ledger.Reroute(t.Context(), hold, "e1", []outbox.Delivery{pending("e1", "crm", "", 1, noon)}, "", noon))
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'erp'"))
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'crm'"))
	require.Zero(t, b.count(t, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = '*'"))
}

// What cannot be read again is dead for everyone, and no more than that: neither what an endpoint
// has of the event, nor another event.
func TestReroute_ofWhatCannotBeReadEndsNothingElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Now: noon, Park: []outbox.Delivery{
		pending("e1", "*", "", 1, noon), pending("e1", "erp", "", 1, noon), pending("e2", "*", "", 2, noon),
	}}))
	require.NoError(t, b.ledger.Reroute(t.Context(), hold, "e1", nil, "its type is null", noon))
	require.Equal(t, []string{"e1 * dead f its type is null", "e1 erp pending t connection refused", "e2 * pending t connection refused"},
		b.texts(t, "SELECT concat_ws(' ', event_id, endpoint_id, state, next_attempt_at IS NOT NULL, last_error) FROM tailpost.delivery ORDER BY event_id, endpoint_id"))
	require.ErrorIs(t, b.ledger.Reroute(t.Context(), hold, "e1", nil, "its type is null", noon), ledger.ErrOver)
}
