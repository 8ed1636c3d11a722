package jetstream_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/source/jetstream"
)

func TestThereIsNoRoomUntilSomethingIsStored(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	p := newProxy(t, n.Addr().String())
	f := open(t, options(p.Addr().String()))
	s := newSender(t, f, 0)
	const room = 150 << 10 // a part of it does not make a partition publish by itself
	r := newReaderOf(t, f, jetstream.PublisherOptions{By: byOf(1, 1), Room: room})
	require.Nil(t, r.Full())
	require.True(t, r.Stuck().IsZero())
	p.set(true)
	require.Eventually(t, func() bool { return !f.Connected() }, patience, poll)

	large := eventOf(1, 0)
	large.Payload = []byte(`"` + strings.Repeat("x", 60<<10) + `"`)
	r.Begin(beginOf(1))
	published := 0
	for r.Full() == nil {
		ev := *large
		ev.Seq = int64(published)
		r.Event(published%2, &ev, nil)
		published++
	}
	require.Equal(t, 3, published)
	full := r.Full()
	require.Equal(t, full, r.Full())
	require.Eventually(t, func() bool { return !r.Stuck().IsZero() }, patience, poll)
	require.Less(t, time.Since(r.Stuck()), patience)
	select {
	case <-full:
		t.Fatal("there is room although nothing is stored")
	default:
	}
	p.set(false)
	select {
	case <-full: // in the middle of the transaction
	case <-time.After(patience):
		t.Fatal("there is no room although all can be stored")
	}
	require.Eventually(t, func() bool { return r.Full() == nil }, patience, poll)
	r.Commit(txOf(1), r.note("commit 1"))
	s.await(t, endOf(1))
	require.Equal(t, []string{"begin 10", "event 10.0", "event 10.2", "commit 10-15"}, s.all())
	require.Eventually(t, func() bool { return r.Stuck().IsZero() }, patience, poll)
}

func TestKeepalivesReachIdlePartitions(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	js := admin(t, n.Addr().String())
	f := open(t, options(n.Addr().String()))
	busy := newSender(t, f, 0)
	o := sourceOptions(0, 1)
	o.Partition = 1
	idle := newSenderOf(t, f, o)
	r := newReader(t, f, 1)

	r.transaction(1, 1)
	busy.await(t, endOf(1))
	idle.await(t, endOf(1))
	require.Empty(t, idle.all())
	before := state(t, js).LastSeq
	for p := endOf(1); p <= 10_000; p++ {
		r.Keepalive(p)
	}
	busy.await(t, 10_000)
	idle.await(t, 10_000)
	require.LessOrEqual(t, state(t, js).LastSeq-before, uint64(3), "they are coalesced")

	r.KeepaliveNow(20_000)
	busy.await(t, 20_000)
	idle.await(t, 20_000)
	require.Equal(t, expected(1, 2, 1), busy.all())
}

func TestABarrierReachesAllPartitionsBehindWhatIsBeforeIt(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	f := open(t, options(n.Addr().String()))
	s := newSender(t, f, 0)
	r := newReader(t, f, 1)
	for i := range 50 {
		r.transaction(i+1, 1)
		r.KeepaliveNow(endOf(i + 1))
	}
	r.transaction(51, 1)
	s.await(t, endOf(51))
	require.Equal(t, expected(1, 52, 1), s.all())
	s.mu.Lock()
	defer s.mu.Unlock()
	var at source.Position
	for _, c := range s.calls {
		if strings.HasPrefix(c, "commit ") {
			at += 10
		}
		if p, ok := strings.CutPrefix(c, "keepalive "); ok {
			t.Fatalf("keepalive %s at %d, which the commit before it covers", p, at)
		}
	}
}

// A transaction is told of as stored when all its partitions have it, and not with the first.
func TestATransactionIsStoredOnceAllPartitionsHaveIt(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	js := admin(t, n.Addr().String())
	f := open(t, options(n.Addr().String()))
	stream, err := js.Stream(t.Context(), strings.TrimSuffix(stream0, "0")+"1")
	require.NoError(t, err)
	sealed := stream.CachedInfo().Config
	sealed.Sealed = true
	_, err = js.UpdateStream(t.Context(), sealed)
	require.NoError(t, err)

	r := newReader(t, f, 1)
	r.Begin(beginOf(1))
	r.part(1, 0, 1)
	r.Event(1, eventOf(1, 1), r.note("event of the other partition"))
	require.True(t, r.Commit(txOf(1), r.note("commit 1")))
	r.transaction(2, 1) // of the first partition alone, behind that
	r.await(t, "commit 2")
	require.True(t, r.has("event 1.0"))
	require.False(t, r.has("event of the other partition"))
	require.False(t, r.has("commit 1"))
}

// What is much of a transaction is published before its end, which may be far away.
func TestALargeTransactionIsPublishedAsItComes(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	f := open(t, options(n.Addr().String()))
	r := newReader(t, f, 1)
	r.transaction(1, 1)
	r.await(t, "commit 1") // and nothing waits to be published
	r.Begin(beginOf(2))
	for seq := range 5 {
		ev := eventOf(2, seq)
		ev.Payload = []byte(`"` + strings.Repeat("x", 60<<10) + `"`)
		r.Event(0, ev, r.note("event"))
	}
	r.await(t, "event")
	r.Commit(txOf(2), r.note("commit 2"))
	r.await(t, "commit 2")
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	f := open(t, options(n.Addr().String()))
	before := newReader(t, f, 1)
	before.transaction(9, 1)
	before.await(t, "commit 9")
	n.stop()
	r := newReader(t, f, 2)
	for _, r := range []*reader{before, r} {
		select {
		case <-r.ended:
			t.Error("it has ended before its context")
		default:
		}
		r.transaction(1, 1)
		require.Eventually(t, func() bool { return !r.Stuck().IsZero() }, patience, poll)
		r.stop(t)
		require.NoError(t, r.err)
		require.False(t, r.has("event 1.0"), "nobody has stored it")
	}
	s := newSender(t, f, 0)
	s.stop(t)
	require.NoError(t, s.err)
	require.NoError(t, f.NewPublisher(jetstream.PublisherOptions{}).Run(cancelled(t)))
	require.False(t, r.has("commit 1"))
}

func cancelled(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// What is larger than a message of the server's comes in pieces, and what is not comes as one.
func TestAMessageHoldsWhatTheServerTakes(t *testing.T) {
	t.Parallel()
	for _, takes := range []int32{64 << 10, server.MAX_PAYLOAD_SIZE} {
		n := newNode(t, func(o *server.Options) { o.MaxPayload = takes })
		f := open(t, options(n.Addr().String()))
		s, r := newSender(t, f, 0), newReader(t, f, 1)
		r.transaction(1, 1)
		r.await(t, "commit 1") // and nothing waits to be published
		large := eventOf(2, 0)
		large.Payload = []byte(`"` + strings.Repeat("x", 100<<10) + `"`)
		r.Begin(beginOf(2))
		r.Event(0, large, nil)
		r.Commit(txOf(2), nil)
		s.await(t, endOf(2))
		require.Equal(t, expected(1, 3, 1), s.all())
		require.Equal(t, *large, s.evs[1])
		require.Less(t, state(t, admin(t, n.Addr().String())).Msgs, uint64(8), "of at most %d bytes", takes)
	}
}

// TestNothingIsPublishedBehindALaterHold: senders would ignore it, as a deposed reader's.
func TestNothingIsPublishedBehindALaterHold(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	js := admin(t, n.Addr().String())
	f := open(t, options(n.Addr().String()))
	later := newReader(t, f, 7)
	later.transaction(9, 1)
	later.await(t, "commit 9")
	later.stop(t)

	restored := newReader(t, f, 3) // its database knows nothing of the holds since
	restored.transaction(1, 1)
	require.Eventually(t, func() bool { return !restored.Stuck().IsZero() }, patience, poll)
	err := f.Check(t.Context(), byOf(3, 1))
	require.ErrorIs(t, err, jetstream.ErrLater)
	require.ErrorContains(t, err, "nats stream purge "+stream0)
	require.EqualValues(t, 1, state(t, js).Msgs)
	require.NoError(t, f.Check(t.Context(), byOf(8, 1)))
	require.NoError(t, f.Check(t.Context(), byOf(1, 2)), "of a later timeline")

	stream, err := js.Stream(t.Context(), stream0)
	require.NoError(t, err)
	require.NoError(t, stream.Purge(t.Context()))
	restored.await(t, "commit 1")
	require.Eventually(t, func() bool { return restored.Stuck().IsZero() }, patience, poll)
	s := newSender(t, f, 0)
	s.await(t, endOf(1))
	require.Equal(t, expected(1, 2, 1), s.all())
}

// TestTheSameNumbersOfAnotherDatabaseAreStored: a stream knows the ids of its messages for a while,
// and takes one that comes again for stored.
func TestTheSameNumbersOfAnotherDatabaseAreStored(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	f := open(t, options(n.Addr().String()))
	for _, origin := range []string{"gone", "sys"} {
		r := newReaderOf(t, f, jetstream.PublisherOptions{By: jetstream.By{Origin: origin, Timeline: 1, Epoch: 1}})
		r.transaction(1, 1)
		r.await(t, "commit 1")
		r.stop(t)
	}
	s := newSender(t, f, 0)
	s.await(t, endOf(1))
	require.Equal(t, expected(1, 2, 1), s.all())
}
