package ledger_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/scan"
)

// outboxOf makes an outbox table whose key has a type, with these keys.
func (b *bundle) outboxOf(t *testing.T, idType string, ids ...string) outbox.Mapping {
	t.Helper()
	b.exec(t, "CREATE TABLE public.events (id "+idType+" PRIMARY KEY, type text NOT NULL, payload json, created_at timestamptz)")
	for _, id := range ids {
		b.exec(t, "INSERT INTO public.events VALUES ($1::text::"+idType+", 'a', '{}', $2)", id, noon)
	}
	return outbox.Mapping{Table: "public.events", ID: "id", Type: "type", Payload: "payload", CreatedAt: "created_at"}
}

func (b *bundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.conn.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// attempted records an attempt, some seconds after noon.
func (b *bundle) attempted(t *testing.T, event string, number int, trigger string, outcome outbox.Outcome, after int) {
	t.Helper()
	b.exec(t, `
INSERT INTO tailpost.attempt (event_id, event_type, tenant, endpoint_id, number, trigger, url, outcome, duration_ms, attempted_at, commit_lsn)
VALUES ($1, 'a', 'acme', 'erp', $2, $3, 'https://example.com/in', $4, 1, $5, '0/10')`,
		event, number, trigger, outcome, noon.Add(time.Duration(after)*time.Second))
}

func all(string) bool { return true }

// search runs a search to its end.
func (b *bundle) search(t *testing.T, m outbox.Mapping, rg scan.Range) (gone []scan.MissingEvent) {
	t.Helper()
	table, err := scan.LookAt(t.Context(), b.conn, m)
	require.NoError(t, err)
	var at scan.Missing
	for over := false; !over; {
		var page []scan.MissingEvent
		page, at, over, err = table.SearchMissing(t.Context(), b.conn, rg, at)
		require.NoError(t, err)
		gone = append(gone, page...)
	}
	require.EqualValues(t, len(gone), at.Found)
	return gone
}

func events(gone []scan.MissingEvent) []string {
	ids := make([]string, len(gone))
	for i := range gone {
		ids[i] = gone[i].EventID
	}
	return ids
}

// An update moves a row between the look at where it is and the look at what it says.
func TestEventsAreFoundWhereTheyHaveGone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	table, err := b.ledger.NewSweep(t.Context(), b.outboxOf(t, "bigint", "1", "2", "3", "4"), scan.Scope{})
	require.NoError(t, err)
	rows, err := table.Rows(t.Context(), 0, 10)
	require.NoError(t, err)
	places := make([]scan.RowPlace, len(rows))
	for i := range rows {
		places[i] = rows[i].RowPlace
	}
	b.exec(t, "UPDATE public.events SET payload = '{\"now\": true}' WHERE id = 2")
	b.exec(t, "DELETE FROM public.events WHERE id = 3")
	b.exec(t, "UPDATE public.events SET type = '' WHERE id = 4") // no event any more
	found, err := table.Events(t.Context(), places)
	require.NoError(t, err)
	payloads := make(map[string]string)
	for i := range found {
		payloads[found[i].Event.ID] = string(found[i].Event.Payload)
	}
	require.Len(t, found, 3, "each once")
	require.JSONEq(t, `{"now": true}`, payloads["2"])
	require.Contains(t, payloads, "1")
	require.NotContains(t, payloads, "3")
}

func TestMissingEventsAreFoundWhateverTheKeyIs(t *testing.T) {
	t.Parallel()
	for idType, ids := range map[string][2]string{ // one that is there, one that is gone
		"uuid":          {"018f0000-0000-7000-8000-00000000000a", "018f0000-0000-7000-8000-00000000000b"},
		"smallint":      {"7", "8"},
		"integer":       {"70000", "80000"},
		"bigint":        {"-7000000000", "8000000000"},
		"text":          {"order-1", "order-2"},
		"varchar(9)":    {"order-1", "order-2"},
		"char(9)":       {"order-1", "order-2"},
		"numeric(10,2)": {"7.50", "8.00"},
		"timestamptz":   {"2026-03-14 12:00:00+00", "2026-03-14 13:00:00+00"},
		"key_of_events": {"5", "6"},
	} {
		t.Run(idType, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.exec(t, "SET timezone = 'UTC'")
			b.exec(t, "CREATE DOMAIN key_of_events AS bigint CHECK (VALUE < 1000)")
			m := b.outboxOf(t, idType, ids[0])
			// The ids of logical messages are any text.
			messages := []string{"message", "018F0000-0000-7000-8000-00000000000A", "99999999999999999999", "2000", "", "order-1 is longer", "{}"}
			for i, id := range slices.Concat(ids[:], messages) {
				b.attempted(t, id, 1, "stream", outbox.Delivered, i)
			}
			gone := b.search(t, m, scan.Range{EndpointID: "erp", Until: noon.Add(time.Hour), Wants: all})
			require.Equal(t, append([]string{ids[1]}, messages...), events(gone))
		})
	}
}

func TestMissingEventsAreThoseOfTheRange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.outboxOf(t, "text", "there")
	b.attempted(t, "there", 1, "stream", outbox.Delivered, 0)
	b.attempted(t, "early", 1, "stream", outbox.Delivered, -1)
	b.attempted(t, "retried", 1, "stream", outbox.Retry, 1)
	b.attempted(t, "retried", 2, "retry", outbox.Delivered, 2)
	b.attempted(t, "replayed", 1, "stream", outbox.Delivered, 3)
	b.attempted(t, "replayed", 1, "replay", outbox.Delivered, 4)
	b.attempted(t, "retried within", 1, "stream", outbox.Retry, -2)
	b.attempted(t, "retried within", 2, "retry", outbox.Retry, 5)
	b.attempted(t, "retried within", 3, "retry", outbox.Dead, 6)
	b.attempted(t, "test", 1, "test", outbox.Delivered, 7)
	b.attempted(t, "late", 1, "stream", outbox.Delivered, 10)
	b.attempted(t, "streamed twice", 1, "stream", outbox.Retry, 7)
	b.attempted(t, "streamed twice", 2, "stream", outbox.Delivered, 8)
	b.attempted(t, "tested first", 1, "test", outbox.Delivered, 7)
	b.attempted(t, "tested first", 1, "replay", outbox.Delivered, 8)
	b.attempted(t, "elsewhere first", 1, "stream", outbox.Delivered, 8)
	b.exec(t, "UPDATE tailpost.attempt SET endpoint_id = 'crm' WHERE event_id = 'elsewhere first'")
	b.attempted(t, "elsewhere first", 1, "replay", outbox.Delivered, 9)
	b.exec(t, "UPDATE tailpost.attempt SET tenant = 'other' WHERE event_id = 'replayed'")
	rg := scan.Range{EndpointID: "erp", Since: noon, Until: noon.Add(10 * time.Second), Wants: all}

	later := []string{"streamed twice", "tested first", "elsewhere first"}
	gone := b.search(t, m, rg)
	require.Equal(t, slices.Concat([]string{"retried", "replayed", "retried within"}, later), events(gone))
	require.Equal(t, noon.Add(5*time.Second), gone[2].AttemptedAt.UTC(), "the first time within the range")
	rg.Tenant = "acme"
	gone = b.search(t, m, rg)
	require.Equal(t, slices.Concat([]string{"retried", "retried within"}, later), events(gone))
	rg.Tenant, rg.Since = "", time.Time{}
	gone = b.search(t, m, rg)
	require.Equal(t, slices.Concat([]string{"retried within", "early", "retried", "replayed"}, later), events(gone))
	rg.Wants = func(name string) bool { return name != "a" }
	gone = b.search(t, m, rg)
	require.Empty(t, gone)
	rg.EndpointID, rg.Wants = "crm", all
	gone = b.search(t, m, rg)
	require.Equal(t, []string{"elsewhere first"}, events(gone))
}

// replay writes a replay of everything and takes the slot.
func (b *bundle) replay(t *testing.T) (ledger.Hold, *ledger.Replay) {
	t.Helper()
	b.exec(t, `INSERT INTO tailpost.replay (id, endpoint_id, types, until, state, created_at, updated_at)
		VALUES ('r1', 'erp', '{}', $1, 'pending', now(), now())`, noon.Add(time.Hour))
	return take(t, b.ledger), b.open1(t)
}

// open1 reads the replay that is open.
func (b *bundle) open1(t *testing.T) *ledger.Replay {
	t.Helper()
	open, err := b.ledger.Replays(t.Context())
	require.NoError(t, err)
	require.Len(t, open, 1)
	return &open[0]
}

func TestMissingEventsAreListedInPagesUpToABound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.outboxOf(t, "bigint", "1")
	const many = ledger.MissingListed + 2500
	b.exec(t, `
INSERT INTO tailpost.attempt (event_id, event_type, endpoint_id, number, trigger, url, outcome, duration_ms, attempted_at, commit_lsn)
SELECT i::text, 'a', 'erp', 1, 'stream', 'https://example.com/in', 'delivered', 1, $2::timestamptz + i / 10 * interval '1 millisecond', '0/10'
FROM generate_series(1, $1::integer + 1) AS i`, many, noon)
	hold, r := b.replay(t)
	rg := scan.Range{EndpointID: "erp", Until: r.Until, Wants: all}
	sweep, err := b.ledger.NewSweep(t.Context(), m, scan.Scope{})
	require.NoError(t, err)
	require.NoError(t, b.ledger.BeginReplay(t.Context(), hold, &sweep.Table, r, rg, noon))
	require.Equal(t, 1, b.count(t, "SELECT total FROM tailpost.replay"))
	pages := 0
	for !r.Searched {
		require.Zero(t, b.count(t, "SELECT count(missing) FROM tailpost.replay"), "it is not known before the end")
		// Each page goes on from what the database says, as another relay would.
		r = b.open1(t)
		require.NoError(t, b.ledger.SearchReplay(t.Context(), hold, &sweep.Table, r, rg, noon))
		pages++
	}
	require.Greater(t, pages, 5)
	require.True(t, b.open1(t).Searched)
	require.Equal(t, many, b.count(t, "SELECT missing FROM tailpost.replay"))
	require.Equal(t, ledger.MissingListed, b.count(t, "SELECT count(*) FROM tailpost.replay_missing"))
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.replay_missing WHERE event_id = $1", strconv.Itoa(ledger.MissingListed+1)),
		"the first ones: event 1 is there")

	// A page that was written by then, and a replay that was cancelled, get nothing more.
	b.exec(t, "UPDATE tailpost.replay SET missing = NULL, missing_cursor = NULL, missing_found = 0")
	stale := b.open1(t)
	require.NoError(t, b.ledger.SearchReplay(t.Context(), hold, &sweep.Table, b.open1(t), rg, noon))
	require.ErrorIs(t, b.ledger.SearchReplay(t.Context(), hold, &sweep.Table, stale, rg, noon), ledger.ErrOver)
	open := b.open1(t)
	b.exec(t, "UPDATE tailpost.replay SET state = 'cancelled', updated_at = $1", noon)
	require.ErrorIs(t, b.ledger.SearchReplay(t.Context(), hold, &sweep.Table, open, rg, noon), ledger.ErrOver)

	// What it lists goes with it.
	dropped, more, err := b.ledger.DropReplays(t.Context(), noon)
	require.NoError(t, err)
	require.Zero(t, dropped)
	require.False(t, more)
	dropped, _, err = b.ledger.DropReplays(t.Context(), noon.Add(time.Second))
	require.NoError(t, err)
	require.EqualValues(t, 1, dropped)
	require.Zero(t, b.count(t, "SELECT count(*) FROM tailpost.replay_missing"))
}

func TestReplayGoesOnWithoutWhatCannotBeCountedInTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.outboxOf(t, "text", "there")
	// Reading the table waits for a lock until the statement is cancelled, which is what its
	// timeout does.
	b.exec(t, "ALTER TABLE public.events RENAME TO really")
	b.exec(t, "CREATE VIEW public.events AS SELECT r.* FROM public.really AS r WHERE pg_advisory_xact_lock_shared(4711)::text = ''")
	b.attempted(t, "there", 1, "stream", outbox.Delivered, 0)
	hold, r := b.replay(t)
	sweep, err := b.ledger.NewSweep(t.Context(), m, scan.Scope{})
	require.NoError(t, err)
	rg := scan.Range{EndpointID: "erp", Until: r.Until, Wants: all}
	b.exec(t, "SELECT pg_advisory_lock(4711)")
	cancelled := func(f func() error) {
		done := make(chan error, 1)
		go func() { done <- f() }()
		require.Eventually(t, func() bool {
			return b.count(t, `
SELECT count(*) FILTER (WHERE pg_cancel_backend(pid))
FROM pg_stat_activity
WHERE datname = current_database() AND wait_event = 'advisory'`) == 1
		}, 20*time.Second, 10*time.Millisecond)
		require.NoError(t, <-done)
	}
	cancelled(func() error { return b.ledger.BeginReplay(t.Context(), hold, &sweep.Table, r, rg, noon) })
	require.True(t, r.Running)
	require.Zero(t, b.count(t, "SELECT count(total) FROM tailpost.replay"))
	cancelled(func() error { return b.ledger.SearchReplay(t.Context(), hold, &sweep.Table, r, rg, noon) })
	require.True(t, r.Searched)
	require.True(t, b.open1(t).Searched)
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.replay WHERE missing IS NULL AND missing_error LIKE 'the attempts of the range cannot be read%'"))
}

func TestSecondSearchEndsWhereTheListIsFull(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.outboxOf(t, "bigint")
	const went = 500 // the last ones: the page that finds them begins with more that are listed already
	b.exec(t, `
INSERT INTO tailpost.attempt (event_id, event_type, endpoint_id, number, trigger, url, outcome, duration_ms, attempted_at, commit_lsn)
SELECT i::text, 'a', 'erp', 1, 'stream', 'https://example.com/in', 'delivered', 1, $2::timestamptz + i * interval '1 millisecond', '0/10'
FROM generate_series(1, $1::integer) AS i`, ledger.MissingListed, noon)
	b.exec(t, "INSERT INTO public.events SELECT i, 'a', '{}', $3 FROM generate_series($1::integer + 1, $2::integer) AS i",
		ledger.MissingListed-went, ledger.MissingListed, noon)
	hold, r := b.replay(t)
	rg := scan.Range{EndpointID: "erp", Until: r.Until, Wants: all}
	sweep, err := b.ledger.NewSweep(t.Context(), m, scan.Scope{})
	require.NoError(t, err)
	require.NoError(t, b.ledger.BeginReplay(t.Context(), hold, &sweep.Table, r, rg, noon))
	search := func() {
		for r = b.open1(t); !r.Searched; r = b.open1(t) {
			require.NoError(t, b.ledger.SearchReplay(t.Context(), hold, &sweep.Table, r, rg, noon))
		}
	}
	search()
	require.Equal(t, ledger.MissingListed-went, b.count(t, "SELECT missing FROM tailpost.replay"))

	// All of the rest went: the list is just full, and complete.
	b.exec(t, "DELETE FROM public.events")
	does, err := b.ledger.SearchAgain(t.Context(), hold, r, noon)
	require.NoError(t, err)
	require.True(t, does)
	search()
	require.Equal(t, ledger.MissingListed, b.count(t, "SELECT missing FROM tailpost.replay"))
	require.Equal(t, ledger.MissingListed, b.count(t, "SELECT count(*) FROM tailpost.replay_missing"))
	does, err = b.ledger.SearchAgain(t.Context(), hold, r, noon)
	require.NoError(t, err)
	require.False(t, does, "once is enough")

	// One more than fits: it does not say that it knows all.
	b.attempted(t, "4711000", 1, "stream", outbox.Delivered, 100)
	b.exec(t, "UPDATE tailpost.replay SET missing = NULL, missing_cursor = NULL")
	search()
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.replay WHERE missing IS NULL AND missing_error LIKE 'with those whose rows went%'"))
}

// The second search leaves out what the replay has queued or attempted itself, and what the first
// search has listed. What another endpoint, another replay or another event has is none of that.
func TestSecondSearchListsWhatTheReplayCouldNotBring(t *testing.T) {
	t.Parallel()
	n := setupNeighbours(t)
	tried := func(event, endpoint, trigger string, outcome outbox.Outcome, lsn outbox.LSN, after int) {
		a := attempt(event, endpoint, outcome, lsn)
		a.Trigger, a.Number, a.AttemptedAt = outbox.Trigger(trigger), after, noon.Add(time.Duration(after)*time.Second)
		require.NoError(t, n.ledger.Record(t.Context(), n.hold, &ledger.Batch{Attempts: []outbox.Attempt{a}}))
	}
	for _, event := range []string{"gone", "queued", "queued elsewhere", "attempted", "attempted elsewhere", "listed", "listed elsewhere"} {
		tried(event, "erp", "stream", outbox.Retry, 0x10, 1)
	}
	require.NoError(t, n.ledger.Record(t.Context(), n.hold, &ledger.Batch{Now: noon, Park: []outbox.Delivery{
		pending("queued", "erp", "", 0x40, noon), pending("queued elsewhere", "crm", "", 0x40, noon),
	}}))
	tried("attempted", "erp", "replay", outbox.Delivered, 0x40, 2)
	tried("attempted elsewhere", "crm", "replay", outbox.Delivered, 0x40, 2)
	n.exec(t, `INSERT INTO tailpost.replay_missing (replay_id, event_id, event_type, attempted_at, outcome)
		VALUES ('ours', 'listed', 'a', $1, 'retry'), ('theirs', 'listed elsewhere', 'a', $1, 'retry')`, noon)

	// What became of an event at the endpoint is what its last attempt there says, but for tests.
	tried("gone", "erp", "retry", outbox.Delivered, 0x10, 3)
	tried("gone", "erp", "test", outbox.Dead, 0x10, 4)
	tried("gone", "crm", "retry", outbox.Dead, 0x10, 5)
	tried("listed", "erp", "retry", outbox.Dead, 0x10, 6)
	atOnce := attempt("listed elsewhere", "erp", outbox.Dead, 0x10)
	atOnce.Number, atOnce.AttemptedAt = 2, noon.Add(time.Second)
	require.NoError(t, n.ledger.Record(t.Context(), n.hold, &ledger.Batch{Attempts: []outbox.Attempt{atOnce}}))

	r := n.replayOf("ours")
	r.Again, r.Missing.Found = true, 1
	rg := scan.Range{EndpointID: "erp", Until: r.Until, Wants: all}
	require.NoError(t, n.ledger.SearchReplay(t.Context(), n.hold, n.table, r, rg, noon))
	require.True(t, r.Searched)
	require.EqualValues(t, 5, r.Missing.Found)
	require.Equal(t, []string{"attempted elsewhere retry", "gone delivered", "listed retry", "listed elsewhere dead", "queued elsewhere retry"},
		n.texts(t, "SELECT event_id || ' ' || outcome FROM tailpost.replay_missing WHERE replay_id = 'ours' ORDER BY event_id"))
	require.Equal(t, 1, n.count(t, "SELECT count(*) FROM tailpost.replay_missing WHERE replay_id <> 'ours'"))
}

func TestReplayThatIsCancelledQueuesNoMore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.outboxOf(t, "text", "e1", "e2")
	hold, r := b.replay(t)
	sweep, err := b.ledger.NewSweep(t.Context(), m, scan.Scope{})
	require.NoError(t, err)
	r.InOrder = true
	require.NoError(t, b.ledger.BeginReplay(t.Context(), hold, &sweep.Table, r, scan.Range{EndpointID: "erp", Until: r.Until, Wants: all}, noon))
	require.Equal(t, r, b.open1(t), "another relay goes on as this one would")
	queue := func(event string) error {
		_, err := b.ledger.QueueReplay(t.Context(), hold, r, ledger.Step{
			Deliveries: []outbox.Delivery{pending(event, "erp", "", r.Place, noon)}, Cursor: scan.Cursor{Key: event, At: "2026-03-14 12:00:00.5+00"}, Done: 1,
		}, noon)
		return err
	}
	require.NoError(t, queue("e1"))
	require.Equal(t, r, b.open1(t))
	b.exec(t, "UPDATE tailpost.replay SET state = 'cancelled'")
	require.ErrorIs(t, queue("e2"), ledger.ErrOver)
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.delivery"))
	require.Equal(t, 1, b.count(t, "SELECT done FROM tailpost.replay"))
}

// What a replay says that it queued is what it added: neither what waited already, nor, where a
// page had to be done again, all of it once more.
func TestQueueReplay_countsWhatItAdds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold, r := b.replay(t)
	b.exec(t, "UPDATE tailpost.replay SET state = 'running', place = '0/40'")
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Now: noon, Park: []outbox.Delivery{pending("e2", "erp", "", 1, noon)}}))
	tx, err := b.db.Conn(t).Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "SELECT FROM tailpost.replay FOR UPDATE")
	require.NoError(t, err)
	type result struct {
		queued int64
		err    error
	}
	done := make(chan result, 1)
	go func() {
		queued, err := b.ledger.QueueReplay(t.Context(), hold, r, ledger.Step{
			Deliveries: []outbox.Delivery{pending("e1", "erp", "", r.Place, noon), pending("e2", "erp", "", r.Place, noon), pending("e3", "erp", "", r.Place, noon)},
			Cursor:     scan.Cursor{Key: "e3"}, Done: 3,
		}, noon)
		done <- result{queued, err}
	}()
	b.awaitBlocked(t)
	b.exec(t, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") // as a timeout does
	require.NoError(t, tx.Rollback(t.Context()))
	require.Equal(t, result{queued: 2}, <-done)
	require.Equal(t, 2, b.count(t, "SELECT queued FROM tailpost.replay"))
	require.Equal(t, 3, b.count(t, "SELECT done FROM tailpost.replay"))
	for i, key := range []string{"e4", "e5"} {
		_, err := b.ledger.QueueReplay(t.Context(), hold, r, ledger.Step{
			Deliveries: []outbox.Delivery{pending(key, "erp", "", r.Place, noon)}, Cursor: scan.Cursor{Key: key}, Done: 3, Unreadable: 2,
		}, noon)
		require.NoError(t, err)
		require.Equal(t, []string{fmt.Sprintf("%d %d %d", 3+i, 6+3*i, 2+2*i)}, b.texts(t, "SELECT concat_ws(' ', queued, done, unreadable) FROM tailpost.replay"))
	}
	require.NoError(t, b.ledger.EndReplay(t.Context(), hold, r.ID, "", noon))
	const ended = "SELECT state || coalesce(': ' || error, '') FROM tailpost.replay"
	require.Equal(t, []string{"done"}, b.texts(t, ended))
	require.NoError(t, b.ledger.EndReplay(t.Context(), hold, r.ID, "too late", noon))
	require.Equal(t, []string{"done"}, b.texts(t, ended), "it is over")
	b.exec(t, "UPDATE tailpost.replay SET state = 'running'")
	require.NoError(t, b.ledger.EndReplay(t.Context(), hold, r.ID, "no table", noon))
	require.Equal(t, []string{"failed: no table"}, b.texts(t, ended))
}

// A replay waits for what its own endpoint has to send, and for nobody else's.
func TestPendingUpTo_countsWhatTheEndpointHasToSend(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	dead := pending("e4", "erp", "", 4, noon)
	dead.State = outbox.StateDead
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Now: noon, Park: []outbox.Delivery{
		pending("e1", "erp", "", 1, noon), pending("e2", "erp", "", 2, noon), pending("e3", "erp", "", 3, noon), dead, pending("e1", "crm", "", 1, noon),
	}}))
	for endpoint, want := range map[string]int{"erp": 3, "crm": 1, "nobody": 0} {
		n, err := b.ledger.PendingUpTo(t.Context(), endpoint, 10)
		require.NoError(t, err)
		require.Equal(t, want, n, endpoint)
	}
	n, err := b.ledger.PendingUpTo(t.Context(), "erp", 2)
	require.NoError(t, err)
	require.Equal(t, 2, n)
}
