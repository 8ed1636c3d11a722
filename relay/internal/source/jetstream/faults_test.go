package jetstream_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/source/jetstream"
)

func TestANodeOfThreeIsLostAndBack(t *testing.T) {
	t.Parallel()
	nodes := newCluster(t)
	o := options(nodes[0].Addr().String())
	o.URL = config.NewSecret(o.URL.Reveal() + ", " + nodes[1].Addr().String() + ",nats://" + nodes[2].Addr().String())
	o.Replicas = 3
	f := open(t, o)
	s := newSender(t, f, 0)
	r := newReader(t, f, 1)
	n := 0
	more := func(txs int) {
		for range txs {
			n++
			r.transaction(n, 2)
		}
	}
	more(20)
	r.await(t, "commit 20")
	leader := -1
	for i, node := range nodes {
		if node.JetStreamIsStreamLeader("$G", stream0) {
			leader = i
		}
	}
	require.GreaterOrEqual(t, leader, 0)
	nodes[leader].stop()
	more(20)
	s.await(t, endOf(40))
	nodes[leader].start()
	more(20)
	s.await(t, endOf(60))
	r.await(t, "commit 60")
	require.Equal(t, expected(1, 61, 2), s.all())
}

// Who has no connection says so, and why, in the log too: not in whose buffer a message had no
// room.
func TestWithoutAConnectionTheLogSaysWhy(t *testing.T) {
	t.Parallel()
	n := newNode(t, func(o *server.Options) { o.Username, o.Password = "u", "r1ght" })
	o, said := options(n.Addr().String()), new(kit.Log)
	o.User, o.Password, o.Logger = "u", config.NewSecret("r1ght"), zerolog.New(said)
	f := open(t, o)
	r := newReader(t, f, 1)
	r.transaction(1, 1)
	r.await(t, "commit 1")
	check := func(text string) {
		t.Helper()
		require.Eventually(t, func() bool {
			err := f.Check(t.Context(), byOf(2, 1))
			return err != nil && strings.HasPrefix(err.Error(), text)
		}, patience, poll, text)
	}

	n.stop()
	r.transaction(2, 1)
	check("NATS is not connected: NATS cannot be reached: dial tcp " + n.opts.Host)
	require.Eventually(t, func() bool {
		return strings.Contains(said.String(), `"error":"NATS is not connected: NATS cannot be reached: `)
	}, patience, poll)
	require.Contains(t, said.String(), "publishing to NATS waits")
	n.opts.Password = "another"
	n.start()
	check("NATS is not connected: NATS refuses who logs in: nats: authorization violation")
	n.stop()
	n.opts.Password = "r1ght"
	n.start()
	r.await(t, "commit 2")
	require.Eventually(t, func() bool { return f.Check(t.Context(), byOf(2, 1)) == nil }, patience, poll)
	for _, secret := range []string{"buffer limit", "r1ght", "nats://"} {
		require.NotContains(t, said.String(), secret)
	}
}

func TestAStreamIsDeleted(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	js := admin(t, n.Addr().String())
	o, said := options(n.Addr().String()), new(kit.Log)
	o.Logger = zerolog.New(said)
	f := open(t, o)
	s := newSender(t, f, 0)
	r := newSmallReader(t, f)
	for i := 1; i <= 5; i++ {
		r.transaction(i, 1)
		r.flush()
	}
	r.Begin(beginOf(6))
	r.part(6, 0, 1)
	r.flush()
	require.Eventually(t, func() bool { return len(s.all()) == len(expected(1, 6, 1))+2 }, patience, poll)

	require.NoError(t, js.DeleteStream(t.Context(), stream0))
	r.part(6, 1, 2)
	r.Commit(txOf(6), nil)
	r.flush()
	for i := 7; i <= 12; i++ { // it gets longer than the one that was read
		r.transaction(i, 1)
		r.flush()
	}
	s.await(t, endOf(12))
	want := append(expected(1, 6, 1), expected(6, 7, 2)...)
	require.Equal(t, append(want, expected(7, 13, 1)...), s.all())

	// What was acknowledged before does not let the new stream's messages go.
	s.Ack(endOf(5))
	late := newSender(t, f, endOf(5))
	late.await(t, endOf(12))
	// The beginning of the transaction is lost, its rest is brought.
	require.Equal(t, append([]string{"begin 60", "event 60.1", "commit 60-65"}, expected(7, 13, 1)...), late.all())
	require.Contains(t, said.String(), "publishing to NATS waits")
	require.NotContains(t, said.String(), "%!", "nothing is said of how making it anew failed")
}

func TestAServerComesBackFromAnOlderStore(t *testing.T) {
	t.Parallel()
	for _, after := range []int{1, 12} { // the stream is shorter than the one that was read, and longer
		t.Run(strconv.Itoa(after), func(t *testing.T) {
			t.Parallel()
			n := newNode(t, nil)
			f := open(t, options(n.Addr().String()))
			s := newSender(t, f, 0)
			r := newSmallReader(t, f)
			i := 0
			more := func(txs int) {
				for range txs {
					i++
					r.transaction(i, 1)
					r.flush()
				}
			}
			more(3)
			n.stop()
			older := t.TempDir()
			require.NoError(t, os.CopyFS(older, os.DirFS(n.opts.StoreDir)))
			n.start()
			more(6)
			s.await(t, endOf(9))
			admit := s.full() // so that it does not see what comes first
			n.stop()
			n.opts.StoreDir = older
			n.start()
			more(after)
			admit()
			s.await(t, source.Position(10*i+5))
			require.Equal(t, expected(1, i+1, 1), s.all())
		})
	}
}

func TestMessagesThatWerePurgedByHand(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	js := admin(t, n.Addr().String())
	p := newProxy(t, n.Addr().String())
	f := open(t, options(n.Addr().String()))
	reading := open(t, options(p.Addr().String()))
	s := newSender(t, reading, 0)
	r := newReader(t, f, 1)
	r.transaction(1, 1)
	s.await(t, endOf(1))
	p.set(true)
	r.transaction(2, 1)
	r.await(t, "commit 2")
	stream, err := js.Stream(t.Context(), stream0)
	require.NoError(t, err)
	require.NoError(t, stream.Purge(t.Context()))
	r.transaction(3, 1)
	r.await(t, "commit 3")
	p.set(false)
	s.await(t, endOf(3))
	require.Equal(t, append(expected(1, 2, 1), expected(3, 4, 1)...), s.all())
}

func TestAMessageThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		data string
		says string
	}{
		"of a later release": {"\xa1\x01\x02", "version 2"},
		"of somebody else":   {"hello", "not a message of Tailpost's"},
		"without number":     {"\xa1\x01\x01", "it has no number"},
		"cut off":            {"\xa5\x01\x01\x02\x09\x03\x01\x04csys\x05\x01\xa1", "not a message of Tailpost's"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, nil)
			js := admin(t, n.Addr().String())
			f := open(t, options(n.Addr().String()))
			s := newSender(t, f, 0)
			r := newReader(t, f, 1)
			r.transaction(1, 1)
			s.await(t, endOf(1))
			ack, err := js.Publish(t.Context(), "TAILPOST.s.2.00", []byte(c.data))
			require.NoError(t, err)
			s.wait(t)
			require.ErrorContains(t, s.err, c.says)
			require.ErrorContains(t, s.err, "message "+strconv.FormatUint(ack.Sequence, 10)+" of stream "+stream0)
			require.Equal(t, expected(1, 2, 1), s.all())
		})
	}
}

func TestPositionsThatGoBack(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	js := admin(t, n.Addr().String())
	f := open(t, options(n.Addr().String()))
	s := newSender(t, f, 0)
	first := newSmallReader(t, f)
	for i := 1; i <= 5; i++ {
		first.transaction(i, 1)
		first.flush()
	}
	first.Begin(beginOf(6))
	first.part(6, 0, 1)
	first.flush()
	first.stop(t)

	// The standby that was promoted had not got all: transactions 4 to 6 were never there, nor was
	// that the first hold was taken.
	second := newReaderOf(t, f, jetstream.PublisherOptions{By: byOf(1, 2), Room: 1})
	second.transaction(4, 2)
	second.flush()
	require.Eventually(t, func() bool { return len(s.all()) == 22 }, patience, poll)
	want := append(expected(1, 6, 1), "begin 60", "event 60.0", "commit 60-55")
	require.Equal(t, append(want, expected(4, 5, 2)...), s.all())

	// An acknowledgement of the old line says nothing of the new one.
	s.Ack(endOf(5))
	require.Eventually(t, func() bool { return state(t, js).FirstSeq >= 6 }, patience, poll)
	fresh := newSenderOf(t, f, sourceOptions(0, 2))
	require.Eventually(t, func() bool { return len(fresh.all()) == 7 }, patience, poll)
	require.Equal(t, append([]string{"begin 60", "event 60.0", "commit 60-0"}, expected(4, 5, 2)...), fresh.all())
	second.transaction(7, 1)
	s.await(t, endOf(7))
	s.Ack(endOf(7))
	require.Eventually(t, func() bool { return state(t, js).Msgs == 1 }, patience, poll)
}

func TestAConsumerIsDeleted(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	js := admin(t, n.Addr().String())
	f := open(t, options(n.Addr().String()))
	o, said := sourceOptions(0, 1), new(kit.Log)
	o.Logger = zerolog.New(said)
	s := newSenderOf(t, f, o)
	r := newReader(t, f, 1)
	for i := range 2 {
		r.transaction(i+1, 1)
		s.await(t, endOf(i+1))
	}
	stream, err := js.Stream(t.Context(), stream0)
	require.NoError(t, err)
	var from []uint64
	consumers := func() {
		for c := range stream.ListConsumers(t.Context()).Info() {
			from = append(from, c.Config.OptStartSeq)
			require.NoError(t, js.DeleteConsumer(t.Context(), stream0, c.Name))
		}
	}
	consumers()
	r.transaction(3, 1)
	s.await(t, endOf(3))
	require.Equal(t, expected(1, 4, 1), s.all())
	consumers()
	require.Equal(t, []uint64{0, 2}, from, "the second one begins with what was read last")
	require.Contains(t, said.String(), "reading a partition is interrupted and begins again")
	s.stop(t)
	require.Eventually(t, func() bool { return state(t, js).Consumers == 0 }, patience, poll, "a consumer is left")
}
