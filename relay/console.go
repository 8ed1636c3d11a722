package relay

import (
	"context"
	"net/http"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/api"
	"github.com/tailpost/tailpost/relay/internal/plan"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// Console is the API of a database for whoever has its URL, whether a relay runs or not. It does
// what a relay's API does for a key without a tenant, takes no slot and delivers nothing but the
// test events that are asked for. It is safe for concurrent use.
type Console struct {
	relay  *Relay
	store  *query.Store
	server *api.Server
	actor  string
}

// OpenConsole connects to the database of a configuration. An error says what to do: it is out of
// reach, or its schema is not the one of this version. The audit names who makes changes as actor.
func OpenConsole(ctx context.Context, cfg *config.Config, actor string, o Options) (*Console, error) {
	r, err := New(cfg, o)
	if err != nil {
		return nil, err
	}
	st, err := query.Open(ctx, query.Options{URL: cfg.Database.URL, Mapping: cfg.Outbox.Mapping})
	if err != nil {
		r.settings().close(nil)
		return nil, err
	}
	c := &Console{relay: r, store: st, actor: actor}
	if err := st.Ready(ctx); err != nil {
		c.Close()
		return nil, err
	}
	c.server = api.New(api.Options{
		Store: st, Config: r.config, Keyring: r.keys, Client: r.sendingClient, Logger: r.log,
		Status: func() api.Status { return api.Status{State: string(Stopped), Slot: cfg.Database.Slot} },
	})
	return c, nil
}

// ServeHTTP implements http.Handler. No listener may serve it: it asks for no key.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.server.ServeOperator(w, r, c.actor)
}

// Close closes the connections. It waits for calls that run.
func (c *Console) Close() {
	c.store.Close()
	c.relay.settings().close(nil)
}

// Plan is what a configuration would change: endpoints, which of the newest events they get, and
// what is queued for them.
type Plan = plan.Plan

// MakePlan compares a configuration with what a relay read last, and changes nothing. Relays may
// run. A change of a secret, of a header's value or of what is redacted of a URL is not seen: the
// database does not have them. A name that an endpoint of the API has is an error, as it is for a
// relay.
func MakePlan(ctx context.Context, cfg *config.Config) (*Plan, error) {
	st, err := query.Open(ctx, query.Options{URL: cfg.Database.URL, Mapping: cfg.Outbox.Mapping})
	if err != nil {
		return nil, err
	}
	defer st.Close()
	if err := st.Ready(ctx); err != nil {
		return nil, err
	}
	return plan.Make(ctx, st, cfg)
}
