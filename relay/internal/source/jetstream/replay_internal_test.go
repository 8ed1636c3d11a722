package jetstream

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/relay/internal/source"
)

// log is a stream that several readers write, each until it is deposed and some beyond that. What
// is in it is complete: a reader begins no later than its predecessors' first transaction that is
// not stored whole.
func log(t *rapid.T, txs [][]thing) (messages [][]byte) {
	stored := 0 // transactions that are known to be stored whole
	var old []*tail
	readers := rapid.IntRange(1, 4).Draw(t, "readers")
	for epoch := range readers {
		w := newWriter(int64(epoch + 1))
		from := rapid.IntRange(0, stored).Draw(t, "from")
		if from > 0 && rapid.Bool().Draw(t, "keepalive") {
			w.thing(&thing{event: -1, row: -1, alive: endOf(txs[from-1])})
		}
		var todo []thing
		ends := make(map[int]int) // of todo, to transactions
		for n := from; n < len(txs); n++ {
			todo = append(todo, txs[n]...)
			ends[len(todo)] = n + 1
		}
		until := len(todo)
		if epoch < readers-1 {
			until = rapid.IntRange(0, len(todo)).Draw(t, "until")
		}
		for i := range until {
			w.thing(&todo[i])
			if rapid.Bool().Draw(t, "cut") || i == until-1 {
				messages = append(messages, w.cut())
				if rapid.IntRange(0, 9).Draw(t, "twice") == 0 {
					messages = append(messages, messages[len(messages)-1])
				}
				for n, count := range ends {
					if n <= i+1 {
						stored = max(stored, count)
					}
				}
			}
			if len(old) > 0 && rapid.IntRange(0, 3).Draw(t, "deposed") == 0 {
				messages = append(messages, rapid.SampledFrom(old).Draw(t, "which").next()...)
			}
		}
		if until > 0 {
			old = append(old, &tail{writer: w, rest: todo[until:]})
		}
	}
	return messages
}

// tail is a deposed reader that does not know it.
type tail struct {
	*writer
	rest []thing
}

func (d *tail) next() [][]byte {
	if len(d.rest) == 0 {
		return nil
	}
	d.thing(&d.rest[0])
	d.rest = d.rest[1:]
	return [][]byte{d.cut()}
}

func TestEachTransactionIsBroughtOnceWhoeverPublishesIt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		txs, want := history(t)
		messages := log(t, txs)
		r := newReading(0)
		for _, m := range messages {
			require.NoError(t, r.take(m))
		}
		require.Equal(t, want, r.all)
	})
}

// TestNothingIsPurgedThatIsNotSettled: whatever is acknowledged, whenever the stream is purged as
// far as it may be and the sender dies, its successor gets all that was not acknowledged from what
// is left.
func TestNothingIsPurgedThatIsNotSettled(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		txs, want := history(t)
		messages := log(t, txs)
		r := newReading(0)
		var acked source.Position
		first := uint64(1) // that is left
		for i, m := range messages {
			require.NoError(t, r.take(m))
			if rapid.IntRange(0, 2).Draw(t, "ack") > 0 {
				continue
			}
			// What was brought whole may be settled, in its order.
			brought := slices.DeleteFunc(slices.Clone(txs), func(tx []thing) bool { return endOf(tx) > r.done })
			if len(brought) > 0 {
				acked = max(acked, endOf(rapid.SampledFrom(brought).Draw(t, "acked")))
				r.keep.ack(acked)
			}
			if to, due := r.keep.boundary(); due {
				require.LessOrEqual(t, to, uint64(i+1), "the last message stays")
				r.keep.purgedTo(to)
				first = to
			}
			if rapid.IntRange(0, 3).Draw(t, "dies") == 0 {
				r = newReading(acked)
				for seq := first; seq <= uint64(i+1); seq++ {
					require.NoError(t, r.takeAt(seq, messages[seq-1]))
				}
				r.seq = uint64(i + 1)
			}
		}
		r = newReading(acked)
		for seq := first; seq <= uint64(len(messages)); seq++ {
			require.NoError(t, r.takeAt(seq, messages[seq-1]))
		}
		var settled int
		for i, tx := range txs {
			if endOf(tx) <= acked {
				settled = i + 1
			}
		}
		skip := 0
		for _, tx := range txs[:settled] {
			skip += len(tx)
		}
		require.Equal(t, want[skip:], append([]string{}, r.all...))
	})
}

func TestAMessageIsKeptUntilItsTransactionEnds(t *testing.T) {
	t.Parallel()
	k := newKeep(0)
	k.ended(10)
	k.read(1, true) // of the next transaction there is something in it
	k.read(2, true)
	require.False(t, k.ack(10))
	_, due := k.boundary()
	require.False(t, due)
	k.ended(20)
	k.read(3, false)
	_, due = k.boundary()
	require.False(t, due, "it is not settled")
	require.False(t, k.ack(19))
	_, due = k.boundary()
	require.False(t, due)
	require.True(t, k.ack(20))
	require.True(t, k.ack(0), "what is settled stays so")
	to, due := k.boundary()
	require.True(t, due)
	require.EqualValues(t, 3, to, "the last one stays")
	k.purgedTo(to)
	_, due = k.boundary()
	require.False(t, due)
}

func TestPositionsThatGoBackKeepTheirMessages(t *testing.T) {
	t.Parallel()
	k := newKeep(100)
	k.read(1, false)
	k.ended(50) // of another line
	k.read(2, false)
	k.read(3, false)
	k.ack(100)
	to, due := k.boundary()
	require.True(t, due)
	require.EqualValues(t, 2, to)
	k.ended(120)
	k.read(4, false)
	k.ack(119)
	to, _ = k.boundary()
	require.EqualValues(t, 4, to, "what is beyond the old line's end came behind it")
}

// Where positions go back, what was brought or said to come no more is the other line's.
func TestWhatWasSaidOfTheOldLineLetsNothingOfTheNewOneGo(t *testing.T) {
	t.Parallel()
	for said, line := range map[source.Position]source.Position{50: 100, 150: 150} {
		k := newKeep(100)
		k.passed(said)
		k.ended(60) // of another line
		k.read(1, false)
		k.read(2, false)
		require.False(t, k.ack(line), "position %d of the line that was left", line)
		require.True(t, k.ack(line+1))
	}
}

// What is read a second time, because the stream is another one, waits for what it waited for.
func TestWhatIsReadAgainIsKeptAsLong(t *testing.T) {
	t.Parallel()
	k := newKeep(0)
	k.ended(100)
	read := func() {
		k.read(1, false)
		k.ignored(50) // of a deposed reader
		k.read(2, false)
	}
	read()
	for range 2 {
		k.anew()
		read()
		require.Equal(t, k.acked == 100, k.ack(50))
		require.True(t, k.ack(100))
		to, due := k.boundary()
		require.True(t, due, "the stream that is there now was not purged")
		require.EqualValues(t, 2, to)
		k.purgedTo(to)
	}
}

func TestATransactionThatIsRoutedAnewComesBeforeTheOpenOne(t *testing.T) {
	t.Parallel()
	r := newReading(0)
	first := newWriter(1)
	five := &wireCommit{Commit: 50}
	first.thing(&thing{begin: five, event: -1, row: -1})
	first.thing(&thing{event: 0, row: -1})
	require.NoError(t, r.take(first.cut()))
	second := newWriter(2)
	four := &wireCommit{Commit: 40}
	for _, th := range []thing{
		{begin: four, event: -1, row: -1},
		{event: 0, row: -1},
		{event: -1, row: -1, commit: 45},
		{begin: five, event: -1, row: -1},
		{event: 0, row: -1},
		{event: 1, row: -1},
		{event: -1, row: -1, commit: 55},
	} {
		second.thing(&th)
	}
	require.NoError(t, r.take(second.cut()))
	require.Equal(t, []string{
		"begin 50", "event 50.0", "commit 50-0", "begin 40", "event 40.0", "commit 40-45", "begin 50", "event 50.1", "commit 50-55",
	}, r.all)
}

func TestPiecesOfAReaderThatIsGoneAreForgotten(t *testing.T) {
	t.Parallel()
	r := newReading(0)
	tx := &wireCommit{Commit: 50}
	inner := newWriter(0)
	inner.within = tx
	inner.thing(&thing{event: 0, row: -1})
	whole := inner.entries
	send := func(w *writer, pieces ...int) {
		w.thing(&thing{begin: tx, event: -1, row: -1})
		cut := len(whole) / 3
		parts := [][]byte{whole[:cut], whole[cut : 2*cut], whole[2*cut:]}
		for _, i := range pieces {
			w.add(entry{Kind: pieceEntry, Piece: &piece{Index: i, Last: i == 2, Data: parts[i]}})
			require.NoError(t, r.take(w.cut()))
		}
	}
	send(newWriter(1), 0, 1)
	send(newWriter(2), 2) // its first ones were lost
	require.Equal(t, []string{"begin 50"}, r.all)
	third := newWriter(3)
	send(third, 0, 1, 2)
	require.Equal(t, []string{"begin 50", "event 50.0"}, r.all)
	inner.entries = nil
	inner.thing(&thing{event: 1, row: -1})
	whole = inner.entries
	send(third, 0, 1, 2)
	require.Equal(t, []string{"begin 50", "event 50.0", "event 50.1"}, r.all, "and the next one")
}

// What a stream lost of a reader's messages is told of, and what is left of it makes no entry.
func TestLostMessagesAreToldOf(t *testing.T) {
	t.Parallel()
	r, said := newReading(0), new(bytes.Buffer)
	r.log = zerolog.New(said)
	w := newWriter(1)
	w.thing(&thing{begin: &wireCommit{Commit: 50}, event: -1, row: -1})
	w.add(entry{Kind: pieceEntry, Piece: &piece{Index: 0, Data: []byte("half")}})
	require.NoError(t, r.take(w.cut()))
	w.thing(&thing{event: -1, row: -1, commit: 55})
	w.cut()
	w.thing(&thing{begin: &wireCommit{Commit: 60}, event: -1, row: -1})
	w.cut()
	w.add(entry{Kind: pieceEntry, Piece: &piece{Index: 1, Last: true, Data: []byte("an entry")}})
	w.thing(&thing{event: 1, row: -1})
	w.thing(&thing{event: -1, row: -1, commit: 65})
	require.NoError(t, r.take(w.cut()))
	require.Equal(t, []string{"begin 50", "commit 50-0", "begin 60", "event 60.1", "commit 60-65"}, r.all)
	require.Contains(t, said.String(), `"messages":2`)
	w.thing(&thing{begin: &wireCommit{Commit: 70}, event: -1, row: -1})
	require.NoError(t, r.take(w.cut()))
	w.thing(&thing{event: -1, row: -1, commit: 75})
	w.cut()
	w.thing(&thing{event: -1, row: -1, alive: 80})
	require.NoError(t, r.take(w.cut()))
	require.Equal(t, []source.Position{80}, r.alive, "what was lost is waited for no longer")
	require.Contains(t, said.String(), `"lsn":"0/32"`)
}

// A sender whose stream is full of another database's messages says so, and not of each of them.
func TestMessagesOfAnotherDatabaseAreToldOf(t *testing.T) {
	t.Parallel()
	said := new(bytes.Buffer)
	r := newReplay(&SourceOptions{Origin: "sys", Logger: zerolog.New(said)}, newKeep(0), &calls{})
	w := newWriterOf(By{Origin: "gone", Timeline: 1, Epoch: 1})
	for range 3 {
		require.NoError(t, r.message(t.Context(), w.cut()))
	}
	require.Equal(t, 1, bytes.Count(said.Bytes(), []byte("of another database")))
}

// What another line of the database has at the place of a transaction that is open, or was brought,
// is another transaction. Its keepalives may be of before.
func TestAnotherLineTakesNothingFromTheOneBefore(t *testing.T) {
	t.Parallel()
	r, w := newReading(0), (*writer)(nil)
	for timeline := range int32(3) {
		w = newWriterOf(By{Origin: "sys", Timeline: 3 + timeline, Epoch: 1})
		w.thing(&thing{event: -1, row: -1, alive: 20})
		w.thing(&thing{begin: &wireCommit{Commit: 50}, event: -1, row: -1})
		w.thing(&thing{event: 0, row: -1})
		if timeline > 0 {
			w.thing(&thing{event: -1, row: -1, commit: 55})
			w.thing(&thing{event: -1, row: -1, alive: 60}) // in the same message
		}
		require.NoError(t, r.take(w.cut()))
	}
	require.Equal(t, []string{
		"begin 50", "event 50.0", "commit 50-20", "begin 50", "event 50.0", "commit 50-55", "begin 50", "event 50.0", "commit 50-55",
	}, r.all)
	require.Equal(t, []source.Position{20, 20, 60, 20, 60}, r.alive)
	require.NoError(t, r.take(w.cut()))
	for i, acked := range []source.Position{60, 61} {
		r.keep.ack(acked)
		to, _ := r.keep.boundary()
		require.EqualValues(t, 3+i, to, "that %d is settled may be of the line before", acked)
	}
}

// A keepalive ends what a gone reader left open, for whoever waits for what is before that. Once it
// says that nothing of it is to come, the rest is missing.
func TestAKeepaliveEndsWhatWasLeftOpen(t *testing.T) {
	t.Parallel()
	r := newReading(0)
	var awaited []source.Position
	r.opts.Awaited = func(p source.Position) { awaited = append(awaited, p) }
	first, second := newWriter(1), newWriter(2)
	first.thing(&thing{begin: &wireCommit{Commit: 50}, event: -1, row: -1})
	require.NoError(t, r.take(first.cut()))
	second.add(entry{Kind: keepaliveEntry, Position: 50, Awaited: true})
	require.NoError(t, r.take(second.cut()))
	require.Equal(t, []string{"begin 50", "commit 50-0"}, r.all)
	require.Equal(t, []source.Position{50}, r.alive)
	second.thing(&thing{begin: &wireCommit{Commit: 50}, event: -1, row: -1}) // it goes on with that
	require.NoError(t, r.take(second.cut()))
	third := newWriter(3)
	third.add(entry{Kind: keepaliveEntry, Position: 51})
	third.add(entry{Kind: keepaliveEntry, Position: 52, Awaited: true})
	require.NoError(t, r.take(third.cut()))
	require.Equal(t, []string{"begin 50", "commit 50-0", "begin 50", "commit 50-50"}, r.all)
	require.Equal(t, []source.Position{50, 51, 52}, r.alive)
	require.Equal(t, []source.Position{50, 52}, awaited)
}

// A message that is stored twice, because its answer was lost for longer than the stream knows its
// id, is taken once.
func TestAMessageThatIsStoredTwice(t *testing.T) {
	t.Parallel()
	r := newReading(0)
	w := newWriter(1)
	w.thing(&thing{begin: &wireCommit{Commit: 50}, event: -1, row: -1})
	inner := newWriter(0)
	inner.within = w.within
	inner.thing(&thing{event: 0, row: -1})
	cut := len(inner.entries) / 2
	w.add(entry{Kind: dueEntry, Endpoint: "ep"})
	w.add(entry{Kind: pieceEntry, Piece: &piece{Index: 0, Data: inner.entries[:cut]}})
	first := w.cut()
	w.add(entry{Kind: pieceEntry, Piece: &piece{Index: 1, Last: true, Data: inner.entries[cut:]}})
	for _, m := range [][]byte{first, first, w.cut(), first} {
		require.NoError(t, r.take(m))
	}
	require.Equal(t, []string{"begin 50", "due ep", "event 50.0"}, r.all)
}

// A deposed reader's messages stay as long as what they have is not settled: whoever finds the rest
// of them first would take it for a legitimate reader's, and skip what came before it.
func TestWhatADeposedReaderHasIsKept(t *testing.T) {
	t.Parallel()
	tx := &wireCommit{Commit: 50}
	for name, things := range map[string][]thing{
		"a transaction":      {{begin: tx, event: -1, row: -1}, {event: 0, row: -1}, {event: -1, row: -1, commit: 60}},
		"a beginning of one": {{begin: tx, event: -1, row: -1}, {event: 0, row: -1}},
		"more of one":        {{event: 1, row: -1}},
		"the end of one":     {{event: -1, row: -1, commit: 60}},
		"a keepalive":        {{event: -1, row: -1, alive: 51}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReading(0)
			next, old := newWriter(2), newWriter(1)
			next.thing(&thing{event: -1, row: -1, alive: 10})
			require.NoError(t, r.take(next.cut()))
			if things[0].begin == nil && things[0].alive == 0 {
				old.within, old.open = tx, tx
			}
			for i := range things {
				old.thing(&things[i])
			}
			require.NoError(t, r.take(old.cut()))
			next.thing(&thing{event: -1, row: -1, alive: 20})
			require.NoError(t, r.take(next.cut()))
			r.keep.ack(50)
			to, _ := r.keep.boundary()
			require.LessOrEqual(t, to, uint64(2))
			r.keep.ack(60)
			to, _ = r.keep.boundary()
			require.EqualValues(t, 3, to)
		})
	}
}

// TestWhoPublishedDecidesWhatIsBrought: messages that other holds of the slot left in a stream,
// read by a sender that has recorded everything below 50 on timeline 3.
func TestWhoPublishedDecidesWhatIsBrought(t *testing.T) {
	t.Parallel()
	const settled = 50
	tx := func(by By, commit source.Position) []byte {
		w := newWriterOf(by)
		w.thing(&thing{begin: &wireCommit{Commit: commit}, event: -1, row: -1})
		w.thing(&thing{event: 0, row: -1})
		w.thing(&thing{event: -1, row: -1, commit: commit + 5})
		return w.cut()
	}
	now := By{Origin: "sys", Timeline: 3, Epoch: 4}
	for name, c := range map[string]struct {
		before By
		commit source.Position // of what it published
		now    source.Position // of what is published now
		want   []source.Position
	}{
		"a database that was made anew":                  {By{Origin: "gone", Timeline: 3, Epoch: 99}, 900, 60, []source.Position{60}},
		"another database on a later timeline":           {By{Origin: "gone", Timeline: 9, Epoch: 1}, 900, 60, []source.Position{60}},
		"the hold before":                                {By{Origin: "sys", Timeline: 3, Epoch: 3}, 60, 70, []source.Position{60, 70}},
		"a deposed hold that goes on":                    {By{Origin: "sys", Timeline: 3, Epoch: 5}, 60, 70, []source.Position{60}},
		"the former primary with a higher epoch":         {By{Origin: "sys", Timeline: 2, Epoch: 9}, 60, 70, []source.Position{60, 70}},
		"the former primary, beyond where it was left":   {By{Origin: "sys", Timeline: 2, Epoch: 3}, 80, 70, []source.Position{80, 70}},
		"the former primary, what is recorded":           {By{Origin: "sys", Timeline: 2, Epoch: 3}, 40, 70, []source.Position{70}},
		"the former primary, what has another's place":   {By{Origin: "sys", Timeline: 2, Epoch: 9}, 60, 60, []source.Position{60, 60}},
		"a primary that came after this sender's, first": {By{Origin: "sys", Timeline: 4, Epoch: 1}, 40, 70, []source.Position{40}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReading(settled)
			require.NoError(t, r.take(tx(c.before, c.commit)))
			require.NoError(t, r.take(tx(now, c.now)))
			var want []string
			for _, p := range c.want {
				want = append(want, fmt.Sprintf("begin %d", p), fmt.Sprintf("event %d.0", p), fmt.Sprintf("commit %d-%d", p, p+5))
			}
			require.Equal(t, want, r.all)
		})
	}
}
