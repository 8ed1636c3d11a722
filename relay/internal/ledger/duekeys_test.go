package ledger_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// TestDueKeys_goesThroughWhatHasATimeOnce: in the order of times and then of commits, whatever
// shares a time or a place in the stream.
func TestDueKeys_goesThroughWhatHasATimeOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	dead := pending("f", "erp", "dead", 6, noon)
	dead.State = outbox.StateDead
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: []outbox.Delivery{
		pending("a", "erp", "second", 1, noon.Add(-time.Minute)), pending("c", "erp", "first", 0x1000, noon.Add(-time.Hour)),
		pending("b", "erp", "first", 0xFF0, noon.Add(-time.Hour)), pending("b'", "erp", "same place", 0xFF0, noon.Add(-time.Hour)),
		pending("d", "erp", "later", 4, noon.Add(time.Minute)), pending("e", "erp", "waits", 5, time.Time{}), dead,
		pending("g", "erp", "", 7, noon), pending("h", "crm", "other", 8, noon),
	}}))
	keys, more, err := b.ledger.DueKeys(t.Context(), "erp", ledger.DuePlace{})
	require.NoError(t, err)
	require.False(t, more)
	want := []string{"first", "same place", "first", "second", "", "later"}
	require.Len(t, keys, len(want))
	for i, k := range keys {
		require.Equal(t, want[i], k.Key)
		rest, _, err := b.ledger.DueKeys(t.Context(), "erp", k.DuePlace)
		require.NoError(t, err)
		require.ElementsMatch(t, keys[i+1:], rest, "after %+v", k)
	}
	require.Equal(t, ledger.DuePlace{DueAt: noon.Add(time.Minute), CommitLSN: 4, EventID: "d"}, keys[5].DuePlace)
	all, _, err := b.ledger.DueKeys(t.Context(), "erp", ledger.DuePlace{DueAt: noon.Add(-time.Minute)})
	require.NoError(t, err)
	require.Equal(t, keys[3:], all, "a time alone is before all that is due then")
}

// TestDueKeys_readsOnePage: however much is due, and has been seen.
func TestDueKeys_readsOnePage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const keys, page = 3000, 256
	manyWait(t, b, keys, 1)
	b.exec(t, "UPDATE tailpost.delivery SET next_attempt_at = $1, seq = substr(key, 2)::bigint", noon)
	seen := make(map[string]bool)
	var at ledger.DuePlace
	for more := true; more; {
		var found []ledger.DueKey
		var err error
		found, more, err = b.ledger.DueKeys(t.Context(), "erp", at)
		require.NoError(t, err)
		require.LessOrEqual(t, len(found), page)
		for _, k := range found {
			require.False(t, seen[k.Key], k.Key)
			seen[k.Key], at = true, k.DuePlace
			if len(seen) == keys/2 {
				args := pgx.NamedArgs{
					"endpoint": "erp", "at": at.DueAt, "lsn": at.CommitLSN.String(), "seq": at.Seq, "event": at.EventID, "limit": page,
				}
				p := explainPlan(t, b, ledger.DueKeysSQL, args)
				require.LessOrEqual(t, p.read(), page+2, "%+v", p)
			}
		}
	}
	require.Len(t, seen, keys)
}

// TestUnblock_findsWhatNothingBlocks: the first of a key is due once nothing is before it, and
// nothing else is changed.
func TestUnblock_findsWhatNothingBlocks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const keys, each, page = 1500, 3, 2000
	manyWait(t, b, keys, each) // in the order of commits 3, 2, 1
	b.exec(t, "UPDATE tailpost.delivery SET next_attempt_at = $1 WHERE key = 'k7' AND event_id LIKE '%/3'", noon.Add(time.Hour))
	b.exec(t, "UPDATE tailpost.delivery SET state = 'dead' WHERE key = 'k8' AND event_id LIKE '%/3'")
	b.exec(t, "UPDATE tailpost.delivery SET key = NULL WHERE key = 'k9'")
	b.exec(t, "UPDATE tailpost.delivery SET endpoint_id = 'crm' WHERE key = 'k10'")
	busy, err := b.conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = busy.Exec(t.Context(), "SELECT FROM tailpost.delivery WHERE event_id = '11/3' FOR UPDATE")
	require.NoError(t, err)
	pages := 0
	var at ledger.DuePlace
	for more := true; more; pages++ {
		at, more, err = b.ledger.Unblock(t.Context(), "erp", at, noon)
		require.NoError(t, err)
	}
	require.NoError(t, busy.Rollback(t.Context()))
	require.Equal(t, (keys*each-5)/page+1, pages, "a bounded part at a time")
	unblocked := "SELECT count(*) FROM tailpost.delivery WHERE next_attempt_at = $1"
	require.Equal(t, keys-4, b.count(t, unblocked, noon))
	require.Equal(t, keys-5, b.count(t, unblocked+" AND event_id LIKE '%/3'", noon))
	require.Equal(t, 1, b.count(t, unblocked+" AND event_id = '8/2'", noon), "what is dead holds nobody here")
	require.Zero(t, b.count(t, unblocked+" AND event_id = '11/3'", noon), "somebody is busy with it, and is not waited for")

	// Many may wait that one transaction wrote: it goes on behind the last of them.
	b.exec(t, `INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, key, event_created_at, commit_lsn, seq, created_at, updated_at)
		SELECT e, 'shop', 'pending', 'order', 0, 'a', e, $1, lsn::pg_lsn, s, $1, $1
		FROM (VALUES ('a', '0/7', 3), ('c', '0/7', 3), ('b', '0/7', 3), ('d', '0/7', 2), ('f', '0/6', 9), ('e', '0/5', 1)) AS v (e, lsn, s)`, noon)
	at, more, err := b.ledger.Unblock(t.Context(), "shop", ledger.DuePlace{CommitLSN: 5, Seq: 1, EventID: "e"}, noon)
	require.NoError(t, err)
	require.False(t, more)
	require.Equal(t, ledger.DuePlace{CommitLSN: 7, Seq: 3, EventID: "c"}, at)
	require.ElementsMatch(t, []string{"a", "b", "c", "d", "f"}, ids(b.due(t, "shop", noon)), "those behind the place")
}
