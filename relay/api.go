package relay

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sync/errgroup"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/api"
	"github.com/tailpost/tailpost/relay/internal/ledger/store"
	"github.com/tailpost/tailpost/relay/internal/seal"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// APIConnections is how many connections to the database the API has open at most, beside those of the relay itself.
const APIConnections = store.Connections

// APIAddress is where the API listens; empty: it does not.
func (r *Relay) APIAddress() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener == nil {
		return ""
	}
	return r.listener.Addr().String()
}

// withAPI runs deliver, and beside it the API where the configuration has one. Whichever ends first ends the other.
func (r *Relay) withAPI(ctx context.Context, deliver func(context.Context) error) error {
	cfg := r.config()
	if !cfg.API.Enabled() {
		return deliver(ctx)
	}
	listener, err := api.Listen(ctx, &cfg.API)
	if err != nil {
		return err
	}
	if err := r.listens(listener, cfg); err != nil {
		_ = listener.Close() // nobody was answered yet
		return err
	}
	st, err := store.Open(ctx, store.Options{URL: cfg.Database.URL, Owner: r.opts.Owner, Mapping: cfg.Outbox.Mapping})
	if err != nil {
		_ = listener.Close() // nobody was answered yet
		return err
	}
	defer st.Close()
	server := api.New(api.Options{
		Store: st, Config: r.config, Keyring: r.keys, Client: r.sendingClient, Status: r.apiStatus, Logger: r.log,
	})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Serve(ctx, listener, r.opts.Grace) })
	group.Go(func() error { return deliver(ctx) })
	return group.Wait()
}

// listens notes where the API listens, so that no webhook goes there. A port that was left to the system is known only
// now.
func (r *Relay) listens(listener net.Listener, cfg *config.Config) error {
	r.mu.Lock()
	r.listener = listener
	r.mu.Unlock()
	r.log.Info().Str("address", listener.Addr().String()).Bool("tls", cfg.API.TLS != config.TLS{}).
		Int("keys", len(cfg.API.Keys)).Msg("the API listens")
	client, err := r.newClient(cfg)
	if err != nil {
		return err
	}
	senders, err := build(client, cfg)
	if err != nil {
		client.Close()
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.client.Close()
	r.client, r.senders = client, senders
	return nil
}

// ownListeners are the addresses that no webhook may go to.
func (r *Relay) ownListeners() ([]netip.AddrPort, error) {
	address := r.APIAddress()
	if address == "" {
		return nil, nil
	}
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("read the address of the API: %w", err)
	}
	return []netip.AddrPort{at}, nil
}

func (r *Relay) keys() *seal.Keyring {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keyring
}

func (r *Relay) sendingClient() *webhook.Client {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.client
}

func (r *Relay) apiStatus() api.Status {
	s := r.Status()
	return api.Status{State: string(s.State), Slot: s.Slot, Owner: s.Owner, Epoch: s.Epoch}
}
