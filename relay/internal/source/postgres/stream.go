package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/hangup"
)

const (
	// ackDelay lets acks that follow each other closely travel together.
	ackDelay = 50 * time.Millisecond
	// farewellTime bounds the polite end of a stream.
	farewellTime = 75 * time.Millisecond
	// statusWriteTime bounds the write of a few bytes: a server that takes none for so long is
	// gone.
	statusWriteTime = 10 * time.Second
	// endedTime bounds the wait for the last words of a server that has ended the stream: they are
	// on their way.
	endedTime = 2 * time.Second
)

// Stream is a replication connection. Start and Run are for one goroutine; Ack, Held, Info and
// Close may be called from any.
type Stream struct {
	session  *session // until streaming
	info     Info
	conn     net.Conn
	line     *hangup.Line
	frontend *pgproto3.Frontend // from Start on
	contact  *contact
	interval time.Duration
	patience time.Duration // wal_sender_timeout as it was at Open, which Held may read during Start
	opts     Options

	// What other goroutines tell the reader. Whoever sets one of the flags then moves the read
	// deadline, and the reader, after moving it, looks at the flags: so neither is missed.
	acked     atomic.Uint64
	ackMoved  atomic.Bool
	stopping  atomic.Bool
	reading   atomic.Bool   // Run is on: the deadline is ours to move
	nudge     chan struct{} // wakes a reader that waits for room
	closed    atomic.Bool
	closeOnce sync.Once

	waiting sync.Mutex // who talks to the server between Start and Run

	reader
}

// reader is the state that only the goroutine of Run touches.
type reader struct {
	decoder    *decoder
	seen       outbox.LSN // how far the server has come; no ack goes beyond
	floor      outbox.LSN // where the slot stands; no ack goes below
	reported   outbox.LSN // last ack sent
	nextStatus time.Time
	nextAsk    time.Time // when a status is to ask for a reply again
	ackDue     time.Time // when a moved ack is to be sent; zero: not looked at yet
	readAt     time.Time // of the last read from the socket
	reads      int
	stamped    int       // reads when the stamp of a change was last looked at
	askedAt    time.Time // when a reply was asked for that has not come; zero: none outstanding
	status     []byte
}

// Open connects and sets up what is missing: first the publications, then the slot, so that the
// slot holds no WAL that cannot be decoded. It does not take the slot: another connection may hold
// it, and the stream begins with Start.
func Open(ctx context.Context, o Options) (*Stream, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open stream: %w", err)
	}
	s := &Stream{opts: o, nudge: make(chan struct{}, 1), contact: newContact(time.Now())}
	if s.session, err = connect(ctx, o, s.counted); err != nil {
		return nil, fmt.Errorf("open stream: %w", err)
	}
	s.conn = s.session.conn.Conn()
	s.line = hangup.New(s.conn)
	if err := s.setUp(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("open stream: %w", err)
	}
	return s, nil
}

func (s *Stream) setUp(ctx context.Context) error {
	if err := s.session.check(ctx); err != nil {
		return err
	}
	if s.opts.Admit != nil {
		if err := s.opts.Admit(ctx, s.session.info); err != nil {
			return err
		}
	}
	s.interval, s.patience = s.opts.StatusInterval, s.session.info.SenderTimeout
	if s.patience > 0 {
		s.interval = min(s.interval, s.patience/3)
	}
	created, err := s.session.ensurePublications(ctx)
	if err != nil {
		return err
	}
	if err := s.session.ensureSlot(ctx, created); err != nil {
		return err
	}
	s.info = s.session.info
	return nil
}

// Info returns what Open found and did, and Start after it: ConfirmedFlush and Restart are those of
// that moment, and a relay that stood by may have found a publication gone. It must not be called
// during Start.
func (s *Stream) Info() Info { return s.info }

// Start takes the slot and begins to stream. ErrSlotActive means that another connection holds it:
// the Stream is as it was and Start may be called again. After any other error Close it. Between
// Start and Run nobody answers the server: what may take long belongs into While.
func (s *Stream) Start(ctx context.Context) error {
	switch {
	case s.closed.Load():
		return ErrClosed
	case s.frontend != nil:
		return nil
	}
	began := time.Now()
	if err := s.session.acquire(ctx); err != nil {
		return err
	}
	hijacked, err := s.session.conn.Hijack()
	if err != nil {
		return fmt.Errorf("take over the connection: %w", err)
	}
	s.info, s.frontend = s.session.info, hijacked.Frontend
	s.floor = s.info.ConfirmedFlush
	s.seen, s.reported = s.floor, s.floor
	s.contact.heard(began)
	return nil
}

// While runs f between Start and Run and lets the server hear of the stream meanwhile, however long
// that takes: it would end a stream that is silent for wal_sender_timeout.
func (s *Stream) While(f func() error) error {
	done := make(chan struct{})
	var speaking sync.WaitGroup
	if s.patience > 0 {
		speaking.Go(func() { s.speak(done) })
	}
	err := f()
	close(done)
	speaking.Wait()
	return err
}

// speak sends a status now and then until done. That the stream is lost is for Run to find out.
func (s *Stream) speak(done <-chan struct{}) {
	tick := time.NewTicker(max(s.interval, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		s.waiting.Lock()
		// Nobody reads what it would answer.
		s.nextAsk = time.Now().Add(time.Hour)
		err := s.sendStatus()
		s.nextAsk = time.Time{}
		s.waiting.Unlock()
		if err != nil {
			return
		}
	}
}

// Ended says why the server ended a stream that was started and never run. It drops what came
// before that, so the Stream is of no more use: Close it. An error without a kind of its own, after
// endedTime at the latest, means that the server has not said why.
func (s *Stream) Ended(ctx context.Context) error {
	if s.frontend == nil {
		return errors.New("the stream was not started")
	}
	s.waiting.Lock()
	defer s.waiting.Unlock()
	end := time.Now().Add(endedTime)
	_ = s.conn.SetReadDeadline(end)
	detach := context.AfterFunc(ctx, func() { _ = s.conn.SetReadDeadline(time.Now()) })
	defer detach()
	for time.Now().Before(end) {
		msg, err := s.frontend.Receive()
		if err != nil {
			return s.lost(err)
		}
		if _, piece := msg.(*pgproto3.CopyData); piece {
			continue
		}
		if err := s.handle(msg); err != nil {
			return err
		}
	}
	return errors.New("the server has not said why it ended the stream")
}

// Run streams to h until ctx is done, which is no error, or until something goes wrong; it calls
// Start unless that was done. It ends within about 100 ms of ctx, after telling the server the last
// ack, and closes the Stream. It is called once.
func (s *Stream) Run(ctx context.Context, h Handler) error {
	defer s.Close()
	if err := s.Start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("run stream: %w", err)
	}
	s.decoder = newDecoder(h)
	s.reading.Store(true)
	detach := context.AfterFunc(ctx, s.interrupt)
	defer detach()

	err := s.read(ctx, h)
	s.reading.Store(false)
	detach()
	if err == nil || errors.As(err, new(handlerError)) {
		s.farewell()
	}
	if err != nil {
		return fmt.Errorf("run stream: %w", err)
	}
	return nil
}

// Ack says that everything below lsn is settled: the slot may let it go. It never goes back, and
// never beyond what the Handler was given. The server is told within about 50 ms. It may be called
// from any goroutine, also from the Handler.
func (s *Stream) Ack(lsn outbox.LSN) {
	for {
		old := s.acked.Load()
		if uint64(lsn) <= old {
			return
		}
		if s.acked.CompareAndSwap(old, uint64(lsn)) {
			break
		}
	}
	if !s.reading.Load() || !s.ackMoved.CompareAndSwap(false, true) {
		return
	}
	s.wakeAfter(ackDelay)
	select {
	case s.nudge <- struct{}{}:
	default:
	}
}

// Held says whether the server may still be believed to keep the slot for us: it has not hung up,
// and has heard of us within wal_sender_timeout, after which it would. A crash of the server's
// machine, or a standby that takes its place, can only be told by the time. It is meant to be asked
// before everything that only the holder of the slot may do; a process that was stopped, for
// whatever reason, finds out by it at once. It costs about 100 ns, and a system call once in a
// millisecond.
func (s *Stream) Held() bool {
	if s.patience > 0 && time.Since(s.contact.at()) >= s.patience {
		return false
	}
	if s.line.Up() {
		return true
	}
	select {
	case s.nudge <- struct{}{}: // a reader that waits for room does not see it
	default:
	}
	return false
}

// Close ends the connection; Run, if it is on, then fails with ErrClosed. It is safe to call twice.
func (s *Stream) Close() {
	s.closeOnce.Do(func() {
		s.closed.Store(true)
		if !s.reading.Load() {
			// Terminate, so that the server logs no broken connection. It may be broken, though.
			_ = s.conn.SetWriteDeadline(time.Now().Add(farewellTime))
			_, _ = s.conn.Write(terminate())
		}
		// The connection is gone whatever Close says about its last bytes.
		_ = s.conn.Close()
	})
}

// interrupt makes the reader look up at once.
func (s *Stream) interrupt() {
	s.stopping.Store(true)
	s.wakeAfter(0)
	// A write that hangs must not hold up the end either.
	_ = s.conn.SetWriteDeadline(time.Now().Add(farewellTime))
}

// wakeAfter has the next or present read end after d.
func (s *Stream) wakeAfter(d time.Duration) {
	_ = s.conn.SetReadDeadline(time.Now().Add(d))
	if d > 0 && s.stopping.Load() {
		_ = s.conn.SetReadDeadline(time.Now())
	}
}

// counted notes every read from the connection.
func (s *Stream) counted(r io.Reader) io.Reader { return &countedReader{s: s, r: r} }

type countedReader struct {
	s *Stream
	r io.Reader
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if n > 0 {
		c.s.readAt = time.Now()
		c.s.reads++
	}
	return n, err
}
