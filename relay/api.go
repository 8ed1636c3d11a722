package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/api"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/panel"
	"github.com/tailpost/tailpost/relay/internal/query"
	"github.com/tailpost/tailpost/relay/internal/telemetry"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// APIConnections is how many connections to the database the API and the metrics have open at most,
// beside those of the relay itself.
const APIConnections = query.Connections

// APIAddress is where the API listens; empty: it does not.
func (r *Relay) APIAddress() string { return r.address(func() net.Listener { return r.listener }) }

// MetricsAddress is where metrics are served; empty: they are not.
func (r *Relay) MetricsAddress() string {
	return r.address(func() net.Listener { return r.metricsListener })
}

func (r *Relay) address(of func() net.Listener) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := of(); l != nil {
		return l.Addr().String()
	}
	return ""
}

// withServers runs deliver, and beside it the API and the metrics where the configuration has them.
// Whichever ends first ends the others.
func (r *Relay) withServers(ctx context.Context, deliver func(context.Context) error) error {
	cfg := r.config()
	if !cfg.API.Enabled() && !cfg.Metrics.Enabled() && r.opts.Readings == nil {
		return withTelemetry(ctx, r, deliver)
	}
	if err := r.listen(ctx, cfg); err != nil {
		return err
	}
	st, err := query.Open(ctx, query.Options{URL: cfg.Database.URL, Owner: r.opts.Owner, Mapping: cfg.Outbox.Mapping})
	if err != nil {
		r.unlisten()
		return err
	}
	defer st.Close()
	r.mu.Lock()
	r.store = st
	r.mu.Unlock()
	group, ctx := errgroup.WithContext(ctx)
	options := api.Options{
		Store: st, Config: r.config, Keyring: r.keys, Client: r.sendingClient, Status: r.apiStatus, Admission: r.admission, Logger: r.log,
	}
	if cfg.Metrics.Enabled() || r.opts.Readings != nil {
		m := r.newMetrics(st)
		// Before deliver begins, which looks at it at each hold.
		r.metrics, options.Metrics = m, m.Text
		if cfg.Metrics.Enabled() {
			group.Go(func() error { return m.Serve(ctx, r.metricsListener) })
		}
	}
	if cfg.API.Enabled() {
		server := api.New(options)
		r.mountPanel(server, st)
		group.Go(func() error { return server.Serve(ctx, r.listener, r.opts.Grace) })
	}
	group.Go(func() error { return withTelemetry(ctx, r, deliver) })
	return group.Wait()
}

// listen opens the listeners of the configuration and notes where they are, so that no webhook goes
// there. A port that was left to the system is known only now.
func (r *Relay) listen(ctx context.Context, cfg *config.Config) (err error) {
	var listener, metricsListener net.Listener
	if cfg.API.Enabled() {
		if listener, err = api.Listen(ctx, &cfg.API, r.log); err != nil {
			return err
		}
		r.log.Info().Str("address", listener.Addr().String()).Bool("tls", cfg.API.TLS != config.TLS{}).
			Int("keys", len(cfg.API.Keys)).Msg("the API listens")
	}
	if cfg.Metrics.Enabled() {
		if metricsListener, err = telemetry.Listen(ctx, &cfg.Metrics); err != nil {
			if listener != nil {
				_ = listener.Close() // nobody was answered yet
			}
			return err
		}
		r.log.Info().Str("address", metricsListener.Addr().String()).Msg("metrics are served")
	}
	r.mu.Lock()
	r.listener, r.metricsListener = listener, metricsListener
	r.mu.Unlock()
	if err := r.avoidOwn(cfg); err != nil {
		r.unlisten()
		return err
	}
	return nil
}

// unlisten closes the listeners, before anybody was answered.
func (r *Relay) unlisten() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range []net.Listener{r.listener, r.metricsListener} {
		if l != nil {
			_ = l.Close() // nobody was answered yet
		}
	}
}

// avoidOwn makes the clients anew, now that it is known where not to send.
func (r *Relay) avoidOwn(cfg *config.Config) error {
	set, err := r.build(cfg, nil)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set.close(nil)
	r.set = set
	return nil
}

// ownListeners are the addresses that no webhook may go to.
func (r *Relay) ownListeners() ([]netip.AddrPort, error) {
	own := slices.Clone(r.opts.Listeners)
	for _, address := range []string{r.APIAddress(), r.MetricsAddress()} {
		if address == "" {
			continue
		}
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return nil, fmt.Errorf("read an address of this relay: %w", err)
		}
		own = append(own, at)
	}
	return own, nil
}

// sendingClient returns what requests to an endpoint of the configuration, or to another, go out
// by.
func (r *Relay) sendingClient(configured bool) *webhook.Client {
	made := r.settings().clients
	if configured {
		return made.own
	}
	return made.tenants
}

// admission returns how much an endpoint is sent now, by this process.
func (r *Relay) admission(id string) (api.Admission, bool) {
	var a dispatch.Admission
	ok := false
	for _, d := range dispatchers(r) {
		if a, ok = d.Admission(id); ok {
			break
		}
	}
	if !ok {
		return api.Admission{}, false
	}
	shown := api.Admission{Admitting: a.Admitting, Concurrency: a.Concurrency, InFlight: a.InFlight, Rate: a.Rate}
	if !a.PausedUntil.IsZero() {
		until := a.PausedUntil.UTC()
		shown.PausedUntil = &until
	}
	return shown, ok
}

func (r *Relay) apiStatus() api.Status {
	r.mu.Lock()
	s, led, loaded := r.status, r.ledger, r.set.made
	r.mu.Unlock()
	status := api.Status{State: string(s.State), Slot: s.Slot, Owner: s.Owner, Epoch: s.Epoch, LoadedAt: loaded}
	if led != nil {
		status.Unrecorded = led.Unrecorded()
	}
	status.Unpublished, status.Alone = unpublished(r)
	return status
}

// newMetrics makes the metrics of this process.
func (r *Relay) newMetrics(st *query.Store) *telemetry.Metrics {
	return telemetry.New(telemetry.Options{
		Store: st, Slot: r.Status().Slot, Version: r.opts.Version, Status: r.metricsStatus,
		LogDropped: r.opts.LogDropped, Clocks: r.clocks, Certificates: &r.certificates, Rare: &r.rare, Settings: r.metricsSettings,
		Unaccounted: func(ctx context.Context) (int, error) {
			return api.Unaccounted(ctx, st, r.Status().Slot, r.config().Versions)
		},
		States: []string{string(Starting), string(Standby), string(Delivering), string(Draining), string(Stopped)},
	})
}

func (r *Relay) metricsSettings() telemetry.Settings {
	set := r.settings()
	return telemetry.Settings{AuditInterval: set.cfg.Outbox.AuditInterval, Retention: set.cfg.Retention.Attempts, LoadedAt: set.made}
}

func (r *Relay) metricsStatus() telemetry.Status {
	status := r.Status()
	s := telemetry.Status{State: string(status.State), Epoch: status.Epoch, Fanout: fanoutStatus(r)}
	for _, d := range dispatchers(r) {
		s.InFlight += d.InFlight()
		deliveries, bytes := d.InMemory()
		s.Deliveries, s.Bytes = s.Deliveries+deliveries, s.Bytes+bytes
		for id, a := range d.Limited() {
			s.Limited = append(s.Limited, telemetry.Limited{Endpoint: id, Admitting: a.Admitting, Concurrency: a.Concurrency})
		}
		s.LocalFailures += d.LocalFailures()
		s.Oldest = earlier(s.Oldest, d.Oldest())
	}
	return s
}

// earlier returns the earlier of two times; the zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// mountPanel serves the panel and the customer portal beside the API; the root leads to the panel.
func (r *Relay) mountPanel(server *api.Server, st *query.Store) {
	pages := panel.New(panel.Options{
		API: server, Sessions: sessions{st}, Config: r.config, Version: r.opts.Version, Logger: r.log,
	})
	server.Mount(panel.Root, pages)
	server.Mount(panel.PortalRoot, pages)
	server.Mount("GET /{$}", http.RedirectHandler(panel.Root, http.StatusFound))
}

// sessions are the panel's, kept in the database.
type sessions struct{ store *query.Store }

func (s sessions) OpenSession(ctx context.Context, open panel.Session) error {
	return s.store.OpenSession(ctx, query.Login(open))
}

func (s sessions) Session(ctx context.Context, hash []byte) (panel.Session, error) {
	login, err := s.store.Session(ctx, hash)
	if errors.Is(err, query.ErrNotFound) {
		return panel.Session{}, panel.ErrNoSession
	}
	return panel.Session(login), err
}

func (s sessions) SeeSession(ctx context.Context, hash []byte, at time.Time) error {
	return s.store.SeeSession(ctx, hash, at)
}

func (s sessions) CloseSession(ctx context.Context, hash []byte) error {
	return s.store.CloseSession(ctx, hash)
}

func (s sessions) SweepSessions(ctx context.Context, created, seen time.Time) error {
	return s.store.SweepSessions(ctx, created, seen)
}
