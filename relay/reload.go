package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/seal"
)

// errAnew ends a hold because what changed concerns everything that it has in memory: an endpoint's ordering, by which its
// deliveries are queued, the network, or the keys that open secrets.
var errAnew = errors.New("the configuration changed")

// Reload swaps the config of a running relay: everything is built first, then swapped, so that an error changes nothing.
// Events read from then on are routed by the new endpoints. What belongs to the connection or the outbox cannot change:
// that is an error that says so. Concurrent calls take turns.
func (r *Relay) Reload(ctx context.Context, cfg *config.Config) error {
	r.reloading.Lock()
	defer r.reloading.Unlock()
	old := r.config()
	if err := fixed(old, cfg); err != nil {
		return err
	}
	keyring, err := seal.New(cfg.Secrets)
	if err != nil {
		return err
	}
	r.mu.Lock()
	made, former := r.clients, r.senders
	r.mu.Unlock()
	anew := !sameNetwork(old.Network, cfg.Network) || !sameNetwork(old.API.Network, cfg.API.Network)
	if anew {
		if made, err = r.newClients(cfg); err != nil {
			return err
		}
	}
	senders, err := build(made, cfg)
	if err != nil {
		if anew {
			made.Close()
		}
		return err
	}
	r.mu.Lock()
	led, dispatcher, holding, formerClients := r.ledger, r.current, r.holding, r.clients
	r.cfg, r.clients, r.senders, r.keyring = cfg, made, senders, keyring
	r.mu.Unlock()
	// Requests in flight keep their connections; idle ones go.
	if anew {
		defer formerClients.Close()
	}
	defer closeAll(former)
	switch {
	case dispatcher == nil:
		// Standing by or between two holds: the next hold begins with the new config.
	case reordered(old, cfg), anew, !sameKeys(old.Secrets, cfg.Secrets):
		holding.end(errAnew)
	default:
		endpoints, err := r.endpoints(ctx, led, cfg, time.Now())
		if err == nil {
			err = queued(ctx, led, endpoints, time.Now())
		}
		if err != nil {
			return fmt.Errorf("reload: %w", err)
		}
		dispatcher.Reload(endpoints)
	}
	r.log.Info().Int("endpoints", len(cfg.Endpoints)).Msg("configuration reloaded")
	return nil
}

// fixed says whether a config may follow another without a restart.
func fixed(old, cfg *config.Config) error {
	switch {
	case !old.Database.URL.Equal(cfg.Database.URL), !old.Database.ReplicationURL.Equal(cfg.Database.ReplicationURL),
		old.Database.Slot != cfg.Database.Slot:
		return errors.New("reload: the database block changed: restart tailpost to use another database or slot")
	case old.Outbox != cfg.Outbox:
		return errors.New("reload: the outbox block changed: restart tailpost to read another table")
	case old.API.Listen != cfg.API.Listen, old.API.TLS != cfg.API.TLS:
		return errors.New("reload: the address or the tls block of the API changed: restart tailpost to listen in another way")
	case old.Metrics != cfg.Metrics:
		return errors.New("reload: the metrics block changed: restart tailpost to serve metrics in another way")
	case old.Log != cfg.Log:
		return errors.New("reload: the log block changed: restart tailpost to log in another way")
	}
	return nil
}

func sameNetwork(a, b config.Network) bool {
	return slices.Equal(a.Allow, b.Allow) && a.AllowHTTP == b.AllowHTTP && a.Proxy.Equal(b.Proxy)
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
