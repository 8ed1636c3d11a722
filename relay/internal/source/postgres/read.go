package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/pglink"
)

// What the server sends within the copy stream, and what we send (the Postgres manual, "Streaming
// Replication Protocol").
const (
	copyWAL       = 'w' // start 8, end 8, server time 8, data
	copyKeepalive = 'k' // end 8, server time 8, reply requested 1
	copyStatus    = 'r' // write 8, flush 8, apply 8, client time 8, reply requested 1

	walHeader     = 1 + 24
	keepaliveSize = 1 + 17
)

// read is the loop of Run. It returns nil once it is to stop.
func (s *Stream) read(ctx context.Context, h Handler) error {
	// The first status asks for a reply, which tells the clocks apart before anything can be late.
	if err := s.sendStatus(); err != nil {
		return err
	}
	s.arm()
	for !s.stopping.Load() {
		if room := h.Ready(); room != nil {
			if err := s.wait(ctx, room); err != nil {
				return err
			}
			continue
		}
		msg, err := s.frontend.Receive()
		switch {
		case err == nil:
			err = s.handle(msg)
		case isTimeout(err):
			err = s.tick()
		default:
			err = s.lost(err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// wait holds the stream up until room is closed or ctx is done. Nothing is read meanwhile, so the
// server's questions go unseen: statuses are sent on our own time, often enough for it.
func (s *Stream) wait(ctx context.Context, room <-chan struct{}) error {
	timer := time.NewTimer(time.Until(s.due()))
	defer timer.Stop()
	for {
		select {
		case <-room:
			// Time spent here is not the server's silence.
			s.askedAt = time.Time{}
			s.arm()
			return nil
		case <-ctx.Done():
			s.stopping.Store(true)
			return nil
		case <-s.nudge:
			if s.line.Gone() {
				return fmt.Errorf("%w: the server has hung up", ErrConnection)
			}
		case <-timer.C:
			if err := s.sendDue(); err != nil {
				return err
			}
		}
		timer.Reset(time.Until(s.due()))
	}
}

// tick does what the read deadline was set for.
func (s *Stream) tick() error {
	if err := s.sendDue(); err != nil {
		return err
	}
	silent := min(time.Since(s.askedAt), time.Since(s.readAt))
	if !s.askedAt.IsZero() && silent > s.opts.ReplyTimeout {
		return fmt.Errorf("%w: the server answered nothing for %s", ErrConnection, silent.Round(time.Second))
	}
	s.arm()
	return nil
}

// sendDue sends a status if one is due.
func (s *Stream) sendDue() error {
	// Cleared before the ack is read: an Ack after this wakes us again.
	s.ackMoved.Store(false)
	s.ackDue = time.Time{}
	if time.Now().Before(s.nextStatus) && s.position() == s.reported {
		return nil
	}
	return s.sendStatus()
}

// due is when the next status is. The first look at a moved ack fixes its time, so that nothing
// puts it off.
func (s *Stream) due() time.Time {
	if !s.ackMoved.Load() {
		return s.nextStatus
	}
	if s.ackDue.IsZero() {
		s.ackDue = time.Now().Add(ackDelay)
	}
	if s.ackDue.Before(s.nextStatus) {
		return s.ackDue
	}
	return s.nextStatus
}

// arm sets the read deadline to when something is to be done next. It looks at the flags after it
// has set the deadline, as whoever sets a flag moves the deadline after that: the later of the two
// sees the other.
func (s *Stream) arm() {
	// Setting a deadline fails on a closed connection only, which the next read notices.
	_ = s.conn.SetReadDeadline(s.nextStatus)
	if s.ackMoved.Load() {
		_ = s.conn.SetReadDeadline(s.due())
	}
	if s.stopping.Load() {
		_ = s.conn.SetReadDeadline(time.Now())
	}
}

func (s *Stream) handle(msg pgproto3.BackendMessage) error {
	switch msg := msg.(type) {
	case *pgproto3.CopyData:
		return s.copied(msg.Data)
	case *pgproto3.ErrorResponse:
		return endOfStream(pgconn.ErrorResponseToPgError(msg))
	case *pgproto3.CopyDone, *pgproto3.CommandComplete:
		return fmt.Errorf("%w: it shuts down", ErrServerStopped)
	case *pgproto3.NoticeResponse, *pgproto3.ParameterStatus:
		return nil
	default:
		return fmt.Errorf("unexpected %T in the stream", msg)
	}
}

// copied handles one piece of the copy stream.
func (s *Stream) copied(data []byte) error {
	if len(data) == 0 {
		return errors.New("empty piece in the stream")
	}
	switch data[0] {
	case copyWAL:
		if len(data) < walHeader {
			return fmt.Errorf("WAL data of %d bytes: %w", len(data), errCutShort)
		}
		s.stamp(data[walHeader-8 : walHeader])
		return s.changed(data[walHeader:])
	case copyKeepalive:
		if len(data) < keepaliveSize {
			return fmt.Errorf("keepalive of %d bytes: %w", len(data), errCutShort)
		}
		sent := s.contact.observe(s.readAt, fromPostgres(binary.BigEndian.Uint64(data[9:17])))
		s.askedAt = time.Time{}
		if data[17] == 0 {
			s.contact.replied(sent)
		}
		return s.keepalive(outbox.LSN(binary.BigEndian.Uint64(data[1:9])), data[17] != 0)
	default:
		return fmt.Errorf("unknown piece %q in the stream", rune(data[0]))
	}
}

// changed decodes a change.
func (s *Stream) changed(data []byte) error {
	if err := s.decoder.decode(data); err != nil {
		return err
	}
	s.seen = max(s.seen, s.decoder.tx.EndLSN)
	return nil
}

func (s *Stream) keepalive(end outbox.LSN, replyRequested bool) error {
	// Inside a transaction the position says nothing about the transaction's own rows.
	if !s.decoder.inside {
		s.seen = max(s.seen, end)
		if err := s.decoder.h.Keepalive(end); err != nil {
			return handlerError{err}
		}
	}
	if !replyRequested {
		return nil
	}
	if err := s.sendStatus(); err != nil {
		return err
	}
	s.arm()
	return nil
}

// stamp looks at the server's clock in the first change of every read.
func (s *Stream) stamp(clock []byte) {
	if s.stamped == s.reads {
		return
	}
	s.stamped = s.reads
	s.contact.observe(s.readAt, fromPostgres(binary.BigEndian.Uint64(clock)))
}

// lost says what a failed read means.
func (s *Stream) lost(err error) error {
	if s.closed.Load() {
		return fmt.Errorf("%w while it ran", ErrClosed)
	}
	if pglink.IsNetwork(err) {
		return fmt.Errorf("%w: %w", ErrConnection, err)
	}
	return fmt.Errorf("read from the stream: %w", err)
}

// position returns the position that may be acknowledged now. Going below where the slot stands
// would move it back on some versions, and going beyond what was sent would skip what is still to
// come.
func (s *Stream) position() outbox.LSN {
	return max(s.floor, min(outbox.LSN(s.acked.Load()), s.seen))
}

// sendStatus tells the server how far everything is settled. All three positions are that: to
// Postgres "written" alone would mean nothing to a logical slot. Once in an interval, however often
// acks are sent, it asks for a reply.
func (s *Stream) sendStatus() error {
	now := time.Now()
	position := s.position()
	b := append(s.status[:0], 'd', 0, 0, 0, 38, copyStatus)
	for range 3 {
		b = binary.BigEndian.AppendUint64(b, uint64(position))
	}
	b = binary.BigEndian.AppendUint64(b, toPostgres(now))
	if !now.Before(s.nextAsk) {
		b = append(b, 1)
		s.contact.asked(now)
		s.nextAsk = now.Add(s.interval)
		if s.askedAt.IsZero() {
			s.askedAt = now
		}
	} else {
		b = append(b, 0)
	}
	s.status = b
	if err := s.write(now, b); err != nil {
		return err
	}
	s.reported, s.nextStatus = position, now.Add(s.interval)
	return nil
}

func (s *Stream) write(now time.Time, b []byte) error {
	if !s.stopping.Load() { // else interrupt has set a shorter one
		_ = s.conn.SetWriteDeadline(now.Add(statusWriteTime))
	}
	if _, err := s.conn.Write(b); err != nil {
		if s.stopping.Load() {
			return nil
		}
		return s.lost(err)
	}
	return nil
}

// farewell tells the server the last ack and that we are done, and gives it a moment to let go of
// the slot. What it still sends is dropped; were it left unread, closing would reset the connection
// and our last words with it.
func (s *Stream) farewell() {
	s.stopping.Store(true)
	end := time.Now().Add(farewellTime)
	_ = s.conn.SetDeadline(end)
	if s.sendStatus() != nil {
		return
	}
	if _, err := s.conn.Write(append([]byte{'c', 0, 0, 0, 4}, terminate()...)); err != nil {
		return
	}
	for {
		msg, err := s.frontend.Receive()
		if err != nil {
			if !isTimeout(err) || !time.Now().Before(end) {
				return
			}
			// A late interrupt or Ack has moved the deadline.
			_ = s.conn.SetReadDeadline(end)
			continue
		}
		switch msg.(type) {
		case *pgproto3.ReadyForQuery, *pgproto3.ErrorResponse:
			return
		}
	}
}

func terminate() []byte { return []byte{'X', 0, 0, 0, 4} }
