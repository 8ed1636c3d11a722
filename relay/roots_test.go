package relay_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
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

// A bundle of certificates that was replaced on disk holds from the next reload on, without a
// restart.
func TestAReloadTakesNewAuthorities(t *testing.T) {
	t.Parallel()
	var got atomic.Int64
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got.Add(1)
	}))
	t.Cleanup(receiver.Close)
	db := kit.NewDatabase(t)
	cfg, err := config.Config{
		Database: config.Database{URL: config.NewSecret(db.URL), Slot: db.Slot},
		Outbox:   config.Outbox{Mapping: outbox.DefaultMapping()},
		Network:  config.Network{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Endpoints: []config.Endpoint{{
			ID: "erp", URL: receiver.URL, Secrets: []config.Secret{config.NewSecret(signature.GenerateSecret())},
			Retry: config.Retry{Schedule: []time.Duration{100 * time.Millisecond, 100 * time.Millisecond, 24 * time.Hour}},
		}},
	}.Complete()
	require.NoError(t, err)
	var bundle atomic.Pointer[x509.CertPool]
	bundle.Store(x509.NewCertPool())
	r, err := relay.New(cfg, relay.Options{Grace: time.Second, Roots: func() (*x509.CertPool, error) { return bundle.Load(), nil }})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-done)
	})
	db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.relay WHERE epoch > 0")
	db.Insert(t, kit.Event("order.created", `{}`))
	db.AwaitCount(t, 3, "SELECT count(*) FROM tailpost.attempt WHERE error LIKE '%authority%'")

	trusted := x509.NewCertPool()
	trusted.AddCert(receiver.Certificate())
	bundle.Store(trusted)
	require.NoError(t, r.Reload(t.Context(), cfg))
	db.Insert(t, kit.Event("order.created", `{}`))
	db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
	require.EqualValues(t, 1, got.Load())

	// Those of the network block are trusted beside the others, and taken at a reload too.
	bundle.Store(x509.NewCertPool())
	require.NoError(t, r.Reload(t.Context(), cfg))
	db.Insert(t, kit.Event("order.created", `{}`))
	db.AwaitCount(t, 6, "SELECT count(*) FROM tailpost.attempt WHERE error LIKE '%authority%'")
	own := *cfg
	own.Network.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: receiver.Certificate().Raw}))
	require.NoError(t, r.Reload(t.Context(), &own))
	db.Insert(t, kit.Event("order.created", `{}`))
	db.AwaitCount(t, 2, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
}
