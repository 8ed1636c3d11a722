package postgres

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/hangup"
	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// keepalives notes how far nothing is to come any more.
type keepalives struct {
	Handler

	at []outbox.LSN
}

func (k *keepalives) Keepalive(lsn outbox.LSN) error {
	k.at = append(k.at, lsn)
	return nil
}

func (k *keepalives) Begin(Tx) error { return nil }

func TestAKeepaliveInsideATransactionSaysNothingAboutIt(t *testing.T) {
	t.Parallel()
	h := &keepalives{}
	s := &Stream{reader: reader{decoder: newDecoder(h)}}
	require.NoError(t, s.keepalive(100, false))
	s.decoder.inside = true
	require.NoError(t, s.keepalive(200, false))
	require.Equal(t, []outbox.LSN{100}, h.at)
	require.EqualValues(t, 100, s.seen, "and lets nothing be acknowledged")
}

// A status says how far everything is settled and what time it is here, and asks for a reply once
// in an interval, however often acks are told.
func TestAStatus(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer func() { require.NoError(t, ours.Close()) }()
	defer func() { require.NoError(t, theirs.Close()) }()
	now := time.Now()
	require.NoError(t, theirs.SetReadDeadline(now.Add(patienceOfAStatus)))
	s := &Stream{contact: newContact(now), conn: ours, interval: time.Hour, reader: reader{floor: 50, seen: 200}}
	for i, at := range []uint64{50, 120} {
		s.acked.Store(at)
		sent := make(chan error, 1)
		go func() { sent <- s.sendStatus() }()
		said := make([]byte, 39)
		_, err := io.ReadFull(theirs, said)
		require.NoError(t, err)
		require.NoError(t, <-sent)
		want := piece{'d'}.u32(38).u8('r').u64(at).u64(at).u64(at)
		require.Equal(t, []byte(want), said[:len(want)])
		require.WithinDuration(t, now, fromPostgres(binary.BigEndian.Uint64(said[30:38])), patienceOfAStatus)
		require.Equal(t, []byte{1, 0}[i], said[38], "a reply is asked for")
		require.EqualValues(t, at, s.reported)
		require.WithinDuration(t, now.Add(time.Hour), s.nextStatus, patienceOfAStatus)
	}
	require.Len(t, s.contact.asks, 1)
	require.WithinDuration(t, now, s.askedAt, patienceOfAStatus)
}

// patienceOfAStatus is how long writing one may take on a machine with much to do.
const patienceOfAStatus = 10 * time.Second

func TestAnAckNeverGoesBackNorBeyondWhatWasStreamed(t *testing.T) {
	t.Parallel()
	s := &Stream{reader: reader{floor: 50, seen: 200}}
	require.EqualValues(t, 50, s.position(), "nothing was acknowledged")
	for _, step := range []struct{ ack, want outbox.LSN }{{100, 100}, {60, 100}, {150, 150}, {300, 200}, {40, 200}} {
		NewSource(s, EventsOptions{}).Ack(source.Position(step.ack))
		require.Equal(t, step.want, s.position(), "after %d", step.ack)
	}
}

// What was streamed is as far as an ack may go: to the end of the last transaction, while the next
// one is read too.
func TestAnAckGoesAsFarAsTheLastTransaction(t *testing.T) {
	t.Parallel()
	s := &Stream{contact: newContact(time.Now()), reader: reader{decoder: newDecoder(&sink{}), floor: 0x50}}
	s.Ack(1 << 62)
	wal := func(p piece) []byte { return append(piece{'w'}.u64(1).u64(1).u64(1), p...) }
	keepalive := func(end uint64) []byte { return append(piece{'k'}.u64(end).u64(1), 0) }
	for i, step := range []struct {
		data []byte
		want outbox.LSN
	}{
		{keepalive(0x40), 0x50},
		{wal(begin(0x100, 1)), 0x50},
		{keepalive(0x90), 0x50},
		{wal(commit(0x100)), 0x108},
		{wal(begin(0x200, 2)), 0x108},
		{wal(commit(0x200)), 0x208},
		{keepalive(0x180), 0x208},
		{keepalive(0x300), 0x300},
	} {
		require.NoError(t, s.copied(step.data))
		require.Equal(t, step.want, s.position(), i)
	}
}

// The reader looks up when something is due: an ack travels soon after it was given, whatever comes
// meanwhile, and the end is not waited for.
func TestTheReaderLooksUpWhenSomethingIsDue(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status, acked time.Duration // from now; acked 0: no ack moved
		stopping      bool
		want          time.Duration
	}{
		"a status":                  {status: 10 * time.Second, want: 10 * time.Second},
		"an ack":                    {status: 10 * time.Second, acked: ackDelay, want: ackDelay},
		"an ack of a while ago":     {status: 10 * time.Second, acked: ackDelay / 5, want: ackDelay / 5},
		"a status before an ack":    {status: time.Millisecond, acked: ackDelay, want: time.Millisecond},
		"the end, before all":       {status: 10 * time.Second, acked: ackDelay, stopping: true},
		"the end, and no ack moved": {status: 10 * time.Second, stopping: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := piped(t)
				s.nextStatus = time.Now().Add(test.status + ackDelay - test.acked)
				if test.acked > 0 {
					s.ackMoved.Store(true)
					require.Equal(t, pace.Sooner(s.nextStatus, time.Now().Add(ackDelay)), s.due())
					<-time.After(ackDelay - test.acked)
				} else {
					<-time.After(ackDelay)
				}
				s.stopping.Store(test.stopping)
				s.arm()
				began := time.Now()
				_, err := s.conn.Read(make([]byte, 1))
				require.True(t, isTimeout(err), err)
				require.Equal(t, test.want, time.Since(began))
			})
		})
	}
}

// piped is a Stream to a server that says and reads nothing.
func piped(t *testing.T) *Stream {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() {
		require.NoError(t, ours.Close())
		require.NoError(t, theirs.Close())
	})
	return &Stream{contact: newContact(time.Now()), conn: ours}
}

// A server that was asked and says nothing at all is gone. One that sends what takes long to read,
// or was not asked, is not.
func TestWhichSilenceIsTheEnd(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		asked, read time.Duration // ago; asked 0: it was not
		gone        bool
	}{
		"all the time":            {2 * time.Minute, 2 * time.Minute, true},
		"but for what it sent":    {2 * time.Minute, time.Second, false},
		"it was asked just now":   {time.Second, 2 * time.Minute, false},
		"nobody has asked":        {0, 2 * time.Minute, false},
		"as long as it may be so": {time.Minute, time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := piped(t)
				s.opts.ReplyTimeout, s.nextStatus, s.readAt = time.Minute, time.Now().Add(time.Hour), time.Now().Add(-test.read)
				if test.asked > 0 {
					s.askedAt = time.Now().Add(-test.asked)
				}
				err := s.tick()
				if test.gone {
					require.ErrorIs(t, err, ErrConnection)
					return
				}
				require.NoError(t, err)
				_, err = s.conn.Read(make([]byte, 1))
				require.True(t, isTimeout(err), "it looks up again")
				require.False(t, time.Now().After(s.nextStatus))
			})
		})
	}
}

// A server that takes nothing holds up neither the end of a stream nor, for long, the stream.
func TestAWriteThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, began := piped(t), time.Now()
		require.ErrorIs(t, s.sendStatus(), ErrConnection)
		require.Equal(t, statusWriteTime, time.Since(began))
		s.interrupt()
		began = time.Now()
		require.NoError(t, s.sendStatus(), "it was to end")
		require.Equal(t, farewellTime, time.Since(began))
	})
}

func TestTheSlotIsHeldAsLongAsTheServerCanHaveHeardOfUs(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe() // nobody can tell whether it stands
	defer func() { require.NoError(t, ours.Close()) }()
	defer func() { require.NoError(t, theirs.Close()) }()
	s := &Stream{contact: newContact(time.Now().Add(-time.Minute)), line: hangup.New(ours)}
	require.True(t, s.Held(), "wal_sender_timeout is off")
	s.patience = 2 * time.Minute
	require.True(t, s.Held())
	s.patience = 30 * time.Second
	require.False(t, s.Held())
	s.contact.heard(time.Now())
	require.True(t, s.Held())
}
