package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/relay/internal/pace"
)

// mostTimeouts is how often Run tries a statement that takes longer than the server lets it.
const mostTimeouts = 3

// Link is a connection that is lent out to one user at a time and comes back by itself. Its methods
// are safe for concurrent use.
type Link struct {
	address *address
	setup   pglink.Session
	log     zerolog.Logger
	lost    func(error) // told of each loss; see Options.Disconnected
	loan    *loan
	conn    *pgx.Conn // owned by whoever has the loan; nil: to be made
	worked  bool      // something succeeded since the last loss
	pause   pace.Backoff
}

func newLink(a *address, setup pglink.Session, log zerolog.Logger, lost func(error)) *Link {
	return &Link{
		address: a, setup: setup, log: log, lost: lost, loan: newLoan(),
		pause: pace.Backoff{Least: firstDelay, Most: maxDelay},
	}
}

// Run lends the connection to f. It waits for a database that is out of reach, busy or read-only
// for now, and may run f again: with pauses that grow, in which the connection is free for others.
// What takes too long is tried three times.
func (k *Link) Run(ctx context.Context, what string, f func(context.Context, *pgx.Conn) error) error {
	for timeouts := 0; ; {
		err := k.try(ctx, f)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return interrupted(ctx, what)
		case errors.Is(err, errFresh):
			continue
		}
		if pglink.TookTooLong(err) {
			timeouts++
		}
		if !errors.Is(err, errWaits) || timeouts == mostTimeouts {
			return fmt.Errorf("%s: %w", what, pglink.Describe(err))
		}
		k.log.Warn().Err(pglink.Describe(err)).Str("what", what).Msg("waiting for the database")
		if k.rest(ctx) != nil {
			return interrupted(ctx, what)
		}
	}
}

// Once is Run for what can wait: when a lock or a timeout keeps f from running, that is an error at
// once.
func (k *Link) Once(ctx context.Context, what string, f func(context.Context, *pgx.Conn) error) error {
	var busy error
	err := k.Run(ctx, what, func(ctx context.Context, conn *pgx.Conn) error {
		busy = nil
		err := f(ctx, conn)
		if err != nil && pglink.Judge(err) == pglink.Transient {
			busy = fmt.Errorf("%s: %w", what, pglink.Describe(err))
			return nil
		}
		return err
	})
	return errors.Join(err, busy)
}

// WhileHeld runs f in a transaction that only the holder of the slot can commit, else it returns
// ErrDeposed. It may run f again, as Run does.
func (k *Link) WhileHeld(ctx context.Context, hold Hold, what string, f func(ctx context.Context, tx pgx.Tx) error) error {
	return k.Run(ctx, what, func(ctx context.Context, conn *pgx.Conn) error { return inHold(ctx, conn, hold, f) })
}

var (
	// errWaits says that trying again later may help.
	errWaits = errors.New("the database is out of reach or busy")
	// errFresh says that a connection which had worked is lost, so that a new one may be made at
	// once.
	errFresh = errors.New("the connection is lost")
)

// waits is an error of which errWaits is one more.
type waits struct{ error }

func (w waits) Unwrap() []error { return []error{w.error, errWaits} }

// try lends the connection to f once. After an error that made it useless there is none.
func (k *Link) try(ctx context.Context, f func(context.Context, *pgx.Conn) error) error {
	if err := k.loan.borrow(ctx); err != nil {
		return err
	}
	defer k.loan.giveBack()
	if k.conn == nil {
		conn, err := k.connect(ctx)
		switch {
		case err == nil:
			k.conn = conn
		case pglink.Judge(err) == pglink.Refused:
			return err
		default:
			return waits{err}
		}
	}
	err := f(ctx, k.conn)
	if err == nil {
		k.worked = true
		k.pause.Reset()
		return nil
	}
	if _, ok := errors.AsType[*pgconn.PgError](err); ok && pglink.Judge(err) == pglink.Lost {
		// Its error is why it is given up.
		_ = k.conn.Close(ctx)
	}
	if k.conn.IsClosed() {
		return k.lose(ctx, err)
	}
	if _, ok := errors.AsType[*pgconn.PgError](err); ok && pglink.Judge(err) == pglink.Transient {
		return waits{err}
	}
	return err
}

// lose gives up the connection. One that never worked is not made again without a pause: a server
// that takes connections and refuses every statement would be asked for them all the time.
func (k *Link) lose(ctx context.Context, err error) error {
	worked := k.worked
	k.conn, k.worked = nil, false
	if ctx.Err() != nil {
		return err
	}
	k.lost(err)
	if worked {
		return errFresh
	}
	return waits{err}
}

// rest makes the next pause. Users that wait at the same time share its growth.
func (k *Link) rest(ctx context.Context) error {
	if err := k.loan.borrow(ctx); err != nil {
		return err
	}
	pause := k.pause.Next()
	k.loan.giveBack()
	return pace.Wait(ctx, pause)
}

func (k *Link) connect(ctx context.Context) (*pgx.Conn, error) {
	cfg, err := k.address.configure(k.setup)
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, cfg)
}

// open makes the connection.
func (k *Link) open(ctx context.Context) error {
	if err := k.loan.borrow(ctx); err != nil {
		return err
	}
	defer k.loan.giveBack()
	conn, err := k.connect(ctx)
	if err != nil {
		return err
	}
	k.conn = conn
	return nil
}

// close closes the connection. Nothing else may run or follow.
func (k *Link) close(ctx context.Context) error {
	if err := k.loan.borrow(ctx); err != nil {
		return err
	}
	defer k.loan.giveBack()
	if k.conn == nil {
		return nil
	}
	conn := k.conn
	k.conn = nil
	return conn.Close(ctx)
}
