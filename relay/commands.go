package relay

import (
	"context"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/api"
	"github.com/tailpost/tailpost/relay/internal/doctor"
	"github.com/tailpost/tailpost/relay/internal/heal"
	"github.com/tailpost/tailpost/relay/internal/plan"
	"github.com/tailpost/tailpost/relay/internal/query"
	"github.com/tailpost/tailpost/relay/internal/upkeep"
)

// Reseal seals the signing secrets and header values of all endpoints made through the API under
// the first key of the configuration, so that the other keys can go once running relays have read
// the change. It returns how many endpoints were sealed under another key, or had header values
// that were not sealed. All or nothing is changed; a secret that no configured key opens is an
// error that names its endpoint. Relays may run.
func Reseal(ctx context.Context, cfg *config.Config, log zerolog.Logger) (changed int, err error) {
	return upkeep.Reseal(ctx, cfg, log)
}

// ClearGaps lets relays heal gaps again, now that a person has seen why there were more than they
// heal within an hour: those until now do not count any more. It returns why a heal is due, which
// the next relay to take the slot does; empty: none is. Relays may run.
func ClearGaps(ctx context.Context, cfg *config.Config, log zerolog.Logger) (due string, err error) {
	return heal.ClearGaps(ctx, cfg, log)
}

// Finding is the result of one check of Diagnose.
type Finding struct {
	Check  string // the name of what was looked at: the same in every release
	Grade  string // "ok", "warning", or "failure": a relay would not start, or would not deliver
	Detail string // what was found
	Fix    string // what exactly mends it; empty: nothing needs it, or Detail says it
}

// DiagnoseOptions say what Diagnose looks at beside the database, and what no database tells.
type DiagnoseOptions struct {
	Receivers bool  // examine the receivers too
	Free      int64 // bytes that the database's disk has left; 0: not known
}

// Diagnose examines the database of a configuration, NATS where it has a fan-out, and its receivers
// if asked, and returns what it found in the order in which a person would mend it. It changes
// nothing and sends no event. Relays may run.
func Diagnose(ctx context.Context, cfg *config.Config, o DiagnoseOptions) []Finding {
	found := doctor.Database(ctx, cfg, doctor.Options{Now: time.Now(), Free: o.Free})
	if o.Receivers {
		found = append(found, doctor.Endpoints(ctx, cfg, time.Now())...)
	}
	findings := make([]Finding, len(found))
	for i, f := range found {
		findings[i] = Finding{Check: f.Check, Grade: string(f.Grade), Detail: f.Detail, Fix: f.Fix}
	}
	return findings
}

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

// Plan lists what a configuration would change: endpoints, which of the newest events they get, and
// what is queued for them.
type Plan = plan.Plan

// PlannedVersion is a version block that comes, changes or goes, with the endpoints whose data that
// changes.
type PlannedVersion = plan.Version

// MakePlan compares a configuration with what a relay read last, and changes nothing. Relays may
// run. A change of a secret, of a header's value or of what is redacted of a URL is not seen: the
// database does not have them. Nor is one of where a relay connects, listens and logs. A name that
// an endpoint of the API has is an error, as it is for a relay.
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
