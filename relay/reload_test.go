package relay_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay"
	"github.com/tailpost/tailpost/relay/signature"
)

var onLoopback = config.Network{AllowHTTP: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

// proxying is an egress proxy that counts the tunnels through it.
func proxying(t *testing.T) (address config.Secret, through *atomic.Int64) {
	t.Helper()
	through = new(atomic.Int64)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { tunnel(t.Context(), from, through) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		wg.Wait()
	})
	return config.NewSecret("http://" + listener.Addr().String()), through
}

// tunnel serves a connection to a proxy until one of its ends closes it.
func tunnel(ctx context.Context, from net.Conn, through *atomic.Int64) {
	defer from.Close()
	reader := bufio.NewReader(from)
	req, err := http.ReadRequest(reader)
	if err != nil || req.Method != http.MethodConnect {
		return
	}
	to, err := (&net.Dialer{}).DialContext(ctx, "tcp", req.Host)
	if err != nil {
		return
	}
	defer to.Close()
	through.Add(1)
	if _, err := io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(to, reader) // ends with the connection
		_ = to.Close()
	})
	_, _ = io.Copy(from, to)
	_ = from.Close()
	wg.Wait()
}

// delivering is a relay that runs until the test is over.
func delivering(t *testing.T, cfg *config.Config, roots *x509.CertPool) *relay.Relay {
	t.Helper()
	return running(t, complete(t, cfg), relay.Options{Grace: time.Second, Roots: func() (*x509.CertPool, error) { return roots, nil }})
}

// running is a relay with options, of a complete configuration, that delivers until the test is
// over.
func running(t *testing.T, cfg *config.Config, o relay.Options) *relay.Relay {
	t.Helper()
	r, err := relay.New(cfg, o)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-done)
	})
	requireDelivering(t, r)
	return r
}

func requireDelivering(t *testing.T, r *relay.Relay) {
	t.Helper()
	kit.Eventually(t, kit.Patience, func() error {
		if got := r.Status().State; got != relay.Delivering {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
}

func complete(t *testing.T, cfg *config.Config) *config.Config {
	t.Helper()
	done, err := cfg.Complete()
	require.NoError(t, err)
	return done
}

// TestAReloadTakesAnotherProxy: requests go out by the proxy that the configuration has now, or by
// none.
func TestAReloadTakesAnotherProxy(t *testing.T) {
	t.Parallel()
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	t.Cleanup(receiver.Close)
	roots := x509.NewCertPool()
	roots.AddCert(receiver.Certificate())
	db := kit.NewDatabase(t)
	cfg := &config.Config{
		Database: config.Database{URL: config.NewSecret(db.URL), Slot: db.Slot},
		Outbox:   config.Outbox{Mapping: outbox.DefaultMapping()},
		Network:  config.Network{Allow: onLoopback.Allow},
		Endpoints: []config.Endpoint{{
			ID: "erp", URL: receiver.URL, Secrets: []config.Secret{config.NewSecret(signature.GenerateSecret())},
		}},
	}
	first, before := proxying(t)
	second, after := proxying(t)
	cfg.Network.Proxy = first
	r := delivering(t, cfg, roots)
	for n, is := range []struct {
		proxy       config.Secret
		first, then int64
	}{{first, 1, 0}, {second, 1, 1}, {config.Secret{}, 1, 1}} {
		cfg.Network.Proxy = is.proxy
		if n > 0 {
			former := r.Status().Epoch
			require.NoError(t, r.Reload(t.Context(), complete(t, cfg)))
			kit.Eventually(t, kit.Patience, func() error { // a hold that has begun an event may end it
				if now := r.Status().Epoch; now == former {
					return fmt.Errorf("hold %d goes on", now)
				}
				return nil
			})
		}
		db.Insert(t, kit.Event("order.created", `{}`))
		db.AwaitCount(t, n+1, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
		require.Equal(t, []int64{is.first, is.then}, []int64{before.Load(), after.Load()}, "with proxy %d", n+1)
	}
}

// TestAReloadDecidesWhichEndpointsOfTheAPICanBeUsed: one whose secrets no key opens, or that is
// where it may not be, is sent nothing until the configuration says otherwise: then it gets what it
// should have had.
func TestAReloadDecidesWhichEndpointsOfTheAPICanBeUsed(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(c *config.Config){
		"another key":   func(c *config.Config) { c.Secrets.Keys = []config.Secret{config.NewSecret(otherKey)} },
		"no plain http": func(c *config.Config) { c.API.Network.AllowHTTP = false },
		"no loopback":   func(c *config.Config) { c.API.Network.Allow = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupRows(t)
			b.put(t, b.row(t, "ep_1", nil))
			good := config.Config{
				Database: config.Database{URL: config.NewSecret(b.db.URL), Slot: b.db.Slot},
				Outbox:   config.Outbox{Mapping: outbox.DefaultMapping()},
				Secrets:  config.Secrets{Keys: []config.Secret{config.NewSecret(sealKey)}},
				Network:  onLoopback, API: config.API{Network: onLoopback},
				Endpoints: []config.Endpoint{{
					ID: "erp", URL: b.receiver.URL("/erp"), Secrets: []config.Secret{config.NewSecret(b.secret)},
					Subscriptions: []config.Subscription{{Events: []string{"erp"}}},
				}},
			}
			bad := good
			change(&bad)
			r := delivering(t, &bad, nil)
			first := b.db.Insert(t, kit.Event("a", `{}`))
			const parked = "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'ep_1' AND reason = 'unusable'"
			b.db.AwaitCount(t, 1, parked)

			require.NoError(t, r.Reload(t.Context(), complete(t, &good)))
			b.receiver.AwaitIDs(t, "/ep_1", first...)
			b.db.AwaitEmptyQueue(t)

			require.NoError(t, r.Reload(t.Context(), complete(t, &bad)))
			second := b.db.Insert(t, kit.Event("a", `{}`))
			b.db.AwaitCount(t, 1, parked)
			require.Equal(t, 1, b.db.Count(t, "SELECT count(*) FROM tailpost.attempt"), "it is not even tried")
			require.NoError(t, r.Reload(t.Context(), complete(t, &good)))
			b.receiver.AwaitIDs(t, "/ep_1", append(first, second...)...)
			b.db.AwaitEmptyQueue(t)
			require.Len(t, b.receiver.Requests("/ep_1"), 2)
		})
	}
}

// TestAReloadTakesAnotherRole: the relay and its API go on when the role that they began with may
// not connect any more.
func TestAReloadTakesAnotherRole(t *testing.T) {
	t.Parallel()
	receiver := kit.NewReceiver(t)
	db := kit.NewDatabase(t)
	as := func(role string) config.Secret {
		at, err := url.Parse(db.URL)
		require.NoError(t, err)
		role = db.Slot + role
		db.Run(t, "CREATE ROLE "+role+" LOGIN SUPERUSER PASSWORD 'secret'")
		t.Cleanup(func() {
			_, err := db.Exec(context.WithoutCancel(t.Context()), "REASSIGN OWNED BY "+role+" TO CURRENT_USER; DROP ROLE "+role)
			require.NoError(t, err)
		})
		at.User = url.UserPassword(role, "secret")
		return config.NewSecret(at.String())
	}
	first, second := as("_1"), as("_2") // before the relay, so that they go after it
	cfg := &config.Config{
		Database: config.Database{URL: first, Slot: db.Slot}, Outbox: config.Outbox{Mapping: outbox.DefaultMapping()}, Network: onLoopback,
		Endpoints: []config.Endpoint{{ID: "erp", URL: receiver.URL("/erp"), Secrets: []config.Secret{config.NewSecret(signature.GenerateSecret())}}},
		API:       config.API{Listen: "127.0.0.1:0", Keys: []config.APIKey{{Name: "test", Secret: config.NewSecret(apiKey)}}},
	}
	r := delivering(t, cfg, nil)
	answers := func() error {
		if status, answer := ask(t, http.DefaultClient, http.MethodGet, "http://"+r.APIAddress()+"/v1/endpoints", ""); status != http.StatusOK {
			return fmt.Errorf("%d %v", status, answer)
		}
		return nil
	}
	require.NoError(t, answers())
	cfg.Database.URL = second
	require.NoError(t, r.Reload(t.Context(), complete(t, cfg)))
	db.Run(t, "ALTER ROLE "+db.Slot+"_1 NOLOGIN")
	db.Run(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", db.Slot+"_1")
	kit.Eventually(t, kit.Patience, answers)
	ids := db.Insert(t, kit.Event("order.created", `{}`))
	receiver.AwaitIDs(t, "/erp", ids...)
	db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
}

// TestAReloadLeavesTheFanoutToARestart: partitions have their owners and streams by it, so it stays
// as it was, the error names it without a secret, and the rest of the change is in effect.
func TestAReloadLeavesTheFanoutToARestart(t *testing.T) {
	t.Parallel()
	with := func(change func(f *config.Fanout)) *config.Config {
		f := config.Fanout{Engine: config.EngineNATS, URL: config.NewSecret("nats://n1"), Token: config.NewSecret("first-token")}
		change(&f)
		return complete(t, &config.Config{
			Database: config.Database{URL: config.NewSecret("postgres://localhost/none")}, Fanout: f,
			Endpoints: []config.Endpoint{{ID: "erp", URL: "https://erp.example.com", Secrets: []config.Secret{config.NewSecret(signature.GenerateSecret())}}},
		})
	}
	same := func(*config.Fanout) {}
	r, err := relay.New(with(same), relay.Options{})
	require.NoError(t, err)
	require.NoError(t, r.Reload(t.Context(), with(same)), "secrets are the same by what they say")
	for name, change := range map[string]func(f *config.Fanout){
		"another URL": func(f *config.Fanout) {
			f.URL = config.NewSecret("nats://user:second-token@n1")
			f.Token = config.Secret{}
		},
		"another token": func(f *config.Fanout) { f.Token = config.NewSecret("second-token") },
		"partitions":    func(f *config.Fanout) { f.Partitions = 17 },
		"replicas":      func(f *config.Fanout) { f.Replicas = 3 },
		"no fan-out":    func(f *config.Fanout) { *f = config.Fanout{} },
	} {
		err := r.Reload(t.Context(), with(change))
		require.ErrorIs(t, err, relay.ErrRestart, name)
		require.ErrorContains(t, err, "the fanout block changed: restart tailpost to fan out in another way", name)
		require.NotContains(t, err.Error(), "-token", name)
		require.NoError(t, r.Reload(t.Context(), with(same)), "%s: it is still as it was", name)
	}
	without, err := relay.New(with(func(f *config.Fanout) { *f = config.Fanout{} }), relay.Options{})
	require.NoError(t, err)
	require.ErrorIs(t, without.Reload(t.Context(), with(same)), relay.ErrRestart)
}
