package relay_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay"
	"github.com/tailpost/tailpost/relay/signature"
)

const apiKey = "a-key-to-the-api-of-the-tests"

// serving is a relay that runs with its API.
func serving(t *testing.T, change func(*config.Config)) *relay.Relay {
	t.Helper()
	db := pgschema.NewDB(t)
	_, err := schema.Migrate(t.Context(), db.Conn(t), schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
	require.NoError(t, err)
	local := config.Network{AllowHTTP: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	cfg := config.Config{
		Database: config.Database{URL: config.NewSecret(db.URL), Slot: db.Slot()},
		Network:  local,
		API:      config.API{Listen: "127.0.0.1:0", Keys: []config.APIKey{{Name: "test", Secret: config.NewSecret(apiKey)}}, Network: local},
		Secrets:  config.Secrets{Keys: []config.Secret{config.NewSecret(strings.Repeat("0a", 32))}},
	}
	if change != nil {
		change(&cfg)
	}
	complete, err := cfg.Complete()
	require.NoError(t, err)
	r, err := relay.New(complete, relay.Options{Grace: time.Second})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-done)
	})
	require.Eventually(t, func() bool { return r.APIAddress() != "" && r.Status().State == relay.Delivering }, 30*time.Second, 20*time.Millisecond)
	return r
}

func ask(t *testing.T, client *http.Client, method, url, body string) (status int, answer map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+apiKey)
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &answer), "%s", text)
	return res.StatusCode, answer
}

func TestAPIIsServedAndNoWebhookGoesThere(t *testing.T) {
	t.Parallel()
	r := serving(t, nil)
	url := "http://" + r.APIAddress()
	status, state := ask(t, http.DefaultClient, http.MethodGet, url+"/v1/relay", "")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, map[string]any{"owner": r.Status().Owner, "state": "delivering", "epoch": 1.0}, state["this"])

	_, made := ask(t, http.DefaultClient, http.MethodPost, url+"/v1/endpoints", `{"url": "`+url+`/v1/endpoints"}`)
	id, _ := made["id"].(string)
	status, attempt := ask(t, http.DefaultClient, http.MethodPost, url+"/v1/endpoints/"+id+"/test", "")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "dead", attempt["outcome"])
	require.Contains(t, attempt["error"], "this relay listens there")
}

// What network allows is for endpoints that the operator wrote down: a customer's reach no more
// than the api block allows, be it by a test or by events.
func TestEndpointsOfTheAPIReachWhatTheAPIBlockAllows(t *testing.T) {
	t.Parallel()
	receiver := kit.NewReceiver(t)
	secret := signature.GenerateSecret()
	address := strings.Replace(receiver.URL("/tenant"), "127.0.0.1", "localhost", 1)
	db := kit.NewDatabase(t)
	cfg := db.Config(kit.Endpoint{ID: "own", URL: receiver.URL("/own"), Secret: []string{secret}})
	cfg.More = "secrets {\n keys = [env(\"SEAL_KEY\")]\n}\napi {\n  listen = \"127.0.0.1:0\"\n  key \"test\" { secret = env(\"API_KEY\") }\n  network { allow_http = true }\n}\n"
	running := kit.StartDelivering(t, kit.Options{Config: cfg, Env: map[string]string{"SEAL_KEY": strings.Repeat("0a", 32), "API_KEY": apiKey}, Secrets: []string{secret}})
	url := fmt.Sprint("http://", running.Await(t, "the API listens", nil)["address"])

	status, made := ask(t, http.DefaultClient, http.MethodPost, url+"/v1/endpoints", `{"url": "`+address+`"}`)
	require.Equal(t, http.StatusCreated, status, made)
	id, _ := made["id"].(string)
	status, attempt := ask(t, http.DefaultClient, http.MethodPost, url+"/v1/endpoints/"+id+"/test", "")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "dead", attempt["outcome"])
	require.Contains(t, attempt["error"], "loopback")

	db.Insert(t, kit.Event("order.paid", `{}`))
	db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.attempt WHERE endpoint_id = 'own' AND outcome = 'delivered'")
	db.AwaitCount(t, 1, "SELECT least(count(*), 1) FROM tailpost.attempt WHERE endpoint_id = '"+id+"' AND trigger = 'stream' AND status_code IS NULL")
	require.Empty(t, receiver.Requests("/tenant"))
	status, _ = ask(t, http.DefaultClient, http.MethodPost, url+"/v1/endpoints/own/test", "")
	require.Equal(t, http.StatusOK, status)
	require.Len(t, receiver.Requests("/own"), 2)
}

func TestMetricsAreServedAndNoWebhookGoesThere(t *testing.T) {
	t.Parallel()
	var cfg config.Config
	r := serving(t, func(c *config.Config) {
		c.Metrics = config.Metrics{Listen: "127.0.0.1:0"}
		cfg = *c
	})
	require.NotEmpty(t, r.MetricsAddress())
	require.NotEqual(t, r.APIAddress(), r.MetricsAddress())
	url := "http://" + r.APIAddress()
	_, made := ask(t, http.DefaultClient, http.MethodPost, url+"/v1/endpoints", `{"url": "http://`+r.MetricsAddress()+`/metrics"}`)
	id, _ := made["id"].(string)
	status, attempt := ask(t, http.DefaultClient, http.MethodPost, url+"/v1/endpoints/"+id+"/test", "")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, attempt["error"], "this relay listens there")

	for name, change := range map[string]config.Metrics{"off": {}, "elsewhere": {Listen: "127.0.0.1:1"}} {
		other := cfg
		other.Metrics = change
		complete, err := other.Complete()
		require.NoError(t, err)
		require.ErrorContains(t, r.Reload(t.Context(), complete), "restart tailpost", name)
	}
}

func TestMetricsRefuseAPublicAddress(t *testing.T) {
	t.Parallel()
	cfg := config.Config{
		Database: config.Database{URL: config.NewSecret("postgres://nobody@localhost/none")},
		API:      config.API{Listen: "127.0.0.1:0"}, Metrics: config.Metrics{Listen: "127.0.0.1:0"},
	}
	complete, err := cfg.Complete()
	require.NoError(t, err)
	complete.Metrics.Listen = "0.0.0.0:0" // as an application could
	r, err := relay.New(complete, relay.Options{})
	require.NoError(t, err)
	require.ErrorContains(t, r.Run(t.Context()), "only a loopback address will do")
}

func TestEndpointMadeThroughTheAPIGetsEvents(t *testing.T) {
	t.Parallel()
	got := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { got <- req.Header.Get("webhook-id") }))
	t.Cleanup(receiver.Close)
	var database string
	r := serving(t, func(c *config.Config) { database = c.Database.URL.Reveal() })
	conn, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) })
	insert := func(id string) {
		_, err := conn.Exec(t.Context(), "INSERT INTO public.outbox (id, type, payload) VALUES ($1, 'order.created', '{}')", id)
		require.NoError(t, err)
	}
	const before, after = "018f0000-0000-7000-8000-000000000001", "018f0000-0000-7000-8000-000000000002"
	insert(before)
	status, made := ask(t, http.DefaultClient, http.MethodPost, "http://"+r.APIAddress()+"/v1/endpoints", `{"url": "`+receiver.URL+`"}`)
	require.Equal(t, http.StatusCreated, status, "%v", made)
	insert(after)
	select {
	case id := <-got:
		require.Equal(t, after, id, "what committed before the endpoint does not go to it")
	case <-time.After(30 * time.Second):
		t.Fatal("nothing arrived")
	}
}

func TestAPISpeaksTLS(t *testing.T) {
	t.Parallel()
	cert, key, pool := certificate(t)
	r := serving(t, func(c *config.Config) { c.API.TLS = config.TLS{Cert: cert, Key: key} })
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	t.Cleanup(client.CloseIdleConnections)
	status, _ := ask(t, client, http.MethodGet, "https://"+r.APIAddress()+"/readyz", "")
	require.Equal(t, http.StatusOK, status)
}

func TestAPIRefusesAPublicAddressWithoutAKey(t *testing.T) {
	t.Parallel()
	cfg := config.Config{
		Database: config.Database{URL: config.NewSecret("postgres://nobody@localhost/none")},
		API:      config.API{Listen: "0.0.0.0:0"},
	}
	_, err := cfg.Complete()
	require.ErrorContains(t, err, "Anybody who reaches this address could use it")

	cfg.API.Listen = "127.0.0.1:0"
	complete, err := cfg.Complete()
	require.NoError(t, err)
	complete.API.Listen = "0.0.0.0:0" // as an application could
	r, err := relay.New(complete, relay.Options{})
	require.NoError(t, err)
	require.ErrorContains(t, r.Run(t.Context()), "only a loopback address will do")
}

// certificate makes a self-signed one for 127.0.0.1.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	certPEM, keyPEM := kit.Certificate(t)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, []byte(certPEM), 0o600))
	require.NoError(t, os.WriteFile(key, []byte(keyPEM), 0o600))
	pool = x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM([]byte(certPEM)))
	return cert, key, pool
}
