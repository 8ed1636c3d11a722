package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/scan"
)

// A neighbour in the database who may create things in public has none of the relay's statements do
// what it wants: not those that record, nor those that load, nor what runs beside delivery.
func TestLedger_findsNothingInPublic(t *testing.T) {
	t.Parallel()
	b := migrated(t)
	b.db.Hostile(t, b.conn)
	_, err := b.db.Conn(t).Exec(t.Context(), "SELECT now() = now()")
	require.ErrorContains(t, err, "hijacked")
	m := b.outboxOf(t, "bigint", "1", "2", "3")

	b.ledger = b.open(t, b.db.URL)
	l := b.ledger
	require.NoError(t, l.EnsurePartitions(t.Context(), noon))
	_, err = l.Check(t.Context(), m)
	require.NoError(t, err)
	require.NoError(t, l.ResetVersions(t.Context(), "s", "7", false))
	hold := take(t, l)
	require.NoError(t, l.Rebase(t.Context(), "s", "7"))
	_, err = l.Mirror(t.Context(), endpoints("erp"), noon)
	require.NoError(t, err)
	insertEndpoint(t, b, apiRow("ep_1", "https://now.example"))
	everything := oneOf("9", 9)
	everything.Update = []outbox.Delivery{pending("9", "crm", "", 9, noon.Add(time.Hour))}
	everything.Remove = []ledger.QueueRow{{Pair: outbox.Pair{EventID: "8", EndpointID: "crm"}}}
	everything.Endpoints = []ledger.EndpointChange{{EndpointID: "erp", FailingSince: noon}}
	everything.Versions = []ledger.EndpointVersion{version(t, 9, 0, apiRow("ep_1", "https://v1.example"))}
	everything.Dropped = []ledger.Dropped{{EndpointID: "gone", CommitLSN: 9}}
	everything.Emit = [][]byte{[]byte("{}")}
	require.NoError(t, l.Record(t.Context(), hold, everything))

	// What is loaded.
	b.due(t, "crm", noon)
	for _, dead := range []bool{false, true} {
		_, _, err = l.InOrder(t.Context(), "crm", 10, dead)
		require.NoError(t, err)
		_, _, err = l.InKeyOrder(t.Context(), "crm", []string{"k"}, 10, dead)
		require.NoError(t, err)
		_, _, err = l.DueKeys(t.Context(), "crm", ledger.DuePlace{})
		require.NoError(t, err)
		_, _, err = l.Unblock(t.Context(), "crm", ledger.DuePlace{}, noon)
		require.NoError(t, err)
		_, err = l.KeyHeads(t.Context(), "crm", dead, 100_000)
		require.NoError(t, err)
		_, err = l.First(t.Context(), "crm", dead)
		require.NoError(t, err)
	}
	_, err = l.Loosen(t.Context(), "crm", true, noon)
	require.NoError(t, err)
	_, err = l.NextDue(t.Context())
	require.NoError(t, err)
	_, _, err = l.Recorded(t.Context(), "s", 0, ledger.MostRecorded)
	require.NoError(t, err)
	_, err = l.Versions(t.Context(), 100)
	require.NoError(t, err)
	_, err = l.Present(t.Context(), []string{"ep_1"})
	require.NoError(t, err)

	// The audit.
	_, err = l.Holds(t.Context(), hold, 1)
	require.NoError(t, err)
	_, err = l.OtherSlots(t.Context(), "s")
	require.NoError(t, err)
	_, err = l.Publication(t.Context(), "p", m)
	require.NoError(t, err)
	_, err = l.Gaps(t.Context(), ledger.GapsOptions{Slot: "s", Uncounted: []string{"b"}, Since: noon, Now: noon})
	require.NoError(t, err)
	require.NoError(t, l.DueHeal(t.Context(), "s", ledger.Heal{Why: "a", At: noon}))
	_, err = l.ClearGaps(t.Context(), "s", noon)
	require.NoError(t, err)
	_, err = l.Routed(t.Context())
	require.NoError(t, err)
	sweep, err := l.NewSweep(t.Context(), m, scan.Scope{})
	require.NoError(t, err)
	_, _, err = sweep.Blocks(t.Context())
	require.NoError(t, err)
	rows, err := sweep.Rows(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Len(t, rows, 3)
	found, err := sweep.Events(t.Context(), []scan.RowPlace{rows[0].RowPlace, {ID: "2", OID: rows[0].OID, TID: "(7,7)"}})
	require.NoError(t, err)
	require.Len(t, found, 2)
	_, err = l.Queue(t.Context(), hold, []outbox.Delivery{pending("1", "erp", "", 9, noon)}, noon)
	require.NoError(t, err)
	require.NoError(t, l.Audited(t.Context(), hold, ledger.Audit{Before: noon, Found: &ledger.Gap{Heal: ledger.Heal{Why: "a", At: noon}, Now: noon}}))

	// What people asked for.
	r := replayOf(t, b)
	rg := scan.Range{EndpointID: "erp", Until: r.Until, Wants: all}
	require.NoError(t, l.BeginReplay(t.Context(), hold, &sweep.Table, r, rg, noon))
	require.NoError(t, l.SearchReplay(t.Context(), hold, &sweep.Table, r, rg, noon))
	for _, r.InOrder = range []bool{false, true} {
		for _, r.Cursor = range []scan.Cursor{{}, {Key: "1", At: "2026-03-14 12:00:00+00"}} {
			_, err = sweep.RowsAfter(t.Context(), &r.Reading, 10)
			require.NoError(t, err)
		}
	}
	r.Cursor = scan.Cursor{}
	_, err = l.QueueReplay(t.Context(), hold, r, ledger.Step{Deliveries: []outbox.Delivery{pending("2", "erp", "", 9, noon)}, Cursor: scan.Cursor{Key: "2"}}, noon)
	require.NoError(t, err)
	require.NoError(t, l.EndReplay(t.Context(), hold, r.ID, "", noon))
	b.exec(t, `INSERT INTO tailpost.resend (id, selection, state, created_at, updated_at) VALUES ('rs', '{"state": "dead", "event_types": ["a"]}', 'pending', now(), now())`)
	b.page(t, hold, 10, noon)
	_, err = l.Reseal(t.Context(), func(*ledger.EndpointRow) (bool, error) { return true, nil })
	require.NoError(t, err)

	// What is old.
	for _, drop := range []func() error{
		func() error { _, _, err := l.DropDead(t.Context(), noon); return err },
		func() error { _, _, err := l.DropDiscarded(t.Context(), noon); return err },
		func() error { _, _, err := l.DropReplays(t.Context(), noon); return err },
		func() error { _, _, err := l.DropResends(t.Context(), noon); return err },
		func() error { _, _, err := l.FoldStats(t.Context(), noon.AddDate(1, 0, 0)); return err },
		func() error { _, err := l.DropPartition(t.Context(), noon); return err },
		func() error { _, err := sweep.Delete(t.Context(), 0, 10, noon); return err },
		func() error { return l.SummarizeAttempts(t.Context()) },
		func() error { return l.Readdress(config.NewSecret(b.db.URL)) },
	} {
		require.NoError(t, drop())
	}
}

// replayOf writes a replay of everything and returns it.
func replayOf(t *testing.T, b *bundle) *ledger.Replay {
	t.Helper()
	b.exec(t, `INSERT INTO tailpost.replay (id, endpoint_id, types, until, state, created_at, updated_at)
		VALUES ('r1', 'erp', '{}', $1, 'pending', now(), now())`, noon.Add(time.Hour))
	return b.open1(t)
}
