package jetstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/fnv"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/config"
)

// PartitionOf returns the partition of an endpoint: its place among so many partitions. It is the
// same in every process and release.
func PartitionOf(endpoint string, partitions int) int {
	h := fnv.New64a()
	_, _ = h.Write([]byte(endpoint))           // never fails
	return int(h.Sum64() % uint64(partitions)) //nolint:gosec // partitions is positive
}

// Options say where the streams of a slot are.
type Options struct {
	URL         config.Secret // nats://host:4222, of one or several servers with commas between them
	Credentials config.Secret // content of a .creds file; empty: none
	Token       config.Secret
	User        string
	Password    config.Secret
	Roots       *x509.CertPool // nil: the system's; others ask for TLS whatever the URL says
	Slot        string
	Partitions  int
	Replicas    int // of each stream; 0: 1
	Logger      zerolog.Logger
}

// OptionsOf are the options of a configuration; roots vouch for its servers, nil: the system's.
func OptionsOf(cfg *config.Config, roots *x509.CertPool, log zerolog.Logger) Options {
	f := &cfg.Fanout
	return Options{
		URL: f.URL, Credentials: f.Credentials, Token: f.Token, User: f.User, Password: f.Password, Roots: roots,
		Slot: cfg.Database.Slot, Partitions: f.Partitions, Replicas: f.Replicas, Logger: log,
	}
}

const (
	connectTimeout = 2 * time.Second
	// pingInterval times two is how long a connection that is cut silently counts as one.
	pingInterval  = 5 * time.Second
	reconnectWait = 200 * time.Millisecond
	// askTimeout bounds one question to the server.
	askTimeout = 5 * time.Second
	// quiet is the least time between two warnings of the same kind.
	quiet = 10 * time.Second
)

// Fanout is the connection to the streams of a slot. Its methods may be called from any goroutine.
type Fanout struct {
	opts Options
	nc   *nats.Conn
	js   jetstream.JetStream
	log  zerolog.Logger
	link *link
}

// Open connects and makes the streams that are missing. A stream that is there must be set up as
// this release needs it. Once connected, the connection is made again whenever it is lost, until
// Close. No error shows the URL or what authenticates.
func Open(ctx context.Context, o Options) (*Fanout, error) {
	if o.Partitions < 1 {
		return nil, errors.New("open the fan-out: it needs at least one partition")
	}
	o.Replicas = max(o.Replicas, 1)
	f := &Fanout{opts: o, log: o.Logger, link: &link{}}
	if err := f.connect(); err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	for n := range o.Partitions {
		if err := f.ensure(ctx, n); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

// Of returns the fan-out of the same slot to another number of partitions, over the same
// connection. It is not to be closed.
func (f *Fanout) Of(partitions int) *Fanout {
	other := *f
	other.opts.Partitions = partitions
	return &other
}

// Check is an error where a stream has nobody who takes what a hold publishes, or has what a later
// one published.
func (f *Fanout) Check(ctx context.Context, by By) error {
	for n := range f.opts.Partitions {
		if err := f.ensure(ctx, n); err != nil {
			return f.explain(err)
		}
		if err := f.later(ctx, n, by); err != nil {
			return f.explain(err)
		}
	}
	return nil
}

// explain returns an error that came of the lack of a connection as one that says so, and why there
// is none; others as they are.
func (f *Fanout) explain(err error) error {
	if f.nc.IsConnected() && !errors.Is(err, nats.ErrReconnectBufExceeded) {
		return err
	}
	return fmt.Errorf("NATS is not connected: %w", whyNotConnected(f.link.reason()))
}

// Connected reports whether there is a connection now.
func (f *Fanout) Connected() bool { return f.nc.IsConnected() }

// Cut returns since when there is no connection; zero: there is one.
func (f *Fanout) Cut() time.Time {
	f.link.mu.Lock()
	defer f.link.mu.Unlock()
	return f.link.cut
}

// Close ends the connection. It is safe to call twice. Sources and publishers must have ended.
func (f *Fanout) Close() { f.nc.Close() }

func (f *Fanout) connect() error {
	if err := checkURL(f.opts.URL.Reveal()); err != nil {
		return err
	}
	o := []nats.Option{
		nats.Name("tailpost " + f.opts.Slot), nats.Timeout(connectTimeout),
		nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait), nats.ReconnectJitter(reconnectWait/2, reconnectWait/2),
		// Credentials may be renewed on the server while this process runs.
		nats.IgnoreAuthErrorAbort(),
		nats.PingInterval(pingInterval), nats.MaxPingsOutstanding(2),
		// What waits for a connection would be published after what was published again.
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			f.link.failed(err)
			f.link.changed(time.Now())
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { f.link.failed(err) }),
		nats.ReconnectHandler(func(*nats.Conn) { f.link.changed(time.Time{}) }),
		nats.ErrorHandler(func(nc *nats.Conn, _ *nats.Subscription, err error) {
			if !nc.IsConnected() { // a login that is refused comes here
				f.link.failed(err)
			}
			f.log.Debug().Err(err).Msg("NATS reports a problem")
		}),
	}
	if c := f.opts.Credentials.Reveal(); c != "" {
		o = append(o, nats.UserCredentialBytes([]byte(c)))
	}
	if t := f.opts.Token.Reveal(); t != "" {
		o = append(o, nats.Token(t))
	}
	if f.opts.User != "" {
		o = append(o, nats.UserInfo(f.opts.User, f.opts.Password.Reveal()))
	}
	if f.opts.Roots != nil {
		// Not nats.Secure: whether there is TLS is the URL's and the server's word.
		o = append(o, func(opts *nats.Options) error {
			opts.TLSConfig = &tls.Config{RootCAs: f.opts.Roots, MinVersion: tls.VersionTLS12}
			return nil
		})
	}
	var err error
	if f.nc, err = nats.Connect(f.opts.URL.Reveal(), o...); err != nil {
		return plain(err)
	}
	if f.js, err = jetstream.New(f.nc); err != nil {
		f.nc.Close()
		return err
	}
	return nil
}

// checkURL refuses what is no list of servers, in words that show nothing of it.
func checkURL(list string) error {
	for i, s := range strings.Split(list, ",") {
		s = strings.TrimSpace(s)
		if !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		u, err := url.Parse(s)
		if err != nil || u.Hostname() == "" {
			return fmt.Errorf("server %d of its URL cannot be read: write it as nats://host:4222", i+1)
		}
	}
	return nil
}

// plain leaves out of an error what may have a URL in it.
func plain(err error) error {
	if parse := new(url.Error); errors.As(err, &parse) {
		return errors.New("its URL cannot be read: write it as nats://host:4222")
	}
	return err
}

// link tells whoever waits for an answer that the connection, and the answer with it, is lost; and
// whoever pauses that there is one again.
type link struct {
	mu      sync.Mutex
	cut     time.Time     // since when there is no connection; zero: there is one
	why     error         // there was none when it was last looked for; nil: not known
	changes chan struct{} // closed at the next change; nil: nobody waits
}

// change returns a channel that is closed when the connection is next lost or made.
func (l *link) change() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changes == nil {
		l.changes = make(chan struct{})
	}
	return l.changes
}

// changed notes that the connection was lost, at a time, or, zero, made.
func (l *link) changed(cut time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if cut.IsZero() || l.cut.IsZero() {
		l.cut = cut
	}
	if l.changes != nil {
		close(l.changes)
		l.changes = nil
	}
}

// failed notes why the connection was lost, or could not be made again.
func (l *link) failed(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if why != nil {
		l.why = plain(why)
	}
}

// reason returns why there is no connection.
func (l *link) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return cmp.Or(l.why, errLink)
}

// pause waits for d, or until the connection is lost or made.
func (l *link) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.change():
	case <-ctx.Done():
	}
}
