package postgres

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/hangup"
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

// A status says how far everything is settled and what time it is here, and asks for a reply once in
// an interval, however often acks are told.
func TestAStatus(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer func() { require.NoError(t, ours.Close()) }()
	defer func() { require.NoError(t, theirs.Close()) }()
	now := time.Now()
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
const patienceOfAStatus = time.Minute

func TestAnAckNeverGoesBackNorBeyondWhatWasStreamed(t *testing.T) {
	t.Parallel()
	s := &Stream{reader: reader{floor: 50, seen: 200}}
	require.EqualValues(t, 50, s.position(), "nothing was acknowledged")
	for _, step := range []struct{ ack, want outbox.LSN }{{100, 100}, {60, 100}, {150, 150}, {300, 200}, {40, 200}} {
		NewSource(s, EventsOptions{}).Ack(source.Position(step.ack))
		require.Equal(t, step.want, s.position(), "after %d", step.ack)
	}
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
