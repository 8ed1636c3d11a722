package lease

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/relay/internal/hangup"
)

const (
	// DefaultTTL is after how long the server ends the session of a process that is silent.
	DefaultTTL = 5 * time.Second
	// LeastTTL is the shortest one: answers of a busy server take a while.
	LeastTTL = time.Second

	asksPerTTL    = 4 // how often Run asks, so that some answers may be late
	marginDivisor = 5 // of the TTL: the time that Held keeps away from its end
	farewellTime  = time.Second
)

// ErrLost says that the session is over, and that nothing is owned any more.
var ErrLost = errors.New("the lease is lost, and its partitions with it: open another one")

var errClosed = errors.New("it was closed")

// Options says what is leased, and from where.
type Options struct {
	URL        config.Secret // the database's own address, not a pooler's
	Slot       string
	Partitions int
	// TTL is after how long without a question the server gives this process up. 0: DefaultTTL; at
	// least LeastTTL.
	TTL    time.Duration
	Owner  string         // names this process in the log
	Logger zerolog.Logger // zero: silent
}

func (o Options) withDefaults() (Options, error) {
	if o.TTL == 0 {
		o.TTL = DefaultTTL
	}
	o.TTL = o.TTL.Truncate(time.Millisecond) // as precise as Postgres is
	switch {
	case o.Slot == "":
		return o, errors.New("want the name of a slot")
	case o.Partitions < 1:
		return o, fmt.Errorf("want at least one partition, not %d", o.Partitions)
	case o.TTL < LeastTTL:
		return o, fmt.Errorf("want a TTL of at least %s, not %s", LeastTTL, o.TTL)
	}
	return o, nil
}

// Lease is a session that owns partitions of a slot's fan-out by advisory locks. Its methods are
// safe for concurrent use; they wait for one another, but for Held.
type Lease struct {
	opts Options
	log  zerolog.Logger
	keys keys
	line *hangup.Line
	pid  int32

	now   func() time.Duration // since Open, monotonic
	asked atomic.Int64         // when the last question that has an answer was asked, in nanoseconds
	gone  atomic.Bool
	lost  chan struct{} // closed with gone, after why is set
	why   error

	turn      chan struct{} // holds one while somebody uses what follows
	conn      *pgx.Conn
	mine      map[int]struct{}
	strangers map[int]stranger
}

// Open makes the session and joins the members. It does not wait for a database that is out of
// reach. The caller must Close it, and have Run run before the TTL is over.
func Open(ctx context.Context, o Options) (*Lease, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open lease: %w", err)
	}
	base := time.Now()
	l := &Lease{
		opts: o, log: o.Logger.With().Str("slot", o.Slot).Str("owner", o.Owner).Logger(), keys: keysOf(o.Slot),
		now:  func() time.Duration { return time.Since(base) },
		lost: make(chan struct{}), turn: make(chan struct{}, 1), mine: make(map[int]struct{}), strangers: make(map[int]stranger),
	}
	l.conn, err = pglink.Connect(ctx, o.URL.Reveal(), pglink.Session{
		Name: "tailpost " + o.Slot + " sender", Settings: map[string]string{"idle_session_timeout": printed(o.TTL)},
	})
	if err != nil {
		return nil, fmt.Errorf("open lease: %w", pglink.Describe(err))
	}
	l.line = hangup.New(l.conn.PgConn().Conn())
	if err := l.join(ctx); err != nil {
		l.Close(ctx)
		return nil, fmt.Errorf("open lease: %w", err)
	}
	return l, nil
}

const joinSQL = `
SELECT pg_backend_pid(), pg_is_in_recovery(), pg_try_advisory_lock_shared(@members, 0)`

// join makes the session one of the members.
func (l *Lease) join(ctx context.Context) error {
	var standby, joined bool
	err := l.ask(ctx, "join the members", func(ctx context.Context) error {
		return l.conn.QueryRow(ctx, joinSQL, pgx.NamedArgs{"members": l.keys.members}).Scan(&l.pid, &standby, &joined)
	})
	switch {
	case err != nil:
		return err
	case standby:
		return errors.New("the server is a standby, whose locks nobody else sees: give the primary's address in database.url")
	case !joined:
		return fmt.Errorf("an application holds the advisory lock (%d, 0), by which senders of this slot are counted: "+
			"have it use another key, SELECT pid FROM pg_locks WHERE locktype = 'advisory' tells which session", l.keys.members)
	}
	return nil
}

// PID returns the process that serves the session, as Ledger.Holds wants it.
func (l *Lease) PID() int { return int(l.pid) }

// Run asks the server something often enough for it to keep the session, and returns an error once
// that is lost. It returns nil when ctx is done; the session then lasts for the TTL, or until
// Close.
func (l *Lease) Run(ctx context.Context) error {
	tick := time.NewTicker(l.opts.TTL / asksPerTTL)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.lost:
			return l.ended("keep the lease")
		case <-tick.C:
		}
		err := l.Touch(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrLost):
			return err
		case err != nil:
			l.log.Warn().Err(err).Msg("the database answers the lease with an error")
		}
	}
}

// Touch asks the server something at once, as Run does from time to time: after a pause of the
// process it tells whether the session has outlived that.
func (l *Lease) Touch(ctx context.Context) error {
	return l.while(ctx, "keep the lease", func() error {
		return l.ask(ctx, "keep the lease", func(ctx context.Context) error {
			_, err := l.conn.Exec(ctx, "SELECT 1")
			return err
		})
	})
}

// Held reports whether the session may still be believed to stand: the server has not hung up, and
// cannot have given it up for silence yet. That counts from when the last question that has an
// answer was asked: an answer that is read late says nothing. It does no I/O and costs as much as
// postgres.Stream.Held.
func (l *Lease) Held() bool {
	silent := l.now() - time.Duration(l.asked.Load())
	return !l.gone.Load() && silent < l.opts.TTL-l.opts.TTL/marginDivisor && l.line.Up()
}

// Take takes a partition, and reports whether it is this session's now: somebody else may own it.
func (l *Lease) Take(ctx context.Context, partition int) (took bool, err error) {
	what := "take partition " + strconv.Itoa(partition)
	if partition < 0 || partition >= l.opts.Partitions {
		return false, fmt.Errorf("%s: there are %d", what, l.opts.Partitions)
	}
	err = l.while(ctx, what, func() error {
		// Postgres counts how often a session has taken a lock, and lets it go at the last release.
		if _, took = l.mine[partition]; took {
			return nil
		}
		err := l.ask(ctx, what, func(ctx context.Context) error {
			args := pgx.NamedArgs{"class": l.keys.partitions, "partition": partition}
			return l.conn.QueryRow(ctx, "SELECT pg_try_advisory_lock(@class, @partition)", args).Scan(&took)
		})
		if err != nil {
			took = false
		}
		if took {
			l.mine[partition] = struct{}{}
		}
		return err
	})
	return took, err
}

// Release gives a partition back; it is nothing where the session does not own it. Whoever calls it
// has stopped to deliver what comes of that partition.
func (l *Lease) Release(ctx context.Context, partition int) error {
	what := "release partition " + strconv.Itoa(partition)
	return l.while(ctx, what, func() error {
		if _, owned := l.mine[partition]; !owned {
			return nil
		}
		err := l.ask(ctx, what, func(ctx context.Context) error {
			_, err := l.conn.Exec(ctx, "SELECT pg_advisory_unlock($1::integer, $2::integer)", l.keys.partitions, partition)
			return err
		})
		if err == nil {
			delete(l.mine, partition)
		}
		return err
	})
}

// Close leaves the members and gives back what is owned: others can take it when Close returns,
// unless the server is out of reach. It is safe to call twice.
func (l *Lease) Close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewellTime)
	defer cancel()
	// Nobody is to believe in what is about to end, whoever has the turn.
	l.asked.Store(-int64(l.opts.TTL))
	l.turn <- struct{}{} // a question is answered, or given up, within the TTL
	defer func() { <-l.turn }()
	if l.gone.Load() {
		return
	}
	// The server lets go of a session's locks some time after the connection is closed. What it
	// says here changes nothing: the connection is closed in any case.
	_, _ = l.conn.Exec(ctx, "SELECT pg_advisory_unlock_all()")
	l.lose(ctx, errClosed)
}

// while runs f while nobody else uses the session.
func (l *Lease) while(ctx context.Context, what string, f func() error) error {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	defer func() { <-l.turn }()
	if l.gone.Load() {
		return l.ended(what)
	}
	return f()
}

// ask runs a question, which is answered within the TTL or loses the session. It outlives ctx:
// whoever gives up has no reason to lose all partitions by it.
func (l *Lease) ask(ctx context.Context, what string, question func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), l.opts.TTL,
		errors.New("the database has not answered for "+l.opts.TTL.String()))
	defer cancel()
	at := l.now()
	err := question(ctx)
	switch {
	case err == nil:
		l.asked.Store(int64(at))
		return nil
	case l.conn.IsClosed() || pglink.Judge(err) == pglink.Lost:
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		l.lose(ctx, err)
		return l.ended(what)
	}
	return fmt.Errorf("%s: %w", what, pglink.Describe(err))
}

// lose ends the session.
func (l *Lease) lose(ctx context.Context, why error) {
	l.why = why
	l.gone.Store(true)
	close(l.lost)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewellTime)
	defer cancel()
	// It is given up whatever the server says to that.
	_ = l.conn.Close(ctx)
}

// ended says that the session is lost, and why.
func (l *Lease) ended(what string) error {
	<-l.lost
	return fmt.Errorf("%s: %w (%w)", what, ErrLost, pglink.Describe(l.why))
}

// printed is a duration as Postgres prints a setting of milliseconds.
func printed(d time.Duration) string {
	for _, unit := range []struct {
		name string
		of   time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"min", time.Minute}, {"s", time.Second}} {
		if d%unit.of == 0 {
			return strconv.FormatInt(int64(d/unit.of), 10) + unit.name
		}
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}
