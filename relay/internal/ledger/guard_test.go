package ledger_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/scan"
)

// Batches count from the taking of the slot, so a deposed relay may well hold the number that its
// successor is at. Nothing but the epoch tells them apart then.
func TestRecord_ofADeposedRelayAtTheSameBatchWritesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := take(t, b.ledger)
	require.NoError(t, b.ledger.Record(t.Context(), old, oneOf("e1", 1)))
	other := b.open(t, b.db.URL)
	hold := take(t, other)
	require.NoError(t, other.Record(t.Context(), hold, oneOf("e2", 2)))
	require.Equal(t, 1, b.count(t, `SELECT batch FROM tailpost.relay WHERE epoch = 2`), "where the deposed one believes to be")

	_, err := b.ledger.Mirror(t.Context(), endpoints("erp"), noon)
	require.NoError(t, err)
	everything := oneOf("e3", 9)
	everything.Update = []outbox.Delivery{pending("e1", "crm", "", 1, noon.Add(time.Hour))}
	everything.Remove = []ledger.QueueRow{{Pair: outbox.Pair{EventID: "e2", EndpointID: "crm"}}}
	everything.Endpoints = []ledger.EndpointChange{{EndpointID: "erp", Status: ledger.StatusDisabled}}
	everything.Versions = []ledger.EndpointVersion{{EndpointID: "ep_1", CommitLSN: 9, Row: []byte(`{}`)}}
	everything.Dropped = []ledger.Dropped{{EndpointID: "crm", CommitLSN: 9}}
	require.ErrorIs(t, b.ledger.Record(t.Context(), old, everything), ledger.ErrDeposed)
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM tailpost.attempt`))
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM tailpost.delivery WHERE next_attempt_at = $1`, noon))
	require.Equal(t, 2, b.count(t, `SELECT sum(attempts) FROM tailpost.endpoint_stats`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM tailpost.endpoint WHERE status = 'active'`))
	require.Zero(t, b.count(t, `SELECT count(*) FROM tailpost.endpoint_version`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM tailpost.relay WHERE epoch = 2 AND batch = 1 AND settled_lsn = '0/2'`))
	require.NoError(t, other.Record(t.Context(), hold, oneOf("e4", 4)))
}

// rowAt is where the slot's row is.
func (b *bundle) rowAt(t *testing.T) string {
	t.Helper()
	return b.texts(t, "SELECT ctid::text FROM tailpost.relay")[0]
}

// rowTo has the slot's row come to a place, as VACUUM and updates do in the course of time.
func (b *bundle) rowTo(t *testing.T, place string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		// What somebody may still see, such as an ANALYZE of the server's own, is kept by a VACUUM:
		// the row is then behind that, and comes back once nobody looks any more.
		b.exec(t, "VACUUM FULL tailpost.relay")
		for range 20 {
			if b.rowAt(t) == place {
				return
			}
			b.exec(t, "UPDATE tailpost.relay SET owner = owner")
		}
	}
	t.Fatalf("the row does not come to %s", place)
}

// Where the row is says nothing of whose it is: the place may be taken by what another relay wrote.
func TestRecord_goesByEpochAndBatchWhereverTheRowIs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := take(t, b.ledger)
	require.NoError(t, b.ledger.Record(t.Context(), old, oneOf("e1", 1)))
	place := b.rowAt(t)
	other := b.open(t, b.db.URL)
	hold := take(t, other)
	require.NoError(t, other.Record(t.Context(), hold, oneOf("e2", 2)))
	b.rowTo(t, place)
	require.ErrorIs(t, b.ledger.Record(t.Context(), old, oneOf("e3", 3)), ledger.ErrDeposed)
	b.requireBatches(t, 2, 1)

	// The database goes back to a state before the last batch, as a restored one does.
	require.NoError(t, other.Record(t.Context(), hold, oneOf("e4", 4)))
	place = b.rowAt(t)
	b.exec(t, "UPDATE tailpost.relay SET batch = 1")
	b.rowTo(t, place)
	require.ErrorIs(t, other.Record(t.Context(), hold, oneOf("e5", 5)), ledger.ErrDeposed)
	b.requireBatches(t, 3, 1)
}

// requireBatches checks that there are n batches of oneOf, and that the row is at a batch.
func (b *bundle) requireBatches(t *testing.T, n, batch int) {
	t.Helper()
	require.Equal(t, n, b.count(t, `SELECT count(*) FROM tailpost.attempt`))
	require.Equal(t, n, b.count(t, `SELECT count(*) FROM tailpost.delivery`))
	require.Equal(t, batch, b.count(t, `SELECT batch FROM tailpost.relay`))
}

// usage is how often the slot's row was updated, and how many blocks of its table and index were
// looked at for it.
type usage struct{ updates, blocks int }

// perUpdate is how many blocks an update since then took.
func (u usage) perUpdate(then usage) float64 {
	return float64(u.blocks-then.blocks) / float64(u.updates-then.updates)
}

// While somebody holds a snapshot, no old version of the slot's row can go. A batch must cost the
// same all the same.
func TestRecord_costsTheSameUnderALongSnapshot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	tx, err := b.db.Conn(t).BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "SELECT 1")
	require.NoError(t, err)
	lsn := outbox.LSN(0)
	// record records n batches and returns what it took from the beginning on, as Postgres counts
	// it: a session reports that from time to time, up to Postgres 14 with a statement only.
	record := func(n int) (u usage) {
		for range n {
			lsn++
			require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Settled: lsn}))
		}
		least := int(lsn)
		require.Eventually(t, func() bool {
			lsn++
			require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Settled: lsn}))
			require.NoError(t, b.conn.QueryRow(t.Context(), `
				SELECT n_tup_upd, heap_blks_hit + idx_blks_hit
				FROM pg_stat_user_tables
				JOIN pg_statio_user_tables USING (relid)
				WHERE relid = 'tailpost.relay'::regclass`).Scan(&u.updates, &u.blocks))
			return u.updates >= least
		}, time.Minute, 50*time.Millisecond)
		return u
	}
	const some, many = 200, 3000
	before := record(some)
	bloated := record(many)
	after := record(some)
	require.Positive(t, before.blocks)
	first, last := before.perUpdate(usage{}), after.perUpdate(bloated)
	require.Less(t, last, 2*first, "blocks of each batch, at first %.1f", first)
	require.NoError(t, tx.Rollback(t.Context()))
}

// Others change the row too: an audit that ends, a person who clears gaps, VACUUM FULL.
func TestRecord_findsTheRowWhereverItIs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	for i, move := range []string{
		"SELECT 1", "UPDATE tailpost.relay SET owner = 'moved'", "VACUUM FULL tailpost.relay",
		"INSERT INTO tailpost.relay SELECT 'other', epoch, owner, system_id, timeline, batch, settled_lsn, settled_at, updated_at FROM tailpost.relay",
		"UPDATE tailpost.relay SET owner = 'again'; VACUUM FULL tailpost.relay",
	} {
		for sql := range strings.SplitSeq(move, "; ") {
			b.exec(t, sql)
		}
		require.NoError(t, b.ledger.Record(t.Context(), hold, oneOf(strconv.Itoa(i), outbox.LSN(i+1))))
	}
	require.Equal(t, 5, b.count(t, "SELECT batch FROM tailpost.relay WHERE slot = 's'"))
	require.Equal(t, 5, b.count(t, "SELECT count(*) FROM tailpost.attempt"))
	require.Zero(t, b.losses())
	b.exec(t, "DELETE FROM tailpost.relay WHERE slot = 's'")
	require.ErrorIs(t, b.ledger.Record(t.Context(), hold, oneOf("e9", 9)), ledger.ErrDeposed)
}

// Everything else that only the holder may write goes by the epoch too.
func TestDeposedRelayQueuesAndNotesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := take(t, b.ledger)
	take(t, b.open(t, b.db.URL))
	queued, err := b.ledger.Queue(t.Context(), old, []outbox.Delivery{pending("e1", "erp", "", 1, noon)}, noon)
	require.ErrorIs(t, err, ledger.ErrDeposed)
	require.Zero(t, queued)
	require.ErrorIs(t, b.ledger.Audited(t.Context(), old, ledger.Audit{Before: noon, Found: &ledger.Gap{Heal: ledger.Heal{Why: "lost", At: noon}, Now: noon}}), ledger.ErrDeposed)
	require.Zero(t, b.count(t, `SELECT count(*) FROM tailpost.delivery`))
	require.Zero(t, b.count(t, `SELECT count(*) FROM tailpost.gap`))
	require.Zero(t, b.count(t, `SELECT count(audited_at) FROM tailpost.relay`))
}

// emitted counts the logical messages of ours that a slot of the test would stream.
func (b *bundle) emitted(t *testing.T, content string) int {
	t.Helper()
	return b.count(t, `
		SELECT count(*)
		FROM pg_logical_slot_peek_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', 'none', 'messages', 'true')
		WHERE get_byte(data, 0) = ascii('M') AND position($2::bytea IN data) > 0`, b.db.Slot(), []byte(content))
}

// Operational events exist if and only if what they tell of is recorded: not those of a batch that
// was cut off, once that it is run again.
func TestRecord_emitsInItsTransaction(t *testing.T) {
	t.Parallel()
	b, p := setupProxy(t)
	b.exec(t, `CREATE PUBLICATION "none"`)
	b.exec(t, `SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, b.db.Slot())
	hold := take(t, b.ledger)
	p.next(unsent)
	cut := &ledger.Batch{Park: oneOf("e1", 1).Park, Emit: [][]byte{[]byte("first of two"), []byte("second of two")}}
	require.NoError(t, b.ledger.Record(t.Context(), hold, cut))
	require.Equal(t, 1, b.losses())
	require.Equal(t, 2, b.emitted(t, "of two"))
}

func TestTake_makesAHealDueThatIsKeptUntilAudited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	again := func(o ledger.TakeOptions) *ledger.Heal {
		o.Slot, o.Owner, o.SystemID, o.Timeline, o.Now = "s", "host:1", "7", 1, noon
		_, err := b.ledger.Take(t.Context(), o)
		require.NoError(t, err)
		p, known, err := b.ledger.Position(t.Context(), "s")
		require.NoError(t, err)
		require.True(t, known)
		return p.Heal
	}
	require.Nil(t, again(ledger.TakeOptions{}))
	first := ledger.Heal{Why: "the slot was missing", Since: noon.Add(-time.Hour), From: 9, At: noon}
	require.Equal(t, &first, again(ledger.TakeOptions{Heal: &first, Gap: true}))
	require.Equal(t, &first, again(ledger.TakeOptions{}), "a relay that dies before it healed leaves it to the next one")
	require.Equal(t, &first, again(ledger.TakeOptions{Heal: &first}), "the same reason once")

	// A second gap before the first one is healed: the heal covers both.
	wider := ledger.Heal{Why: "the table was changed", Since: noon.Add(-2 * time.Hour), From: 5, At: noon.Add(time.Minute)}
	both := ledger.Heal{Why: "the slot was missing; the table was changed", Since: wider.Since, From: 5, At: noon}
	require.Equal(t, &both, again(ledger.TakeOptions{Heal: &wider}))
	narrower := ledger.Heal{Why: "failover", Since: noon, From: 20, At: noon}
	both.Why += "; failover"
	require.Equal(t, &both, again(ledger.TakeOptions{Heal: &narrower}))
	everything := ledger.Heal{Why: "backfill", From: 30, At: noon}
	both.Why, both.Since = both.Why+"; backfill", time.Time{}
	require.Equal(t, &both, again(ledger.TakeOptions{Heal: &everything}), "no time: it looks at all")
	require.Equal(t, &both, again(ledger.TakeOptions{Heal: &first}), "and stays so")

	_, err := b.ledger.Take(t.Context(), ledger.TakeOptions{Slot: "another", SystemID: "7", Timeline: 1, Now: noon, Heal: &first})
	require.NoError(t, err)
	hold := take(t, b.ledger)
	require.NoError(t, b.ledger.Audited(t.Context(), hold, ledger.Audit{Before: noon}))
	require.Nil(t, again(ledger.TakeOptions{}))
	later := ledger.Heal{Why: "failover", Since: noon.Add(time.Hour), From: 40, At: noon.Add(2 * time.Hour)}
	require.Equal(t, &later, again(ledger.TakeOptions{Heal: &later}), "nothing is left of the one before")
	require.NoError(t, b.ledger.Audited(t.Context(), take(t, b.ledger), ledger.Audit{Before: noon}))
	require.NoError(t, b.ledger.DueHeal(t.Context(), "s", later))
	require.Equal(t, &later, again(ledger.TakeOptions{}))
	other, _, err := b.ledger.Position(t.Context(), "another")
	require.NoError(t, err)
	require.Equal(t, &first, other.Heal, "what is due of another slot stays due")
}

func TestDueHeal_widensWhatIsDue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	take(t, b.ledger)
	due := func(h ledger.Heal) *ledger.Heal {
		require.NoError(t, b.ledger.DueHeal(t.Context(), "s", h))
		p, _, err := b.ledger.Position(t.Context(), "s")
		require.NoError(t, err)
		return p.Heal
	}
	first := ledger.Heal{Why: "a", Since: noon, From: 7, At: noon}
	require.Equal(t, &first, due(first))
	require.Equal(t, &ledger.Heal{Why: "a; b", Since: noon.Add(-time.Hour), From: 5, At: noon},
		due(ledger.Heal{Why: "b", Since: noon.Add(-time.Hour), From: 5, At: noon.Add(time.Hour)}))
	require.Equal(t, &ledger.Heal{Why: "a; b", Since: noon.Add(-time.Hour), From: 5, At: noon},
		due(ledger.Heal{Why: "b", Since: noon, From: 6, At: noon}), "never narrower, each reason once")
	require.Equal(t, &ledger.Heal{Why: "a; b; c", From: 5, At: noon}, due(ledger.Heal{Why: "c", From: 8, At: noon}))
	require.Equal(t, &ledger.Heal{Why: "a; b; c", From: 5, At: noon}, due(ledger.Heal{Why: "a", Since: noon, From: 8, At: noon}))
}

// However many gaps came before, those of the last hour count: a loop that finds one gap after the
// other is noticed.
func TestGaps_countTheNewestHoweverManyThereWere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	gap := func(at time.Time) {
		_, err := b.ledger.Take(t.Context(), ledger.TakeOptions{
			Slot: "s", Owner: "host:1", SystemID: "7", Timeline: 1, Gap: true, Now: at, Heal: &ledger.Heal{Why: "lost", From: 1, At: at},
		})
		require.NoError(t, err)
	}
	for i := range 20 {
		gap(noon.Add(time.Duration(i) * time.Second))
	}
	now := noon.Add(3 * time.Hour)
	for i := range 4 {
		gap(now.Add(time.Duration(i) * time.Second))
	}
	gaps, err := b.ledger.Gaps(t.Context(), ledger.GapsOptions{Slot: "s", Uncounted: []string{"backfill"}, Since: now.Add(-time.Hour), Now: now.Add(time.Minute)})
	require.NoError(t, err)
	require.Len(t, gaps, 4)
}

func TestGaps_countUntilTheyAreHealedAndAnHourAfter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	gapAt := func(at time.Time, why string) {
		_, err := b.ledger.Take(t.Context(), ledger.TakeOptions{
			Slot: "s", Owner: "host:1", SystemID: "7", Timeline: 1, Gap: true, Now: at, Heal: &ledger.Heal{Why: why, From: 1, At: at},
		})
		require.NoError(t, err)
	}
	counts := func(now time.Time) (whys []string) {
		gaps, err := b.ledger.Gaps(t.Context(), ledger.GapsOptions{Slot: "s", Uncounted: []string{"backfill"}, Since: now.Add(-time.Hour), Now: now})
		require.NoError(t, err)
		for _, g := range gaps {
			whys = append(whys, g.Why)
		}
		return whys
	}
	gapAt(noon, "lost")
	gapAt(noon.Add(time.Minute), "lost")
	require.Equal(t, []string{"lost", "lost"}, counts(noon.Add(2*time.Minute)))
	hold := take(t, b.ledger)
	found := ledger.Gap{
		Heal: ledger.Heal{Why: "lost", Since: noon.Add(-time.Hour), From: 3, At: noon},
		To:   9, Events: 5, Deliveries: 7, Note: "two are gone", Now: noon.Add(5 * time.Minute),
	}
	require.NoError(t, b.ledger.Audited(t.Context(), hold, ledger.Audit{Before: noon, Found: &found}))
	require.Equal(t, []string{"s lost 0/3 0/9 5 7 two are gone -1 0 5"}, b.texts(t, `
SELECT concat_ws(' ', slot, why, from_lsn, to_lsn, events, deliveries, note, extract(hour FROM since - detected_at)::int,
                 extract(minute FROM detected_at - '2026-03-14 12:00Z')::int, extract(minute FROM at - detected_at)::int)
FROM tailpost.gap`))
	require.Equal(t, []string{"lost"}, counts(noon.Add(6*time.Minute)), "one heal")
	require.Equal(t, []string{"lost"}, counts(noon.Add(64*time.Minute)))
	require.Empty(t, counts(noon.Add(65*time.Minute)))
	backfill := ledger.Gap{Heal: ledger.Heal{Why: "backfill", At: noon}, Now: noon.Add(6 * time.Minute)}
	require.NoError(t, b.ledger.Audited(t.Context(), hold, ledger.Audit{Before: noon, Found: &backfill}))
	require.Equal(t, []string{"lost"}, counts(noon.Add(7*time.Minute)), "a backfill is no gap")

	// A person clears what there is, also what a relay whose clock is ahead has written.
	gapAt(noon.Add(7*time.Minute), "lost again")
	require.Equal(t, []string{"lost", "lost again"}, counts(noon.Add(7*time.Minute)), "what was found before the heal is the heal's")
	due, err := b.ledger.ClearGaps(t.Context(), "s", noon)
	require.NoError(t, err)
	require.Equal(t, "lost again", due)
	for range 3 {
		gapAt(noon.Add(8*time.Minute), "lost again")
	}
	require.Len(t, counts(noon.Add(9*time.Minute)), 3, "those that came after")
	_, err = b.ledger.ClearGaps(t.Context(), "never held", noon)
	require.ErrorContains(t, err, "never held")

	for range 40 {
		gapAt(noon.Add(9*time.Minute), "lost again")
	}
	require.LessOrEqual(t, b.count(t, "SELECT cardinality(heal_gaps) FROM tailpost.relay"), 16, "a loop of gaps does not make the row grow")

	found.Now = noon.Add(time.Hour)
	require.NoError(t, b.ledger.Audited(t.Context(), take(t, b.ledger), ledger.Audit{Before: noon, Found: &found}))
	require.Equal(t, []string{"lost"}, counts(noon.Add(61*time.Minute)))
	_, err = b.ledger.ClearGaps(t.Context(), "s", noon)
	require.NoError(t, err)
	require.Empty(t, counts(noon.Add(61*time.Minute)), "nor does one count that a clock which is ahead says was healed")
}

// A round through the table goes on over restarts, and means nothing on another cluster.
func TestAudited_keepsTheRoundUntilTheClusterIsAnother(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Settled: 9, Passing: true}))
	round := ledger.Round{Block: 4096, Began: scan.Horizon{XID: 901, At: noon}, Settled: scan.Horizon{XID: 800, At: noon.Add(-time.Hour)}}
	require.NoError(t, b.ledger.Audited(t.Context(), hold, ledger.Audit{Before: noon, Horizon: scan.Horizon{XID: 900, At: noon}, Round: round}))
	on := func(system string) ledger.Position {
		_, err := b.ledger.Take(t.Context(), ledger.TakeOptions{Slot: hold.Slot, Owner: "host:2", SystemID: system, Timeline: 1, Now: noon})
		require.NoError(t, err)
		p, _, err := b.ledger.Position(t.Context(), hold.Slot)
		require.NoError(t, err)
		return p
	}
	p, _, err := b.ledger.Position(t.Context(), hold.Slot)
	require.NoError(t, err)
	require.Equal(t, round, on(p.SystemID).Round)
	require.NotZero(t, on(p.SystemID).Released)
	require.Equal(t, scan.Horizon{XID: 900, At: noon}, on(p.SystemID).Horizon)
	require.Equal(t, noon, p.AuditedAt)
	hold = take(t, b.ledger)
	for _, before := range []time.Time{noon.Add(-time.Second), {}} { // one that is behind, and one that cannot tell
		require.NoError(t, b.ledger.Audited(t.Context(), hold, ledger.Audit{Before: before, Round: round}))
		p, _, err = b.ledger.Position(t.Context(), hold.Slot)
		require.NoError(t, err)
		require.Equal(t, noon, p.AuditedAt, "what is known to be settled stays so")
		require.Equal(t, scan.Horizon{XID: 900, At: noon}, p.Horizon)
	}
	// How far a slot of another cluster may stand says nothing of this one's, nor do its
	// transactions: taken for this one's they would hide what is missing.
	moved := on("another")
	require.Zero(t, moved.Round)
	require.Zero(t, moved.Released)
	require.Zero(t, moved.Horizon)
}
