package relay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source/postgres"
)

// What a reload cannot take stays as it was and is named; all else is taken.
func TestAReloadNamesWhatOnlyARestartCanChange(t *testing.T) {
	t.Parallel()
	database := func(url string) config.Secret { return config.NewSecret(url) }
	old := config.Config{
		Database: config.Database{URL: database("postgres://app@db:5432/shop"), Slot: "tailpost"},
		Outbox:   config.Outbox{Retention: time.Hour},
		API:      config.API{Listen: "127.0.0.1:8080", Keys: []config.APIKey{{Name: "ci"}}},
		Metrics:  config.Metrics{Listen: "127.0.0.1:9090"},
		Log:      config.Log{Level: "info"},
	}
	for name, test := range map[string]struct {
		change func(c *config.Config)
		named  string // empty: the reload takes it
	}{
		"another slot":        {func(c *config.Config) { c.Database.Slot = "other" }, "the database block"},
		"another host":        {func(c *config.Config) { c.Database.URL = database("postgres://app@else:5432/shop") }, "the database block"},
		"another port":        {func(c *config.Config) { c.Database.URL = database("postgres://app@db:5433/shop") }, "the database block"},
		"another database":    {func(c *config.Config) { c.Database.URL = database("postgres://app@db:5432/else") }, "the database block"},
		"another role":        {func(c *config.Config) { c.Database.URL = database("postgres://relay:word@db:5432/shop") }, ""},
		"another retention":   {func(c *config.Config) { c.Outbox.Retention = 2 * time.Hour }, "the outbox block"},
		"another search":      {func(c *config.Config) { c.Outbox.Search = &config.Search{} }, ""},
		"another address":     {func(c *config.Config) { c.API.Listen = "127.0.0.1:8081" }, "the address or the tls block of the API"},
		"no API any more":     {func(c *config.Config) { c.API = config.API{} }, "the address or the tls block of the API"},
		"another key":         {func(c *config.Config) { c.API.Keys = []config.APIKey{{Name: "me"}} }, ""},
		"another certificate": {func(c *config.Config) { c.API.TLS.Cert = "cert.pem" }, "the address or the tls block of the API"},
		"another fan-out":     {func(c *config.Config) { c.Fanout.Partitions = 4 }, "the fanout block"},
		"other metrics":       {func(c *config.Config) { c.Metrics.Listen = "127.0.0.1:9091" }, "the metrics block"},
		"another log":         {func(c *config.Config) { c.Log.Level = "debug" }, "the log block"},
		"other endpoints":     {func(c *config.Config) { c.Endpoints = []config.Endpoint{{ID: "erp"}} }, ""},
	} {
		next := old
		test.change(&next)
		got, err := fixed(&old, &next)
		if test.named == "" {
			require.NoError(t, err, name)
			require.Equal(t, &next, got, name)
			continue
		}
		require.ErrorIs(t, err, ErrRestart, name)
		require.ErrorContains(t, err, test.named, name)
		require.Equal(t, &old, got, name)
	}
}

// Another ordering concerns what a hold has in memory: what waits there is in the order of before.
func TestAnotherOrderingIsNoticed(t *testing.T) {
	t.Parallel()
	of := func(order config.Ordering, more ...string) *config.Config {
		c := &config.Config{Endpoints: []config.Endpoint{{ID: "erp", Ordering: order}}}
		for _, id := range more {
			c.Endpoints = append(c.Endpoints, config.Endpoint{ID: id, Ordering: config.OrderingKey})
		}
		return c
	}
	require.False(t, reordered(of(config.OrderingNone), of(config.OrderingNone)))
	require.True(t, reordered(of(config.OrderingNone), of(config.OrderingKey)))
	require.True(t, reordered(of(config.OrderingKey), of(config.OrderingNone)))
	require.False(t, reordered(of(config.OrderingNone), of(config.OrderingNone, "crm")), "one that comes has nothing in memory")
	require.False(t, reordered(of(config.OrderingNone, "crm"), of(config.OrderingNone)), "nor has one that goes")
}

// TestAnotherSealingKeyIsNoticed, whichever it is of several: what it opens can be used from now
// on, or no longer.
func TestAnotherSealingKeyIsNoticed(t *testing.T) {
	t.Parallel()
	of := func(keys ...string) *settings {
		s := &settings{cfg: &config.Config{}}
		for _, key := range keys {
			s.cfg.Secrets.Keys = append(s.cfg.Secrets.Keys, config.NewSecret(key))
		}
		return s
	}
	require.False(t, of("a", "b").concernsAll(of("a", "b")))
	for _, next := range [][]string{{"a", "c"}, {"a", "b", "c"}, {"a"}, {"b", "a"}, nil} {
		require.True(t, of("a", "b").concernsAll(of(next...)), "%q", next)
	}
}

// A start that fails is tried again where that may help although nobody changes anything.
func TestWhatIsTriedAgain(t *testing.T) {
	t.Parallel()
	state := func(code string) error { return &pgconn.PgError{Code: code} }
	for _, passing := range []error{
		postgres.ErrUnreadable, postgres.ErrWALMissing, postgres.ErrConnection, postgres.ErrServerStopped, postgres.ErrSlotMissing,
		postgres.ErrSlotLost, postgres.ErrStandby, ledger.ErrDeposed, ledger.ErrUncertain, errEnded, errElsewhere,
		&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, state("57P03"), state("53300"), // it is starting; it has too many connections
	} {
		require.True(t, isPassing(fmt.Errorf("take the slot: %w", passing)), "%v", passing)
	}
	for _, lasting := range []error{
		errors.New("anything else"), state("3D000"), state("42501"), // no such database; not allowed
		fmt.Errorf("%w: %w", postgres.ErrConnection, state("3D000")), // the server says more than that it was not reached
	} {
		require.False(t, isPassing(fmt.Errorf("take the slot: %w", lasting)), "%v", lasting)
	}
}

// A partition that has nothing to do does not hide the one that is stuck.
func TestTheOldestIsThatOfWhoHasSome(t *testing.T) {
	t.Parallel()
	none, noon := time.Time{}, time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for _, pair := range [][2]time.Time{{noon, none}, {none, noon}, {noon, noon.Add(time.Minute)}, {noon.Add(time.Minute), noon}} {
		require.Equal(t, noon, earlier(pair[0], pair[1]))
	}
	require.Zero(t, earlier(none, none))
}

// TestAnotherNetworkIsAnotherWay, whichever setting of it changed, for the operator's endpoints and
// for those of tenants: connections of before do not go on.
func TestAnotherNetworkIsAnotherWay(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(n *config.Network){
		"Allow":         func(n *config.Network) { n.Allow = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} },
		"AllowHTTP":     func(n *config.Network) { n.AllowHTTP = true },
		"Proxy":         func(n *config.Network) { n.Proxy = config.NewSecret("http://proxy:3128") },
		"ProxyResolves": func(n *config.Network) { n.ProxyResolves = true },
		"NoProxy":       func(n *config.Network) { n.NoProxy = []string{"localhost"} },
	} {
		was, is := &settings{cfg: &config.Config{}}, &settings{cfg: &config.Config{}}
		require.True(t, was.sameWay(is))
		change(&is.cfg.Network)
		require.False(t, was.sameWay(is), name)
		change(&was.cfg.Network)
		require.True(t, was.sameWay(is), name)
		change(&is.cfg.API.Network)
		require.False(t, was.sameWay(is), "of tenants: %s", name)
	}
}
