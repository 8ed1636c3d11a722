package relay_test

import (
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay"
	"github.com/tailpost/tailpost/relay/signature"
)

// read returns the answer to a GET with the key, without following a redirect.
func read(t *testing.T, address string) (status int, text string, header http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+apiKey)
	res, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(body), res.Header
}

// TestWhatTheConfigurationHasIsServed: metrics at their own address and at the API's, the panel
// where a browser first looks.
func TestWhatTheConfigurationHasIsServed(t *testing.T) {
	t.Parallel()
	r := serving(t, func(c *config.Config) { c.Metrics = config.Metrics{Listen: "127.0.0.1:0"} })
	for _, address := range []string{r.MetricsAddress(), r.APIAddress()} {
		status, text, _ := read(t, "http://"+address+"/metrics")
		require.Equal(t, http.StatusOK, status, text)
		require.Contains(t, text, "\ntailpost_epoch 1\n")
	}
	status, _, header := read(t, "http://"+r.APIAddress()+"/")
	require.Equal(t, http.StatusFound, status)
	status, text, _ := read(t, "http://"+r.APIAddress()+header.Get("Location"))
	require.Less(t, status, http.StatusBadRequest, text)
}

// TestWhatTheConfigurationHasNotIsNotServed: metrics alone open no API, and nothing of either is
// open where there is neither.
func TestWhatTheConfigurationHasNotIsNotServed(t *testing.T) {
	t.Parallel()
	for listen, metrics := range map[string]bool{"127.0.0.1:0": true, "": false} {
		db := kit.NewDatabase(t)
		r := delivering(t, &config.Config{
			Database: config.Database{URL: config.NewSecret(db.URL), Slot: db.Slot}, Outbox: config.Outbox{Mapping: outbox.DefaultMapping()},
			Metrics:   config.Metrics{Listen: listen},
			Endpoints: []config.Endpoint{{ID: "erp", URL: "https://example.com/", Secrets: []config.Secret{config.NewSecret(signature.GenerateSecret())}}},
		}, nil)
		require.Empty(t, r.APIAddress())
		require.Equal(t, metrics, r.MetricsAddress() != "")
		if metrics {
			status, _, _ := read(t, "http://"+r.MetricsAddress()+"/metrics")
			require.Equal(t, http.StatusOK, status)
		}
	}
}

// TestAnAddressThatIsTakenLeavesNoneOpen: Run ends with an error that says so, and what it had
// opened by then is free again.
func TestAnAddressThatIsTakenLeavesNoneOpen(t *testing.T) {
	t.Parallel()
	listen := func(address string) (net.Listener, error) {
		return (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	}
	taken, err := listen("127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	free, err := listen("127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, free.Close())
	cfg := complete(t, &config.Config{
		Database: config.Database{URL: config.NewSecret("postgres://nobody@localhost/none")},
		API:      config.API{Listen: free.Addr().String()}, Metrics: config.Metrics{Listen: taken.Addr().String()},
	})
	r, err := relay.New(cfg, relay.Options{})
	require.NoError(t, err)
	require.ErrorContains(t, r.Run(t.Context()), taken.Addr().String())
	again, err := listen(free.Addr().String())
	require.NoError(t, err)
	require.Empty(t, r.APIAddress())
	require.NoError(t, again.Close())
}
