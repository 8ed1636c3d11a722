package relay

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"golang.org/x/sync/errgroup"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/relay/internal/fleet"
	"github.com/tailpost/tailpost/relay/internal/heal"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/query"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/source/postgres"
	"github.com/tailpost/tailpost/relay/internal/telemetry"
	"github.com/tailpost/tailpost/relay/internal/tracing"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// Options configure a Relay beside its config.
type Options struct {
	// Logger gets the relay's log. The zero Logger logs nothing. What it writes to must not block:
	// deliveries would wait for it.
	Logger zerolog.Logger
	// LogDropped returns how many lines of the log were dropped so far, for the metrics. nil: they
	// have no such number.
	LogDropped func() uint64
	// Version is sent in the User-Agent header.
	Version string
	// Owner names this process in tailpost.relay. Empty: host name and process id.
	Owner string
	// Roots returns the authorities that receivers' certificates may be signed by; it is called
	// again at each Reload. nil, or what returns nil: the system's, as they were when the process
	// began.
	Roots func() (*x509.CertPool, error)
	// Grace is how long requests in flight may take once Run stops. 0: 10 seconds.
	Grace time.Duration
	// Listeners are addresses that the process listens on beside the API's and the metrics', which
	// the relay knows. No configuration allows a request to any of them.
	Listeners []netip.AddrPort
	// Spans gets OpenTelemetry spans of deliveries and attempts, and Readings the metrics, from
	// time to time. Run closes them. nil: nothing is traced, and the metrics are for Prometheus.
	Spans    sdktrace.SpanExporter
	Readings sdkmetric.Exporter
}

// State is the state of a relay.
type State string

// The states of a relay.
const (
	Starting   State = "starting"
	Standby    State = "standby" // another relay holds the slot
	Delivering State = "delivering"
	Draining   State = "draining"
	Stopped    State = "stopped"
)

// Status is a snapshot of a Relay.
type Status struct {
	State   State
	Slot    string
	Owner   string
	Epoch   int64      // 0 before the slot was first taken
	Settled outbox.LSN // the frontier that was last acknowledged
}

// Relay delivers the events of one outbox. Its methods are safe for concurrent use; Run may be
// called once.
type Relay struct {
	opts Options
	log  zerolog.Logger

	clocks *telemetry.Clocks
	rare   telemetry.Rare

	certificates telemetry.Certificates
	fleet        *fleet.Fleet // nil: this relay delivers what it reads
	reloading    sync.Mutex   // one Reload at a time

	mu      sync.Mutex
	set     *settings
	status  Status
	unready bool                    // while standing by: the slot is still being created
	holding *holding                // nil: the slot is not held
	lost    context.CancelCauseFunc // ends what prepares a hold; nil: nothing does
	ledger  *ledger.Ledger          // nil before Run
	store   *query.Store            // of the API and the metrics; nil: there are neither
	acked   source.Position         // the last frontier that was acknowledged, in any hold

	// Owned by the goroutine of Run.
	signs     heal.Symptoms
	untouched bool // nobody had changed the publication when the slot was to be taken

	listener net.Listener // of the API; nil: it does not listen

	metrics         *telemetry.Metrics // nil: there are none; set before delivering begins
	metricsListener net.Listener       // nil: there are none
	tracer          *tracing.Tracer    // nil: nothing is traced; set before delivering begins
}

// drainMargin is how long recording may take after the grace of the requests in flight.
const drainMargin = 10 * time.Second

const (
	// standbyPause is how often a relay that stands by asks whether the slot is free.
	standbyPause = 500 * time.Millisecond
	// standbyTry is how often it tries to take it all the same: that finds out what else there is
	// to say, and costs a connection.
	standbyTry = 30 * time.Second
)

// New makes a Relay. It opens no connection; an endpoint that cannot be built is an error.
func New(cfg *config.Config, o Options) (*Relay, error) {
	if o.Grace == 0 {
		o.Grace = 10 * time.Second
	}
	if o.Owner == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		o.Owner = fmt.Sprintf("%s/%d", host, os.Getpid())
	}
	r := &Relay{
		opts: o, log: o.Logger, clocks: telemetry.NewClocks(o.Logger),
		status: Status{State: Starting, Slot: cfg.Database.Slot, Owner: o.Owner},
	}
	var err error
	if r.set, err = r.build(cfg, nil); err != nil {
		return nil, err
	}
	r.fleet = newFleet(r)
	return r, nil
}

// clients send requests: to endpoints of the configuration, and to those that were made through the
// API, which may reach what the api block allows alone.
type clients struct{ own, tenants *webhook.Client }

// Close closes idle connections; requests in flight end as they would.
func (c clients) Close() {
	c.own.Close()
	c.tenants.Close()
}

// keepHeaders has attempts keep headers, or not.
func (c clients) keepHeaders(keep bool) {
	c.own.KeepHeaders(keep)
	c.tenants.KeepHeaders(keep)
}

// newClients prepares what requests go out by.
func (r *Relay) newClients(cfg *config.Config, roots *x509.CertPool) (clients, error) {
	listeners, err := r.ownListeners()
	if err != nil {
		return clients{}, err
	}
	options := webhook.Options{
		Network: cfg.Network, UserAgent: "Tailpost/" + r.opts.Version, Deny: listeners, Refused: r.clocks.Receiver,
		Secured: r.certificates.Presented,
		Roots:   roots,
		Check:   newValidation(r, cfg), Strict: cfg.Catalogue.Validate == config.ValidateDead,
	}
	own, err := webhook.NewClient(options)
	if err != nil {
		return clients{}, fmt.Errorf("prepare the HTTP client: %w", err)
	}
	options.Network = cfg.TenantNetwork()
	tenants, err := webhook.NewClient(options)
	if err != nil {
		own.Close()
		return clients{}, fmt.Errorf("prepare the HTTP client of the API's endpoints: %w", err)
	}
	own.Beside(tenants)
	c := clients{own, tenants}
	c.keepHeaders(cfg.Attempts.Headers)
	return c, nil
}

// build prepares what sends to the endpoints of a config.
func build(c clients, cfg *config.Config) (map[string]*webhook.Endpoint, error) {
	senders := make(map[string]*webhook.Endpoint, len(cfg.Endpoints))
	for i := range cfg.Endpoints {
		ep, err := c.own.Endpoint(cfg.Endpoints[i])
		if err != nil {
			closeAll(senders)
			return nil, fmt.Errorf("prepare endpoint %q: %w", cfg.Endpoints[i].ID, err)
		}
		senders[cfg.Endpoints[i].ID] = ep
	}
	return senders, nil
}

// closeAll closes idle connections; requests in flight end as they would.
func closeAll(senders map[string]*webhook.Endpoint) {
	for _, s := range senders {
		s.Close()
	}
}

// Status says what the relay does now.
func (r *Relay) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}

func (r *Relay) setState(s State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.enter(s)
}

// enter notes what the relay does. One that drains does nothing else before it has stopped. The
// caller holds mu.
func (r *Relay) enter(s State) {
	if is := r.status.State; is != Stopped && (is != Draining || s == Stopped) {
		r.status.State = s
	}
}

// Run delivers until ctx is done; then it lets requests in flight end, records them and returns
// nil. It stands by while another relay holds the slot, and outlives lost connections. An error
// means that the relay cannot work as it is configured: it says what to do. The API and the
// metrics, where there are some, are served all the while.
func (r *Relay) Run(ctx context.Context) error {
	return r.withServers(ctx, r.deliver)
}

// deliver is Run without the API and the metrics.
func (r *Relay) deliver(ctx context.Context) error {
	hard, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() {
		r.setState(Draining)
		time.AfterFunc(r.opts.Grace+drainMargin, func() { cancel(errors.New("the grace for stopping is over")) })
	})()
	defer r.setState(Stopped)
	defer func() { r.settings().clients.Close() }()

	led, err := r.open(ctx)
	if err != nil || led == nil {
		return err
	}
	defer func() {
		// Nothing is left to report to a database that is gone.
		_ = led.Close(hard)
	}()
	watching, endWatch := context.WithCancel(hard)
	var watch errgroup.Group
	watch.Go(func() error { return led.Watch(watching) })
	defer func() {
		endWatch()
		_ = watch.Wait() // nil by its contract
	}()
	if r.fleet != nil {
		return r.deliverTogether(ctx, hard, led)
	}
	return r.holdAgain(ctx, hard, led)
}

// deliverTogether delivers as one of a fleet: whoever has the slot publishes, and all of them send.
func (r *Relay) deliverTogether(ctx, hard context.Context, led *ledger.Ledger) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer r.fleet.Close()
	var group errgroup.Group
	group.Go(func() error {
		err := r.fleet.Run(ctx, hard, led)
		if err != nil {
			stop(err)
		}
		return err
	})
	err := r.holdAgain(ctx, hard, led)
	stop(nil)
	return errors.Join(group.Wait(), err)
}

// holdAgain holds the slot, or stands by, until ctx is done.
func (r *Relay) holdAgain(ctx, hard context.Context, led *ledger.Ledger) error {
	var backoff pace.Backoff
	for ctx.Err() == nil {
		began := time.Now()
		delivered, err := r.hold(ctx, hard, led)
		switch {
		case ctx.Err() != nil:
			if errors.Is(err, ledger.ErrDeposed) {
				// Nothing is lost by that: the other one sends again what this one could not
				// record.
				r.log.Warn().Err(err).Str("slot", r.status.Slot).Msg("stopped without recording what was in flight")
				return nil
			}
			if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, errEnded) {
				return fmt.Errorf("stop: %w", err)
			}
			return nil
		case errors.Is(err, errAnew):
			continue
		case r.fleet.GoesOn(err):
			continue
		case errors.Is(err, heal.ErrTooManyGaps):
			return err
		case errors.Is(err, postgres.ErrSlotActive):
			if r.standby(err) {
				// Whoever holds it finds out what is wrong with it. At first it may be our own
				// stream that ends.
				r.signs.Forget()
			}
			backoff.Reset()
			r.awaitSlot(ctx, led, errors.Is(err, postgres.ErrSlotUnready))
			continue
		case !delivered && !isPassing(err):
			return err
		}
		r.signs.Ended(err)
		r.rare.Reconnected()
		if time.Since(began) > time.Minute {
			backoff.Reset()
		}
		r.setState(Starting)
		pause := backoff.Next()
		r.log.Warn().Err(err).Str("slot", r.status.Slot).Dur("pause", pause).Msg("stream ended, taking the slot again")
		_ = pace.Wait(ctx, pause) // the loop looks at ctx
	}
	return nil
}

// standby notes, once, that another connection has the slot, and reports whether that was known.
func (r *Relay) standby(err error) (known bool) {
	unready := errors.Is(err, postgres.ErrSlotUnready)
	r.mu.Lock()
	defer r.mu.Unlock()
	known = r.status.State == Standby
	if known && r.unready == unready {
		return known
	}
	r.enter(Standby)
	r.unready = unready
	if unready {
		r.log.Warn().Err(err).Str("slot", r.status.Slot).
			Msg("the slot is still being created by a connection whose relay may be gone, standing by")
	} else {
		r.log.Info().Str("slot", r.status.Slot).Msg("another relay holds the slot, standing by")
	}
	return known
}

// awaitSlot returns when it is worth another try to take the slot: nobody has it any more, or
// nothing was heard of it for standbyTry. A slot that is being created is tried each time, which
// tells for whom that waits.
func (r *Relay) awaitSlot(ctx context.Context, led *ledger.Ledger, unready bool) {
	until := time.Now().Add(standbyTry)
	for pace.Wait(ctx, standbyPause) == nil && !unready && time.Now().Before(until) {
		if active, err := led.SlotActive(ctx, r.config().Database.Slot); err != nil || !active {
			return
		}
	}
}

// waiting reports who holds up the creation of the slot.
func (r *Relay) waiting(by string) {
	r.log.Warn().Str("slot", r.config().Database.Slot).Str("for", by).
		Msg("the slot is being created: that waits until the transactions that are open now have ended")
}

// open connects the ledger and checks that the database is as the config says. It waits for a
// database that is not there yet; nil without an error means that ctx was done first.
func (r *Relay) open(ctx context.Context) (*ledger.Ledger, error) {
	var backoff pace.Backoff
	for {
		led, err := r.tryOpen(ctx)
		switch {
		case err == nil:
			r.mu.Lock()
			r.ledger = led
			r.mu.Unlock()
			return led, nil
		case ctx.Err() != nil:
			return nil, nil //nolint:nilerr // Stopped before there was a database: nothing failed.
		case !isPassing(err), pglink.Is(err, pglink.InvalidPassword): // a password that never worked is not being rotated
			return nil, err
		}
		pause := backoff.Next()
		r.log.Warn().Err(err).Dur("pause", pause).Msg("database not reached, trying again")
		_ = pace.Wait(ctx, pause) // the loop looks at ctx
	}
}

// tryOpen connects the ledger and checks schema and outbox table.
func (r *Relay) tryOpen(ctx context.Context) (*ledger.Ledger, error) {
	cfg := r.config()
	led, err := r.openLedger(ctx, r.disconnected)
	if err != nil {
		return nil, err
	}
	warnings, err := led.Check(ctx, cfg.Outbox.Mapping)
	if err != nil {
		return nil, errors.Join(err, led.Close(ctx))
	}
	for _, w := range warnings {
		r.log.Warn().Str("table", cfg.Outbox.Mapping.Table).Msg(w)
	}
	return led, nil
}

// openLedger connects a ledger.
func (r *Relay) openLedger(ctx context.Context, disconnected func(error)) (*ledger.Ledger, error) {
	cfg := r.config()
	return ledger.Open(ctx, ledger.Options{
		URL: cfg.Database.URL, AppName: cfg.Database.Slot, Logger: r.log, Disconnected: disconnected,
	})
}

// disconnected ends the hold, or what prepares it, when a connection of the ledger is lost: a
// server that shuts down waits until the replication connection is closed, and that one hears
// nothing.
func (r *Relay) disconnected(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err = fmt.Errorf("database connection lost: %w", err)
	switch {
	case r.holding != nil:
		r.holding.end(err)
	case r.lost != nil:
		r.lost(fmt.Errorf("%w: %w", errEnded, err))
	}
}

// isPassing says that trying again may help although nobody changes the config or the database: it
// is out of reach, starting, or full.
func isPassing(err error) bool {
	if errors.Is(err, postgres.ErrUnreadable) || errors.Is(err, postgres.ErrWALMissing) || errors.Is(err, ledger.ErrDeposed) ||
		errors.Is(err, errEnded) || errors.Is(err, errElsewhere) {
		return true
	}
	if pglink.State(err) != "" {
		return pglink.Passes(err)
	}
	return pglink.Passes(err) ||
		errors.Is(err, postgres.ErrConnection) || errors.Is(err, postgres.ErrServerStopped) ||
		errors.Is(err, postgres.ErrSlotMissing) || errors.Is(err, postgres.ErrSlotLost) || errors.Is(err, postgres.ErrStandby) ||
		errors.Is(err, postgres.ErrSynchronous) ||
		errors.Is(err, ledger.ErrUncertain)
}
