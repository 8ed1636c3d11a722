package relay

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/fleet"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/seal"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// errAnew ends a hold because what changed concerns everything that it has in memory: an endpoint's
// ordering, by which its deliveries are queued, the network, the versions of events, or the keys
// that open secrets.
var errAnew = fmt.Errorf("the configuration changed: %w", dispatch.ErrOrderly)

// ErrRestart is the error of a Reload that is in effect, but for what only a restart can change.
var ErrRestart = errors.New("restart tailpost for the rest")

// settings are a configuration and what is made of it. They are immutable: a reload makes others.
type settings struct {
	cfg     *config.Config
	clients clients
	senders map[string]*webhook.Endpoint
	keyring *seal.Keyring
	roots   *x509.CertPool // nil: the system's
	made    time.Time
}

// settings returns the present ones.
func (r *Relay) settings() *settings {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.set
}

func (r *Relay) config() *config.Config { return r.settings().cfg }

func (r *Relay) keys() *seal.Keyring { return r.settings().keyring }

// ofFleet returns the settings as partitions have them.
func (s *settings) ofFleet() fleet.Settings {
	return fleet.Settings{Config: s.cfg, Endpoints: s.endpoints, Tenants: s.clients.tenants, Keys: s.keyring, Roots: s.roots, Is: s}
}

// newFleet returns the relay's part in a fleet; nil: it delivers what it reads.
func newFleet(r *Relay) *fleet.Fleet {
	return fleet.New(&r.set.cfg.Fanout, fleet.Options{
		Settings: func() fleet.Settings { return r.settings().ofFleet() }, OpenLedger: r.openLedger, Queued: queued,
		Committed: r.counted, Trace: func() fleet.Trace { return traceFunc(r) }, Owner: r.opts.Owner, Grace: r.opts.Grace, Logger: r.log,
	})
}

// build makes settings of a config. The clients of others are kept where the network and the
// authorities are the same.
func (r *Relay) build(cfg *config.Config, others *settings) (*settings, error) {
	s := &settings{cfg: cfg, made: time.Now()}
	var err error
	if s.keyring, err = seal.New(cfg.Secrets); err != nil {
		return nil, err
	}
	if r.opts.Roots != nil {
		if s.roots, err = r.opts.Roots(); err != nil {
			return nil, err
		}
	}
	if s.roots, err = cfg.Network.Roots(s.roots); err != nil {
		return nil, err
	}
	if others != nil && others.sameWay(s) {
		s.clients = others.clients
	} else if s.clients, err = r.newClients(cfg, s.roots); err != nil {
		return nil, err
	}
	if s.senders, err = build(s.clients, cfg); err != nil {
		s.close(others)
		return nil, err
	}
	return s, nil
}

// sameWay reports whether requests go out by the same network, to receivers that the same
// authorities vouch for, and payloads are held against the same schemas.
func (s *settings) sameWay(others *settings) bool {
	return s.cfg.Catalogue.Equal(&others.cfg.Catalogue) && sameNetwork(s.cfg.Network, others.cfg.Network) && sameNetwork(s.cfg.API.Network, others.cfg.API.Network) &&
		(s.roots == others.roots || s.roots.Equal(others.roots))
}

// close closes idle connections, but for what others go on with; requests in flight end as they
// would.
func (s *settings) close(others *settings) {
	closeAll(s.senders)
	if others == nil || s.clients != others.clients {
		s.clients.Close()
	}
}

// Reload swaps the config of a running relay: everything is built and written first, then swapped,
// so that an error changes nothing, unless it is ErrRestart: then all is in effect but what the
// error names. Events read from then on are routed by the new endpoints. Concurrent calls take
// turns.
func (r *Relay) Reload(ctx context.Context, cfg *config.Config) error {
	r.reloading.Lock()
	defer r.reloading.Unlock()
	err := r.reload(ctx, cfg)
	taken := err == nil || errors.Is(err, ErrRestart)
	r.rare.Reloaded(!taken) // before the log says so: its reader may look at the metrics next
	if taken {
		r.log.Info().Int("endpoints", len(r.settings().cfg.Endpoints)).Msg("configuration reloaded")
	}
	return err
}

// ReloadRefused counts, for the metrics, a configuration that could not be read, and so came to no
// Reload.
func (r *Relay) ReloadRefused() { r.rare.Reloaded(true) }

func (r *Relay) reload(ctx context.Context, cfg *config.Config) error {
	old := r.settings()
	cfg, restart := fixed(old.cfg, cfg)
	next, err := r.build(cfg, old)
	if err != nil {
		return err
	}
	if err := r.swap(ctx, old, next); err != nil {
		next.close(old)
		return err
	}
	old.close(next)
	return restart
}

// swap has the relay go on with other settings. An error means that it goes on with the old ones.
func (r *Relay) swap(ctx context.Context, old, next *settings) error {
	r.mu.Lock()
	led, h := r.ledger, r.holding
	r.mu.Unlock()
	var endpoints []dispatch.Endpoint
	var routing int64
	if h != nil {
		var err error
		if endpoints, routing, err = r.write(ctx, led, h, old, next); err != nil {
			return fmt.Errorf("reload: %w", err)
		}
	}
	if h == nil && led != nil {
		if err := usable(ctx, led, next.cfg); err != nil {
			return fmt.Errorf("reload: %w", err)
		}
	}
	if err := r.readdress(led, old.cfg.Database.URL, next.cfg.Database.URL); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	r.mu.Lock()
	r.set = next
	next.clients.keepHeaders(next.cfg.Attempts.Headers)
	holding := r.holding
	r.mu.Unlock()
	r.fleet.Reload(ctx, next.ofFleet(), old.concernsAll(next))
	switch {
	case holding == nil:
		// Standing by, or the slot is being taken: what holds it next begins with the new settings,
		// or finds out and begins again.
	case holding != h, old.concernsAll(next), old.cfg.Retention.Attempts != next.cfg.Retention.Attempts: // the audit holds a copy
		holding.end(errAnew)
	default:
		h.dispatcher.SetSearch(next.cfg.Outbox.Search)
		h.reader.Route(routing) // before anything is routed so
		h.dispatcher.Reload(endpoints)
		h.follow(ctx, next.cfg, endpoints)
	}
	return nil
}

// write writes down what a hold goes on with, and returns the endpoints as the table has them and,
// where they are published to, the number of their routing.
func (r *Relay) write(ctx context.Context, led *ledger.Ledger, h *holding, old, next *settings) (endpoints []dispatch.Endpoint, routing int64, err error) {
	now := time.Now()
	endpoints = next.endpoints()
	if !old.concernsAll(next) {
		if err := queued(ctx, led, endpoints, now); err != nil {
			return nil, 0, err
		}
	}
	if err := r.mirror(ctx, led, next.cfg, endpoints, now); err != nil {
		return nil, 0, err
	}
	if err := r.note(ctx, led, h.hold, next.cfg, now); err != nil {
		return nil, 0, err
	}
	if h.reader != nil {
		routing, err = led.Route(ctx, h.hold, next.cfg.Routing(), false)
	}
	return endpoints, routing, err
}

// readdress has the next connections go to another address, or with another password. Those that
// stand are left alone.
func (r *Relay) readdress(led *ledger.Ledger, old, next config.Secret) error {
	if old.Equal(next) {
		return nil
	}
	r.mu.Lock()
	st := r.store
	r.mu.Unlock()
	if st != nil {
		if err := st.Readdress(next); err != nil {
			return err
		}
	}
	if led != nil {
		return led.Readdress(next)
	}
	return nil
}

// lookTime bounds the look at a database that may be out of reach, for example because what is
// reloaded has its new password.
const lookTime = 2 * time.Second

// usable returns why the endpoints of a config cannot be written, without writing them: another
// relay may hold the slot. A database that does not answer says nothing.
func usable(ctx context.Context, led *ledger.Ledger, cfg *config.Config) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	if err := led.Mirrorable(ctx, cfg.Endpoints); ledger.NameTaken(err) {
		return err
	}
	return nil
}

// follow has endpoints take the status that their rows have by now: that of one which the
// dispatcher did not know, and which was paused since it was read, would be lost.
func (h *holding) follow(ctx context.Context, cfg *config.Config, endpoints []dispatch.Endpoint) {
	states, err := h.ledger.Mirror(ctx, cfg.Endpoints, time.Now())
	if err != nil {
		h.end(errAnew) // the next hold reads them
		return
	}
	for i := range endpoints {
		if id := endpoints[i].Config.ID; endpoints[i].State != states[id] {
			h.dispatcher.SetState(id, states[id])
		}
	}
}

// concernsAll reports whether what changed concerns everything that a hold has in memory.
func (s *settings) concernsAll(next *settings) bool {
	return reordered(s.cfg, next.cfg) || !s.cfg.Versions.Equal(next.cfg.Versions) || s.clients != next.clients || !sameKeys(s.cfg.Secrets, next.cfg.Secrets)
}

// fixed returns a config with what only a restart can change as it was, and an error that names it;
// nil: there is nothing of that.
func fixed(old, cfg *config.Config) (*config.Config, error) {
	c := *cfg
	var problems []error
	keep := func(what string) { problems = append(problems, errors.New(what)) }
	if old.Database.Slot != c.Database.Slot || !sameDatabase(old.Database.URL, c.Database.URL) {
		keep("the database block changed: restart tailpost to use another database or slot")
		c.Database = old.Database
	}
	search := c.Outbox.Search
	c.Outbox.Search = old.Outbox.Search
	if !reflect.DeepEqual(old.Outbox, c.Outbox) {
		keep("the outbox block changed: restart tailpost to read another table")
		c.Outbox = old.Outbox
	}
	c.Outbox.Search = search
	if old.API.Listen != c.API.Listen || old.API.TLS != c.API.TLS {
		keep("the address or the tls block of the API changed: restart tailpost to listen in another way")
		if !c.API.Enabled() {
			c.API = old.API // it is served until then, and not without its keys
		}
		c.API.Listen, c.API.TLS = old.API.Listen, old.API.TLS
	}
	if !old.Fanout.Equal(&c.Fanout) {
		keep("the fanout block changed: restart tailpost to fan out in another way")
		c.Fanout = old.Fanout
	}
	if old.Metrics != c.Metrics {
		keep("the metrics block changed: restart tailpost to serve metrics in another way")
		c.Metrics = old.Metrics
	}
	if old.Log != c.Log {
		keep("the log block changed: restart tailpost to log in another way")
		c.Log = old.Log
	}
	if len(problems) == 0 {
		return &c, nil
	}
	return &c, fmt.Errorf("reload: %w; %w", errors.Join(problems...), ErrRestart)
}

// sameDatabase reports whether two addresses are of the same database: they may differ in role,
// password and options.
func sameDatabase(a, b config.Secret) bool {
	if a.Equal(b) {
		return true
	}
	was, err := pglink.ParseConfig(a.Reveal())
	if err != nil {
		return false
	}
	is, err := pglink.ParseConfig(b.Reveal())
	return err == nil && was.Host == is.Host && was.Port == is.Port && was.Database == is.Database
}

func sameNetwork(a, b config.Network) bool {
	return slices.Equal(a.Allow, b.Allow) && a.AllowHTTP == b.AllowHTTP && a.Proxy.Equal(b.Proxy) &&
		a.ProxyResolves == b.ProxyResolves && slices.Equal(a.NoProxy, b.NoProxy)
}

func sameKeys(a, b config.Secrets) bool {
	return slices.EqualFunc(a.Keys, b.Keys, config.Secret.Equal)
}

func reordered(old, cfg *config.Config) bool {
	ordering := make(map[string]config.Ordering, len(old.Endpoints))
	for i := range old.Endpoints {
		ordering[old.Endpoints[i].ID] = old.Endpoints[i].Ordering
	}
	for i := range cfg.Endpoints {
		if o, ok := ordering[cfg.Endpoints[i].ID]; ok && o != cfg.Endpoints[i].Ordering {
			return true
		}
	}
	return false
}
