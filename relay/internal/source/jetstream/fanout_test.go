package jetstream_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http/httptest"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/source/jetstream"
)

// The partition of an endpoint must never change: its rows have it.
func TestPartitionOf(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]int{"": 5, "erp": 2, "ep_0198a000": 10, "é": 1} {
		require.Equal(t, want, jetstream.PartitionOf(id, 16), id)
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 1000).Draw(t, "partitions")
		p := jetstream.PartitionOf(rapid.String().Draw(t, "endpoint"), n)
		require.GreaterOrEqual(t, p, 0)
		require.Less(t, p, n)
	})
	seen := make(map[int]int)
	for i := range 16_000 {
		seen[jetstream.PartitionOf(fmt.Sprintf("ep_%d", i), 16)]++
	}
	for p := range 16 {
		require.InDelta(t, 1000, seen[p], 250, "partition %d", p)
	}
}

func TestOpenMakesTheStreams(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	js := admin(t, n.Addr().String())
	o := options(n.Addr().String())
	f := open(t, o)
	require.True(t, f.Connected())
	open(t, o) // they are there
	for i := range 2 {
		s, err := js.Stream(t.Context(), fmt.Sprintf("TAILPOST_s_2_%02d", i))
		require.NoError(t, err)
		c := s.CachedInfo().Config
		require.Equal(t, []string{fmt.Sprintf("TAILPOST.s.2.%02d", i)}, c.Subjects)
		require.Equal(t, natsjs.FileStorage, c.Storage)
		require.Equal(t, natsjs.LimitsPolicy, c.Retention)
		require.Zero(t, c.MaxAge)
		require.EqualValues(t, -1, c.MaxBytes)
		require.False(t, c.AllowDirect)
	}
	f.Close()
	f.Close()
	require.False(t, f.Connected())
}

func TestAStreamThatIsSetUpOtherwiseIsRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	js := admin(t, n.Addr().String())
	_, err := js.CreateStream(t.Context(), natsjs.StreamConfig{
		Name: stream0, Subjects: []string{"TAILPOST.s.2.00"}, MaxAge: 1e9, MaxBytes: 1000, Storage: natsjs.MemoryStorage,
	})
	require.NoError(t, err)
	_, err = jetstream.Open(t.Context(), options(n.Addr().String()))
	require.ErrorContains(t, err, "its storage must be file, it must have no max age, it must have no max bytes")
	require.ErrorContains(t, err, "nats stream edit "+stream0)
}

func TestAServerWithoutJetStreamIsRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t, func(o *server.Options) { o.JetStream = false })
	_, err := jetstream.Open(t.Context(), options(n.Addr().String()))
	require.ErrorContains(t, err, "make stream "+stream0)
}

// Who vouches for a server is said beside its URL, and asks for TLS whatever that says.
func TestTheServerIsOneThatTheRootsVouchFor(t *testing.T) {
	t.Parallel()
	authority := httptest.NewTLSServer(nil)
	t.Cleanup(authority.Close)
	n := newNode(t, func(o *server.Options) {
		o.TLS, o.TLSConfig = true, &tls.Config{Certificates: authority.TLS.Certificates, MinVersion: tls.VersionTLS12}
	})
	o := options(n.Addr().String())
	_, err := jetstream.Open(t.Context(), o)
	require.ErrorContains(t, err, "certificate")
	o.Roots = x509.NewCertPool()
	o.Roots.AddCert(authority.Certificate())
	open(t, o)
}

func TestOptionsOfAConfiguration(t *testing.T) {
	t.Parallel()
	cfg, roots, log := &config.Config{}, x509.NewCertPool(), zerolog.New(io.Discard)
	cfg.Database.Slot = "slot"
	cfg.Fanout = config.Fanout{
		URL: config.NewSecret("url"), Partitions: 7, Replicas: 3, Credentials: config.NewSecret("creds"),
		Token: config.NewSecret("token"), User: "user", Password: config.NewSecret("password"),
	}
	require.Equal(t, jetstream.Options{
		URL: cfg.Fanout.URL, Credentials: cfg.Fanout.Credentials, Token: cfg.Fanout.Token, User: "user",
		Password: cfg.Fanout.Password, Roots: roots, Slot: "slot", Partitions: 7, Replicas: 3, Logger: log,
	}, jetstream.OptionsOf(cfg, roots, log))
}

func TestNoErrorShowsWhatAuthenticates(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t"
	n := newNode(t, func(o *server.Options) { o.Username, o.Password = "tailpost", "another" })
	address := n.Addr().String()
	for name, change := range map[string]func(*jetstream.Options){
		"token":         func(o *jetstream.Options) { o.Token = config.NewSecret(secret) },
		"password":      func(o *jetstream.Options) { o.User, o.Password = "tailpost", config.NewSecret(secret) },
		"URL":           func(o *jetstream.Options) { o.URL = config.NewSecret("nats://tailpost:" + secret + "@" + address) },
		"broken URL":    func(o *jetstream.Options) { o.URL = config.NewSecret("nats://tailpost:" + secret + "%zz@" + address) },
		"second broken": func(o *jetstream.Options) { o.URL = config.NewSecret("nats://" + address + ",nats://:" + secret) },
		"no host":       func(o *jetstream.Options) { o.URL = config.NewSecret("nats://u:" + secret + "@") },
		"credentials":   func(o *jetstream.Options) { o.Credentials = config.NewSecret(secret) },
		"nobody there":  func(o *jetstream.Options) { o.URL = config.NewSecret("nats://u:" + secret + "@127.0.0.1:1") },
		"control char":  func(o *jetstream.Options) { o.URL = config.NewSecret("nats://u:" + secret + "\x01@127.0.0.1:1") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			o := options(address)
			o.Logger = zerolog.New(&log)
			change(&o)
			_, err := jetstream.Open(t.Context(), o)
			require.Error(t, err)
			require.NotContains(t, err.Error(), secret)
			require.NotContains(t, fmt.Sprintf("%+v %#v", err, err), secret)
			require.NotContains(t, log.String(), secret)
		})
	}
	o := options(address)
	o.User, o.Password = "tailpost", config.NewSecret("another")
	open(t, o)
	broken := o
	broken.Credentials = config.NewSecret(secret)
	_, err := jetstream.Open(t.Context(), broken)
	require.ErrorContains(t, err, "seed", "credentials are not left aside")
	require.NotContains(t, err.Error(), secret)
	o.Partitions = 0
	_, err = jetstream.Open(t.Context(), o)
	require.Error(t, err)
}
