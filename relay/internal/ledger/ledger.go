package ledger

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/hangup"
)

// Connections is how many connections a Ledger has open at most.
const Connections = 2

const (
	firstDelay = 50 * time.Millisecond
	maxDelay   = 2 * time.Second
)

// Options says how to open a Ledger.
type Options struct {
	URL     config.Secret  // the database; through a pooler only if it pools sessions
	AppName string         // follows "tailpost " in application_name, for example the slot
	Logger  zerolog.Logger // zero: silent
	// Disconnected, if set, is called whenever a connection was found lost, before it is made again: the server may be
	// shutting down, which lasts until the relay closes the replication connection. It is called on the goroutine of
	// whichever method found out, and must not block or call the Ledger.
	Disconnected func(error)
}

// Ledger is the relay's access to the application's database. Its methods are safe for concurrent use; those that load
// take turns on one connection. Every method rides out a lost connection and waits for the database until its context is
// done.
type Ledger struct {
	options   Options
	config    *pgx.ConnConfig
	recording recorder
	loading   *loader
	days      days
}

// recorder is what Record needs and has learnt.
type recorder struct {
	mu      sync.Mutex
	session *session                    // nil: to be made
	line    atomic.Pointer[hangup.Line] // of the session, or of the last one
	slot    string
	epoch   int64 // 0: no hold
	batch   int64 // batches of this epoch that are committed
	settled outbox.LSN
	// uncertain says that batch may be one behind.
	uncertain bool
}

// Open connects to the database. It does not wait for one that is out of reach.
func Open(ctx context.Context, o Options) (*Ledger, error) {
	cfg, err := parseURL(o.URL.Reveal(), o.AppName)
	if err != nil {
		return nil, err
	}
	l := &Ledger{options: o, config: cfg, loading: newLoader()}
	session, err := openSession(ctx, cfg)
	if err != nil {
		return nil, describe(err)
	}
	l.recording.use(session)
	if l.loading.conn, err = connect(ctx, cfg); err != nil {
		session.close(ctx)
		return nil, describe(err)
	}
	return l, nil
}

// Close closes the connections. Nothing else may run or follow.
func (l *Ledger) Close(ctx context.Context) error {
	r := &l.recording
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.session != nil {
		r.drop(ctx)
	}
	return l.loading.close(ctx)
}

// Connected says whether the recording connection stands, as far as the kernel knows. A server that has crashed is seen here
// even where the stream's own connection is full of what it sent before. It does not wait for anything.
func (l *Ledger) Connected() bool {
	return l.recording.line.Load().Up()
}

// lose tells that a connection is lost.
func (l *Ledger) lose(err error) {
	l.options.Logger.Warn().Err(describe(err)).Msg("lost a connection to the database")
	if l.options.Disconnected != nil {
		l.options.Disconnected(err)
	}
}

// backoff waits longer and longer.
type backoff struct{ next time.Duration }

// wait returns the cause of ctx's end if that comes first.
func (b *backoff) wait(ctx context.Context) error {
	b.next = min(max(2*b.next, firstDelay), maxDelay)
	timer := time.NewTimer(b.next)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// connect makes the connection that does not record.
func connect(ctx context.Context, cfg *pgx.ConnConfig) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := conn.PgConn().Exec(ctx, sessionSQL+";"+loadingSQL).Close(); err != nil {
		// The first error says more than one of a connection that is being given up.
		_ = conn.Close(ctx)
		return nil, fmt.Errorf("set up the connection: %w", err)
	}
	return conn, nil
}
