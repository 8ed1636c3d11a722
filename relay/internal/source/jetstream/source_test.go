package jetstream_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/source/jetstream"
)

func TestWhatIsPublishedIsBrought(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	f := open(t, options(n.Addr().String()))
	s, other := newSender(t, f, 0), newSender(t, f, 0)
	r := newReader(t, f, 1)
	table := &source.Table{Name: "endpoint", Columns: []outbox.Column{{Name: "id"}}}

	r.Begin(beginOf(1))
	r.part(1, 0, 2)
	value := []byte("ep_1")
	r.Row(0, source.Row{Table: table, Values: []outbox.Value{{Kind: outbox.TextValue, Data: value}}, Place: 3, Seq: 2}, r.note("row"))
	copy(value, "xxxx") // the row is not used after the call
	altered := &source.Table{Name: "endpoint", Columns: []outbox.Column{{Name: "url"}, {Name: "id"}}}
	r.Row(0, source.Row{Table: altered, Values: []outbox.Value{{Kind: outbox.TextValue, Data: []byte("u")}, {Kind: outbox.TextValue, Data: []byte("ep_3")}}, Place: 4, Seq: 2}, nil)
	r.Due(0, "ep_2", nil)
	r.Commit(txOf(1), r.note("commit 1"))
	r.transaction(2, 1)

	want := append([]string{
		"begin 10", "event 10.0", "event 10.1", "row 3 endpoint id=ep_1", "row 4 endpoint url=u id=ep_3", "due ep_2", "commit 10-15",
	}, expected(2, 3, 1)...)
	for _, k := range []*sender{s, other} {
		k.await(t, endOf(2))
		require.Equal(t, want, k.all())
		require.Equal(t, *eventOf(1, 0), k.evs[0])
	}
	r.await(t, "commit 2")
	for _, what := range []string{"event 1.0", "event 1.1", "row", "commit 1", "event 2.0", "commit 2"} {
		r.mu.Lock()
		require.Equal(t, 1, r.stored[what], what)
		r.mu.Unlock()
	}
}

func TestATransactionForNobodyIsNotSent(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	f := open(t, options(n.Addr().String()))
	s := newSender(t, f, 0)
	r := newReader(t, f, 1)
	r.Begin(beginOf(1))
	require.False(t, r.Commit(txOf(1), func() { t.Error("called") }))
	s.await(t, endOf(1)) // by a keepalive
	require.Empty(t, s.all())
}

func TestAServerIsRestartedWhilePublishing(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	f := open(t, options(n.Addr().String()))
	s := newSender(t, f, 0)
	r := newReader(t, f, 1)
	const txs = 200
	for i := 1; i <= txs; i++ {
		r.transaction(i, 3)
		if i == txs/4 || i == txs/2 {
			r.await(t, "commit 1")
			n.stop()
			n.start()
		}
	}
	s.await(t, endOf(txs))
	require.Equal(t, expected(1, txs+1, 3), s.all())
}

func TestAConnectionIsCut(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	p := newProxy(t, n.Addr().String())
	f := open(t, options(p.Addr().String()))
	s := newSender(t, f, 0)
	r := newReader(t, f, 1)
	const txs = 100
	for i := 1; i <= txs; i++ {
		if i%25 == 0 {
			r.await(t, "commit 1")
			p.set(true)
			require.Eventually(t, func() bool { return !f.Connected() && !f.Cut().IsZero() }, patience, poll)
		}
		r.transaction(i, 2)
		if i%25 == 0 {
			require.Eventually(t, func() bool { return !r.Stuck().IsZero() }, patience, poll)
			p.set(false)
		}
	}
	s.await(t, endOf(txs))
	require.Equal(t, expected(1, txs+1, 2), s.all())
	require.Eventually(t, func() bool { return r.Stuck().IsZero() }, patience, poll)
	require.True(t, f.Connected())
	require.Eventually(t, func() bool { return f.Cut().IsZero() }, patience, poll)
}

func TestAReaderContinuesWhereItsPredecessorEnded(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	f := open(t, options(n.Addr().String()))
	s := newSender(t, f, 0)
	first := newSmallReader(t, f)
	first.transaction(1, 2)
	first.transaction(2, 2)
	first.Begin(beginOf(3))
	first.part(3, 0, 3)
	first.Row(0, rowOf(0), first.note("row"))
	first.part(3, 3, 4)
	first.flush()
	first.await(t, "event 3.3")
	first.stop(t)

	second := newReader(t, f, 2)
	second.KeepaliveNow(endOf(1))
	second.transaction(2, 2)
	second.Begin(beginOf(3))
	second.part(3, 0, 3)
	second.Row(0, rowOf(0), nil)
	second.part(3, 3, 4)
	second.Row(0, rowOf(1), nil)
	second.part(3, 4, 6)
	second.Commit(txOf(3), nil)
	second.transaction(4, 1)
	s.await(t, endOf(4))
	want := append(expected(1, 3, 2), "begin 30", "event 30.0", "event 30.1", "event 30.2", "row 0 endpoint id=ep", "event 30.3",
		"row 1 endpoint id=ep", "event 30.4", "event 30.5", "commit 30-35")
	require.Equal(t, append(want, expected(4, 5, 1)...), s.all())

	// Who comes later reads the same.
	late := newSender(t, f, 0)
	late.await(t, endOf(4))
	require.Equal(t, s.all(), late.all())
}

func TestADeposedReaderIsIgnored(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	f := open(t, options(n.Addr().String()))
	s := newSender(t, f, 0)
	old := newSmallReader(t, f)
	old.transaction(1, 1)
	old.Begin(beginOf(2))
	old.part(2, 0, 1)
	old.flush()
	old.await(t, "event 2.0")

	next := newReader(t, f, 2)
	next.transaction(2, 2)
	s.await(t, endOf(2))
	old.part(2, 1, 2)
	old.Commit(txOf(2), old.note("commit 2"))
	old.transaction(7, 2) // it may even have read what is not committed for good
	old.await(t, "commit 7")
	next.transaction(3, 1)
	s.await(t, endOf(3))
	want := append(expected(1, 2, 1), expected(2, 3, 2)...)
	require.Equal(t, append(want, expected(3, 4, 1)...), s.all())
}

func TestItResumesBehindWhatIsRecorded(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	js := admin(t, n.Addr().String())
	f := open(t, options(n.Addr().String()))
	s := newSender(t, f, 0)
	r := newReader(t, f, 1)
	for i := 1; i <= 6; i++ {
		r.transaction(i, 2)
		r.await(t, "commit "+string(rune('0'+i)))
	}
	s.await(t, endOf(6))
	require.EqualValues(t, 1, state(t, js).FirstSeq)
	s.Ack(endOf(3))
	require.Eventually(t, func() bool { return state(t, js).FirstSeq > 1 }, patience, poll, "nothing is purged")
	s.stop(t)
	require.NoError(t, s.err)

	again := newSender(t, f, endOf(3))
	again.await(t, endOf(6))
	require.Equal(t, expected(4, 7, 2), again.all())
}

func TestAllIsSettledAndPurgedButTheLastMessage(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	js := admin(t, n.Addr().String())
	f := open(t, options(n.Addr().String()))
	s := newSender(t, f, 0)
	r := newReader(t, f, 1)
	for i := range 5 {
		r.transaction(i+1, 1)
	}
	s.await(t, endOf(5))
	s.Ack(endOf(5))
	require.Eventually(t, func() bool { return state(t, js).Msgs == 1 }, patience, poll, "one message stays, to know the stream by")
	again := newSender(t, f, endOf(5))
	r.transaction(6, 1)
	again.await(t, endOf(6))
	require.Equal(t, expected(6, 7, 1), again.all())
}

func TestAnEventThatIsLargerThanAMessage(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	f := open(t, options(n.Addr().String()))
	s := newSender(t, f, 0)
	r := newSmallReader(t, f)
	large := eventOf(1, 1)
	large.Payload = []byte(`"` + strings.Repeat("0123456789abcdef", 3<<16) + `"`)
	r.Begin(beginOf(1))
	r.part(1, 0, 1)
	r.Event(0, large, r.note("large"))
	r.Event(1, large, r.note("large too"))
	r.part(1, 2, 3)
	r.Commit(txOf(1), r.note("commit"))
	s.await(t, endOf(1))
	require.Equal(t, expected(1, 2, 3), s.all())
	require.Equal(t, *large, s.evs[1])
	r.flush()
	r.stop(t)
	require.Equal(t, map[string]int{"event 1.0": 1, "large": 1, "large too": 1, "event 1.2": 1, "commit": 1}, r.stored)
}

func TestALargeEventIsBroughtByTheNextReader(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	f := open(t, options(n.Addr().String()))
	s := newSender(t, f, 0)
	large := eventOf(1, 0)
	large.Payload = []byte(`"` + strings.Repeat("0123456789abcdef", 1<<16) + `"`)
	for epoch := range int64(2) {
		r := newReader(t, f, epoch+1)
		r.Begin(beginOf(1))
		r.Event(0, large, r.note("large"))
		if epoch == 0 {
			r.stop(t) // some of its pieces may be stored
			continue
		}
		r.Commit(txOf(1), nil)
	}
	s.await(t, endOf(1))
	require.Equal(t, expected(1, 2, 1), s.all())
	require.Equal(t, *large, s.evs[0])
}

func TestAHandlerThatIsFullIsWaitedFor(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	f := open(t, options(n.Addr().String()))
	s := newSender(t, f, 0)
	r := newReader(t, f, 1)
	r.transaction(1, 1)
	s.await(t, endOf(1))
	admit := s.full()
	r.transaction(2, 1)
	r.await(t, "commit 2")
	watch := newSender(t, f, 0)
	watch.await(t, endOf(2))
	require.Equal(t, expected(1, 2, 1), s.all())
	admit()
	s.await(t, endOf(2))
	require.Equal(t, expected(1, 3, 1), s.all())
	s.full()
	r.transaction(3, 1)
	watch.await(t, endOf(3))
	s.Close()
	s.Close()
	s.wait(t)
	require.NoError(t, s.err, "it ends while it waits for room")
	require.Equal(t, expected(1, 3, 1), s.all())
}

func TestHeldIsAskedFor(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	f := open(t, options(n.Addr().String()))
	require.True(t, f.NewSource(sourceOptions(0, 1)).Held())
	o := sourceOptions(0, 1)
	for _, held := range []bool{false, true} {
		o.Held = func() bool { return held }
		require.Equal(t, held, f.NewSource(o).Held())
	}
}

// TestWhatIsRoutedByOtherEndpointsIsLeftToOthers: a sender whose configuration is behind the
// reader's brings what was routed before, and neither brings nor lets go of anything behind that.
func TestWhatIsRoutedByOtherEndpointsIsLeftToOthers(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	f := open(t, options(n.Addr().String()))
	o := sourceOptions(0, 1)
	o.Routing = func() int64 { return 1 }
	behind := newSenderOf(t, f, o)
	r := newReaderOf(t, f, jetstream.PublisherOptions{By: byOf(1, 1), Routing: 1})
	r.transaction(1, 1)
	behind.await(t, endOf(1))
	r.Route(2)
	r.transaction(2, 1)
	behind.wait(t)
	require.ErrorIs(t, behind.err, jetstream.ErrRouting)
	require.Equal(t, expected(1, 2, 1), behind.all())

	o.Routing = func() int64 { return 3 }
	ahead := newSenderOf(t, f, o)
	ahead.await(t, endOf(2))
	require.Equal(t, expected(1, 3, 1), ahead.all())
}
