package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// fanout is a slot whose holder, at 0/10, publishes to four partitions.
type fanout struct {
	*bundle

	hold ledger.Hold
}

func setupFanout(t *testing.T) *fanout {
	t.Helper()
	f := &fanout{bundle: setup(t)}
	f.hold = take(t, f.ledger)
	f.settle(t, f.ledger, f.hold, 0x10)
	require.EqualValues(t, 1, f.route(t, "by a"))
	require.Nil(t, f.publish(t, 4))
	return f
}

func (f *fanout) route(t *testing.T, routing string) int64 {
	t.Helper()
	number, err := f.ledger.Route(t.Context(), f.hold, routing, false)
	require.NoError(t, err)
	return number
}

// settle records that everything up to a position is settled, at noon and so many seconds.
func (f *fanout) settle(t *testing.T, l *ledger.Ledger, hold ledger.Hold, lsn outbox.LSN) {
	t.Helper()
	require.NoError(t, l.Record(t.Context(), hold, &ledger.Batch{Settled: lsn, SettledAt: at(lsn), Now: noon}))
}

func at(lsn outbox.LSN) time.Time { return noon.Add(time.Duration(lsn) * time.Second) }

func (f *fanout) publish(t *testing.T, partitions int) *ledger.Left {
	t.Helper()
	left, err := f.publishing(t, partitions)
	require.NoError(t, err)
	return left
}

func (f *fanout) publishing(t *testing.T, partitions int) (*ledger.Left, error) {
	t.Helper()
	return f.ledger.Publishing(t.Context(), f.hold, ledger.PublishingOptions{
		Partitions: partitions, Why: "the partitions were left", Margin: time.Minute, Now: noon,
	})
}

// sender is a relay that has taken a partition.
type sender struct {
	*ledger.Ledger

	hold ledger.Hold
}

func (f *fanout) try(t *testing.T, l *ledger.Ledger, partition, partitions int) (ledger.Hold, error) {
	t.Helper()
	return l.TakePartition(t.Context(), ledger.TakePartitionOptions{
		Slot: "s", Partition: partition, Partitions: partitions, Routing: "by a", Owner: "host:2", Now: noon,
	})
}

func (f *fanout) sender(t *testing.T, partition, partitions int) *sender {
	t.Helper()
	s := &sender{Ledger: f.open(t, f.db.URL)}
	var err error
	s.hold, err = f.try(t, s.Ledger, partition, partitions)
	require.NoError(t, err)
	return s
}

func (f *fanout) position(t *testing.T) ledger.Position {
	t.Helper()
	p, known, err := f.ledger.Position(t.Context(), "s")
	require.NoError(t, err)
	require.True(t, known)
	return p
}

func TestPartitionSlot(t *testing.T) {
	t.Parallel()
	require.Equal(t, "slot#03", ledger.PartitionSlot("slot", 3))
	require.Equal(t, "slot#255", ledger.PartitionSlot("slot", 255))
}

// A partition is recorded as a slot is: whoever takes it deposes the owner before, at whatever
// batch, and no other partition's, nor the slot's.
func TestTakePartition_deposesTheOwnerBefore(t *testing.T) {
	t.Parallel()
	f := setupFanout(t)
	older, neighbour := f.sender(t, 3, 4), f.sender(t, 2, 4)
	require.Equal(t, ledger.Hold{Slot: "s#03", Owner: "host:2", Epoch: 1, Settled: 0x10, Origin: f.hold.Origin, Routing: 1, Before: ledger.Place{SystemID: "7", Timeline: 1}}, older.hold)
	require.NoError(t, older.Record(t.Context(), older.hold, oneOf("e1", 0x11)))
	newer := f.sender(t, 3, 4)
	require.EqualValues(t, 2, newer.hold.Epoch)
	require.EqualValues(t, 0x11, newer.hold.Settled)
	require.NoError(t, newer.Record(t.Context(), newer.hold, oneOf("e2", 0x12)))
	require.ErrorIs(t, older.Record(t.Context(), older.hold, oneOf("e3", 0x13)), ledger.ErrDeposed)
	_, err := older.Queue(t.Context(), older.hold, []outbox.Delivery{pending("e4", "erp", "", 1, noon)}, noon)
	require.ErrorIs(t, err, ledger.ErrDeposed)
	queued, err := newer.Queue(t.Context(), newer.hold, []outbox.Delivery{pending("e4", "erp", "", 1, noon)}, noon)
	require.NoError(t, err)
	require.EqualValues(t, 1, queued)
	require.NoError(t, neighbour.Record(t.Context(), neighbour.hold, oneOf("e5", 0x15)))
	f.settle(t, f.ledger, f.hold, 0x20)
	require.Equal(t, []string{"s 1 2 0/20", "s#00 0 0 0/10", "s#01 0 0 0/10", "s#02 1 1 0/15", "s#03 2 1 0/12"},
		f.texts(t, "SELECT concat_ws(' ', slot, epoch, batch, settled_lsn) FROM tailpost.relay ORDER BY slot"))
}

// What the owner before is about to commit counts, or its successor would send it again.
func TestTakePartition_waitsForARecordUnderWay(t *testing.T) {
	t.Parallel()
	f := setupFanout(t)
	older, newer := f.sender(t, 0, 4), f.open(t, f.db.URL)
	tx, err := f.conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE tailpost.attempt IN SHARE MODE")
	require.NoError(t, err)
	recorded, took := make(chan error, 1), make(chan ledger.Hold, 1)
	go func() { recorded <- older.Record(t.Context(), older.hold, oneOf("e1", 0x40)) }()
	f.awaitBlocked(t)
	go func() {
		hold, err := f.try(t, newer, 0, 4)
		if err != nil {
			t.Error(err)
		}
		took <- hold
	}()
	require.Eventually(t, func() bool {
		return f.count(t, "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'") > 0
	}, 30*time.Second, 5*time.Millisecond)
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-recorded)
	require.EqualValues(t, 0x40, (<-took).Settled)
}

// A partition that is taken for the first time begins where the slot was when its holder began to
// publish: what was published since waits for it.
func TestTakePartition_beginsWherePublishingBegan(t *testing.T) {
	t.Parallel()
	f := setupFanout(t)
	f.settle(t, f.ledger, f.hold, 0x50)
	require.EqualValues(t, 0x10, f.sender(t, 1, 4).hold.Settled)
	f.hold = take(t, f.ledger)
	require.Nil(t, f.publish(t, 4))
	require.EqualValues(t, 0x10, f.sender(t, 2, 4).hold.Settled, "whoever publishes now")
}

func TestTakePartition_isRefusedWhereNobodyPublishesToIt(t *testing.T) {
	t.Parallel()
	f := setupFanout(t)
	l := f.open(t, f.db.URL)
	refuse := func(partition, partitions int) {
		t.Helper()
		_, err := f.try(t, l, partition, partitions)
		require.ErrorIs(t, err, ledger.ErrNotPublished)
	}
	refuse(0, 5)
	refuse(4, 4)
	refuse(-1, 4)
	_, err := l.TakePartition(t.Context(), ledger.TakePartitionOptions{Slot: "another", Partitions: 4, Now: noon})
	require.ErrorIs(t, err, ledger.ErrNotPublished)
	f.publish(t, 2)
	refuse(0, 4)
	refuse(3, 4)
	refuse(2, 2)
	require.EqualValues(t, 0x10, f.sender(t, 1, 2).hold.Settled)
	f.publish(t, 0)
	refuse(0, 2)
	refuse(0, 0)
}

// Whoever waits for the row while the slot's holder goes over to delivering itself finds nothing to
// take: what it had read of the slot before is not true any more.
func TestTakePartition_isRefusedWhereThatEndsMeanwhile(t *testing.T) {
	t.Parallel()
	f := setupFanout(t)
	tx, err := f.conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "UPDATE tailpost.relay SET partitions = 0")
	require.NoError(t, err)
	l, refused := f.open(t, f.db.URL), make(chan error, 1)
	go func() {
		_, err := f.try(t, l, 0, 4)
		refused <- err
	}()
	f.awaitBlocked(t)
	require.NoError(t, tx.Commit(t.Context()))
	require.ErrorIs(t, <-refused, ledger.ErrNotPublished)
}

// When all was settled is known once every partition says so, and is what the one says that is
// behind most: a heal that began later would leave out what that one has not settled.
func TestPosition_hasATimeOnceEveryPartitionHas(t *testing.T) {
	t.Parallel()
	f := &fanout{bundle: setup(t)}
	f.hold = take(t, f.ledger)
	f.route(t, "by a")
	require.Nil(t, f.publish(t, 2))
	first, second := f.sender(t, 0, 2), f.sender(t, 1, 2)
	require.Zero(t, f.position(t).SettledAt)
	f.settle(t, first.Ledger, first.hold, 0x30)
	require.Zero(t, f.position(t).SettledAt, "the other one may not have settled anything")
	f.settle(t, second.Ledger, second.hold, 0x20)
	require.Equal(t, at(0x20), f.position(t).SettledAt)
}

// What senders leave behind has no time where one of them has none: then all of the table is looked
// at.
func TestPublishing_leavesWhatHasNoTimeToAHealOfAll(t *testing.T) {
	t.Parallel()
	f := &fanout{bundle: setup(t)}
	f.hold = take(t, f.ledger)
	f.route(t, "by a")
	require.Nil(t, f.publish(t, 2))
	first := f.sender(t, 0, 2)
	f.settle(t, first.Ledger, first.hold, 0x30)
	f.settle(t, f.ledger, f.hold, 0x40)
	left := f.publish(t, 0)
	require.NotNil(t, left)
	require.Zero(t, left.At)
	require.Zero(t, f.position(t).Heal.Since)
}

// One sender that is behind is enough for a heal: the others may all have come as far as the slot.
func TestPublishing_leavesWhatOneHadNotSettled(t *testing.T) {
	t.Parallel()
	f := setupFanout(t)
	for i := range 4 {
		s, upTo := f.sender(t, i, 4), outbox.LSN(0x40)
		if i == 2 {
			upTo = 0x20
		}
		f.settle(t, s.Ledger, s.hold, upTo)
	}
	f.settle(t, f.ledger, f.hold, 0x40)
	require.Equal(t, &ledger.Left{From: 0x20, At: at(0x20)}, f.publish(t, 6))
	require.Equal(t, &ledger.Heal{Why: "the partitions were left", Since: at(0x20).Add(-time.Minute), From: 0x20, At: noon}, f.position(t).Heal)
}

// Positions of another cluster mean nothing. The senders wait until the slot's holder publishes
// there, and all that they had not settled is looked for.
func TestPublishing_beginsAnewOnAnotherCluster(t *testing.T) {
	t.Parallel()
	f := setupFanout(t)
	s, other := f.sender(t, 0, 4), f.sender(t, 1, 4)
	f.settle(t, s.Ledger, s.hold, 0x7000)
	var err error
	f.hold, err = f.ledger.Take(t.Context(), ledger.TakeOptions{Slot: "s", SystemID: "8", Timeline: 3, Start: 0x2, Now: noon})
	require.NoError(t, err)
	_, err = f.try(t, s.Ledger, 0, 4)
	require.ErrorIs(t, err, ledger.ErrNotPublished)
	_, published, err := f.ledger.SettledPartitions(t.Context(), "s", 4)
	require.NoError(t, err)
	require.False(t, published)

	require.Equal(t, &ledger.Left{At: at(0x10)}, f.publish(t, 4))
	require.ErrorIs(t, other.Record(t.Context(), other.hold, oneOf("e1", 0x7001)), ledger.ErrDeposed)
	again := f.sender(t, 0, 4)
	require.EqualValues(t, 0x2, again.hold.Settled)
	require.Equal(t, ledger.Place{SystemID: "8", Timeline: 3}, again.hold.Before)
	p := f.position(t)
	require.Equal(t, at(0x10).Add(-time.Minute), p.Heal.Since)
	require.Zero(t, p.Heal.From)
	f.settle(t, f.ledger, f.hold, 0x9)
	require.Nil(t, f.publish(t, 4), "once")
}

// Who delivers itself has deposed all senders by then, and knows what they had not settled; a heal
// of that is due whatever comes between.
func TestPublishing_nowhereDeposesAllSenders(t *testing.T) {
	t.Parallel()
	f := setupFanout(t)
	all := make([]*sender, 4)
	for i := range all {
		all[i] = f.sender(t, i, 4)
		f.settle(t, all[i].Ledger, all[i].hold, outbox.LSN(0x20+i))
	}
	f.settle(t, f.ledger, f.hold, 0x50)
	require.Equal(t, 4, f.position(t).Partitions)
	require.Equal(t, at(0x20), f.position(t).SettledAt, "as far as all are")
	settled, published, err := f.ledger.SettledPartitions(t.Context(), "s", 4)
	require.NoError(t, err)
	require.True(t, published)
	require.EqualValues(t, 0x20, settled)
	_, published, err = f.ledger.SettledPartitions(t.Context(), "s", 3)
	require.NoError(t, err)
	require.False(t, published)

	// One of them is about to commit, and counts.
	tx, err := f.conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE tailpost.attempt IN SHARE MODE")
	require.NoError(t, err)
	recorded, left := make(chan error, 1), make(chan *ledger.Left, 1)
	go func() {
		b := oneOf("e1", 0x40)
		b.SettledAt = at(0x40)
		recorded <- all[0].Record(t.Context(), all[0].hold, b)
	}()
	f.awaitBlocked(t)
	go func() {
		behind, err := f.publishing(t, 0)
		if err != nil {
			t.Error(err)
		}
		left <- behind
	}()
	require.Eventually(t, func() bool {
		return f.count(t, "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'") > 0
	}, 30*time.Second, 5*time.Millisecond)
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-recorded)
	require.Equal(t, &ledger.Left{From: 0x21, At: at(0x21)}, <-left)
	for _, s := range all {
		require.ErrorIs(t, s.Record(t.Context(), s.hold, oneOf("e2", 0x60)), ledger.ErrDeposed)
	}
	p := f.position(t)
	require.Equal(t, &ledger.Heal{Why: "the partitions were left", Since: at(0x21).Add(-time.Minute), From: 0x21, At: noon}, p.Heal)
	require.EqualValues(t, 0x50, p.Settled)
	require.Equal(t, at(0x50), p.SettledAt)
	require.Zero(t, p.Partitions)
	require.Nil(t, f.publish(t, 0))

	// And back: what it has delivered itself is settled.
	f.settle(t, f.ledger, f.hold, 0x80)
	require.Nil(t, f.publish(t, 4))
	require.EqualValues(t, 0x80, f.sender(t, 0, 4).hold.Settled)
}

// Where every sender has come as far as the slot, nothing is left. Another number of partitions is
// another layout, for all of them.
func TestPublishing_toAnotherNumberLeavesNothingWhereAllIsSettled(t *testing.T) {
	t.Parallel()
	f := setupFanout(t)
	s := f.sender(t, 1, 4)
	require.Nil(t, f.publish(t, 4))
	require.NoError(t, s.Record(t.Context(), s.hold, oneOf("e1", 0x11)), "nothing has changed")
	require.Nil(t, f.publish(t, 6))
	require.ErrorIs(t, s.Record(t.Context(), s.hold, oneOf("e2", 0x12)), ledger.ErrDeposed)
	require.Nil(t, f.position(t).Heal)
	settled, published, err := f.ledger.SettledPartitions(t.Context(), "s", 6)
	require.NoError(t, err)
	require.True(t, published)
	require.EqualValues(t, 0x10, settled)
	require.Equal(t, 7, f.count(t, "SELECT count(*) FROM tailpost.relay"))
	require.Equal(t, 6, f.count(t, "SELECT count(*) FROM tailpost.relay WHERE partition_of = 's'"))
}

// Only who holds the slot says where it publishes.
func TestPublishing_isOfTheHolderAlone(t *testing.T) {
	t.Parallel()
	f := setupFanout(t)
	take(t, f.open(t, f.db.URL))
	_, err := f.ledger.Publishing(t.Context(), f.hold, ledger.PublishingOptions{Now: noon})
	require.ErrorIs(t, err, ledger.ErrDeposed)
	require.Equal(t, 4, f.position(t).Partitions)
}

// Attempts of long before the slot moved are left out of what a partition begins with too.
func TestRecorded_ofAPartitionGoesByTheMoveOfItsSlot(t *testing.T) {
	t.Parallel()
	f := setupFanout(t)
	long, late := attempt("long ago", "erp", outbox.Delivered, 0x90), attempt("late", "erp", outbox.Delivered, 0x91)
	long.AttemptedAt, late.AttemptedAt = noon.Add(-2*time.Hour), noon
	require.NoError(t, f.ledger.Record(t.Context(), f.hold, &ledger.Batch{Attempts: []outbox.Attempt{long, late}, Now: noon}))
	_, err := f.ledger.Take(t.Context(), ledger.TakeOptions{Slot: "s", SystemID: "8", Timeline: 1, Now: noon})
	require.NoError(t, err)
	for _, slot := range []string{"s", ledger.PartitionSlot("s", 1)} {
		pairs, _, err := f.ledger.Recorded(t.Context(), slot, 0, ledger.MostRecorded)
		require.NoError(t, err)
		require.Equal(t, map[outbox.Pair]struct{}{{EventID: "late", EndpointID: "erp"}: {}}, pairs, slot)
	}
}

// A partition is held as long as nobody took it and its lease's session is there.
func TestHolds_ofAPartitionGoesByItsSession(t *testing.T) {
	t.Parallel()
	f := setupFanout(t)
	s := f.sender(t, 1, 4)
	pid := f.count(t, "SELECT pg_backend_pid()")
	holds := func(hold ledger.Hold, pid int) bool {
		holds, err := f.ledger.Holds(t.Context(), hold, pid)
		require.NoError(t, err)
		return holds
	}
	require.True(t, holds(s.hold, pid))
	require.False(t, holds(s.hold, 0))
	elsewhere := pgtest.NewDB(t)
	require.False(t, holds(s.hold, f.countOn(t, elsewhere.Conn(t), "SELECT pg_backend_pid()")), "a session of another database")
	require.False(t, holds(f.hold, pid), "nobody streams from the slot")
	f.sender(t, 1, 4)
	require.False(t, holds(s.hold, pid))
}

// TestRoute_numbersWhatSendersHaveToGoBy: a sender with other endpoints takes nothing, and what is
// routed anew has a number that those who took before do not have.
func TestRoute_numbersWhatSendersHaveToGoBy(t *testing.T) {
	t.Parallel()
	f := setupFanout(t)
	require.EqualValues(t, 1, f.sender(t, 0, 4).hold.Routing)
	require.EqualValues(t, 1, f.route(t, "by a"), "it is the same")
	require.EqualValues(t, 2, f.route(t, "by b"))
	require.Equal(t, ledger.Routing{Hash: "by b", Number: 2}, f.position(t).Routing)
	_, err := f.try(t, f.open(t, f.db.URL), 0, 4)
	require.ErrorIs(t, err, ledger.ErrNotPublished)
	require.EqualValues(t, 3, f.route(t, "by a"), "and back")
	require.EqualValues(t, 3, f.sender(t, 0, 4).hold.Routing)
	number, err := f.ledger.Route(t.Context(), f.hold, "by a", true)
	require.NoError(t, err)
	require.EqualValues(t, 4, number, "behind a gap, of which whoever took it before has not heard")
	take(t, f.open(t, f.db.URL))
	_, err = f.ledger.Route(t.Context(), f.hold, "by c", false)
	require.ErrorIs(t, err, ledger.ErrDeposed)
}
