package ledger

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/internal/pace"
)

// Connections is how many connections a Ledger has open at most.
const Connections = 3

const (
	firstDelay = 50 * time.Millisecond
	maxDelay   = 2 * time.Second
)

// Options says how to open a Ledger.
type Options struct {
	URL     config.Secret  // the database's own address, not a pooler's
	AppName string         // follows "tailpost " in application_name, for example the slot
	Logger  zerolog.Logger // zero: silent
	// Disconnected, if set, is called whenever a connection was found lost, before it is made
	// again: the server may be shutting down, which lasts until the relay closes the replication
	// connection. It is called on the goroutine of whichever method found out, and must not block
	// or call the Ledger.
	Disconnected func(error)
}

// Ledger is the relay's access to the application's database. Its methods are safe for concurrent
// use. Every method rides out a lost connection and waits for the database until its context is
// done.
type Ledger struct {
	*Parked     // what waits to be attempted, on a connection of its own
	*Endpoints  // rows of endpoints
	*Operations // replays and resends
	*Rejections // events that are to be read again
	*Healing    // gaps and heals
	*Aging      // what is old
	*Partitions // of tailpost.attempt
	*Fanout     // partitions of the slot

	address   *address
	recording *recorder
	link      *Link
}

// Open connects to the database. It does not wait for one that is out of reach.
func Open(ctx context.Context, o Options) (*Ledger, error) {
	lost := func(err error) {
		o.Logger.Warn().Err(pglink.Describe(err)).Msg("lost a connection to the database")
		if o.Disconnected != nil {
			o.Disconnected(err)
		}
	}
	name := strings.TrimSpace("tailpost " + o.AppName)
	a := newAddress(o.URL)
	loading := pglink.Session{Name: name, Settings: loadingSettings()}
	l := &Ledger{address: a, link: newLink(a, loading, o.Logger, lost)}
	l.Parked = &Parked{link: newLink(a, pglink.Session{Name: name, Settings: parkedSettings()}, o.Logger, lost)}
	l.Endpoints, l.Operations, l.Aging = &Endpoints{link: l.link}, &Operations{link: l.link}, &Aging{link: l.link}
	l.Healing, l.Partitions, l.Rejections = &Healing{link: l.link}, &Partitions{link: l.link}, &Rejections{link: l.link}
	l.recording = &recorder{
		address: a, setup: pglink.Session{Name: name, Settings: recordingSettings()}, log: o.Logger, lost: lost, days: l.Partitions,
		pause: pace.Backoff{Least: firstDelay, Most: maxDelay},
	}
	l.Fanout = &Fanout{link: l.link, recording: l.recording}
	if err := l.open(ctx); err != nil {
		return nil, errors.Join(pglink.Describe(err), l.Close(ctx))
	}
	return l, nil
}

// open makes the connections.
func (l *Ledger) open(ctx context.Context) error {
	if err := l.link.open(ctx); err != nil {
		return err
	}
	// Before statements are prepared that older tables do not know.
	err := l.link.Run(ctx, "check the schema", func(ctx context.Context, conn *pgx.Conn) error { return schema.Check(ctx, conn) })
	if err != nil {
		return err
	}
	if err := l.recording.open(ctx); err != nil {
		return err
	}
	return l.Parked.link.open(ctx)
}

// Close closes the connections. Nothing else may run or follow.
func (l *Ledger) Close(ctx context.Context) error {
	r := l.recording
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.session != nil {
		r.drop(ctx)
	}
	return errors.Join(l.link.close(ctx), l.Parked.link.close(ctx))
}

// Readdress makes new connections use another address or password. Open ones are left alone. An
// invalid address is an error, and changes nothing.
func (l *Ledger) Readdress(url config.Secret) error { return l.address.change(url) }

// Link returns the connection for everything that neither records nor loads what waits.
func (l *Ledger) Link() *Link { return l.link }

// Connected reports whether the recording connection stands, as far as the kernel knows. A server
// that has crashed is seen here even where the stream's own connection is full of what it sent
// before. It does not wait for anything.
func (l *Ledger) Connected() bool {
	return l.recording.line.Load().Up()
}

// Unrecorded returns since when a batch waits because the database is out of reach or refuses it;
// zero: none does.
func (l *Ledger) Unrecorded() time.Time {
	if since := l.recording.waits.Load(); since != nil {
		return *since
	}
	return time.Time{}
}

// Watch waits on an idle connection for the server's goodbye and reports it through
// Options.Disconnected, at once and without a query. It returns nil when ctx is done.
func (l *Ledger) Watch(ctx context.Context) error {
	l.link.watch(ctx)
	return nil
}
