package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/relay/internal/hangup"
)

const (
	// checkTimeout bounds the look at whether a connection still stands.
	checkTimeout = 10 * time.Second
	// pipelineTimeout gives up a connection whose server is out of reach. The server's own timeouts
	// end a statement that waits or works for too long well before.
	pipelineTimeout = 90 * time.Second
)

// session is the recording connection. One goroutine uses it at a time.
type session struct {
	conn    *pgconn.PgConn
	line    *hangup.Line
	encoder encoder
}

// openSession connects and prepares what recording needs.
func openSession(ctx context.Context, a *address, setup pglink.Session) (*session, error) {
	cfg, err := a.configure(setup)
	if err != nil {
		return nil, err
	}
	conn, err := pgconn.ConnectConfig(ctx, &cfg.Config)
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, line: hangup.New(conn.Conn())}
	s.encoder.pgwire = pgwireOf(conn)
	if err := s.prepare(ctx); err != nil {
		s.close(ctx)
		return nil, err
	}
	return s, nil
}

func (s *session) prepare(ctx context.Context) error {
	for _, st := range recordingStatements() {
		if _, err := s.conn.Prepare(ctx, st.name, st.sql, nil); err != nil {
			return fmt.Errorf("prepare %s: %w", st.name, err)
		}
	}
	return nil
}

// close says goodbye if it can and closes the connection in any case.
func (s *session) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	// A connection that is being given up has nothing left to report.
	_ = s.conn.Close(ctx)
}

// run sends e, waits for its end, and returns where the slot's row is then. An error of the server
// is a *pgconn.PgError; any other, and every FATAL one, leaves the connection useless. A nil error
// means that e is committed.
func (s *session) run(ctx context.Context, e *entry) (at place, err error) {
	conn := s.conn.Conn()
	if err := conn.SetDeadline(time.Now().Add(pipelineTimeout)); err != nil {
		return at, fmt.Errorf("set a deadline: %w", err)
	}
	stop := context.AfterFunc(ctx, func() {
		// An error means that the connection is closed, which is as good.
		_ = conn.SetDeadline(time.Unix(1, 0))
	})
	defer func() {
		if !stop() || err != nil && judge(err) == lost {
			// What the watcher does to the deadlines may come late, so that they are no good for a
			// next time.
			_ = conn.Close()
			return
		}
		if e := conn.SetDeadline(time.Time{}); e != nil {
			_ = conn.Close()
		}
	}()

	s.encoder.err = nil
	s.encoder.buf = s.encoder.buf[:0]
	s.encoder.encode(e)
	if s.encoder.err != nil {
		return at, s.farewell(s.encoder.err)
	}
	return s.await()
}

// await reads until the server is ready again. It returns what the guard, whose row is the first,
// says of the place of the slot's row, and the pipeline's first error.
func (s *session) await() (at place, failure error) {
	for guarded := false; ; {
		msg, err := s.conn.Frontend().Receive()
		if err != nil {
			if failure != nil {
				return at, failure // why the server closed the connection
			}
			return at, fmt.Errorf("read from Postgres: %w", err)
		}
		switch msg := msg.(type) {
		case *pgproto3.DataRow:
			if !guarded && len(msg.Values) == 2 {
				guarded, at = true, parsePlace(msg.Values[1])
			}
		case *pgproto3.ErrorResponse:
			if failure == nil {
				failure = pgconn.ErrorResponseToPgError(msg)
			}
		case *pgproto3.ReadyForQuery:
			return at, failure
		}
	}
}

// farewell finds out why the server does not read any more: it may have said so before it hung up.
func (s *session) farewell(cause error) error {
	cause = fmt.Errorf("write to Postgres: %w", cause)
	if err := s.conn.Conn().SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		return cause
	}
	var pgErr *pgconn.PgError
	if _, err := s.await(); errors.As(err, &pgErr) {
		return errors.Join(pgErr, cause)
	}
	return cause
}

// place is where a row is (ctid); the zero place: not known.
type place struct {
	block  uint32
	offset uint16 // from 1
}

// parsePlace reads a ctid. One that cannot be read is not known.
func parsePlace(text []byte) (p place) {
	if _, err := fmt.Sscanf(string(text), "(%d,%d)", &p.block, &p.offset); err != nil {
		return place{}
	}
	return p
}

// position is the slot's row, and its place.
type position struct {
	epoch, batch int64
	at           place
}

// position reads the slot's row. A slot that was never taken has the zero position.
func (s *session) position(ctx context.Context, slot string) (p position, err error) {
	res := s.conn.ExecParams(ctx, positionSQL, [][]byte{[]byte(slot)}, nil, nil, nil).Read()
	if res.Err != nil {
		return p, fmt.Errorf("read the position of slot %q: %w", slot, res.Err)
	}
	if len(res.Rows) == 0 {
		return p, nil // no relay has epoch 0
	}
	row := res.Rows[0]
	if p.epoch, err = strconv.ParseInt(string(row[0]), 10, 64); err != nil {
		return p, fmt.Errorf("read the epoch of slot %q: %w", slot, err)
	}
	if p.batch, err = strconv.ParseInt(string(row[1]), 10, 64); err != nil {
		return p, fmt.Errorf("read the batch of slot %q: %w", slot, err)
	}
	p.at = parsePlace(row[2])
	return p, nil
}
