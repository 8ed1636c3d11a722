package relay_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// wary is a receiver that answers challenges once it is told to.
type wary struct {
	mu     sync.Mutex
	echoes bool
	asked  int
	got    []string
}

func (w *wary) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var ev struct {
		Type string `json:"type"`
		Data struct {
			Challenge string `json:"challenge"`
		} `json:"data"`
	}
	_ = json.Unmarshal(body, &ev)
	w.mu.Lock()
	defer w.mu.Unlock()
	if ev.Type == "webhook.verification" {
		w.asked++
		if w.echoes {
			_, _ = io.WriteString(out, `{"challenge":"`+ev.Data.Challenge+`"}`)
		}
		return
	}
	w.got = append(w.got, r.Header.Get("webhook-id"))
}

func (w *wary) set(echoes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.echoes = echoes
}

func (w *wary) events() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string{}, w.got...)
}

// TestVerification_comesBeforeTheFirstEvent: of an endpoint of the API, and again after its URL has
// changed; what waits goes out when a person has it asked.
func TestVerification_comesBeforeTheFirstEvent(t *testing.T) {
	t.Parallel()
	receiver := new(wary)
	server := httptest.NewServer(receiver)
	t.Cleanup(server.Close)
	b := setupQueue(t)
	b.hook = server.URL + "/a"
	id := b.endpoint(t, `, "verify": "echo", "ordering": "strict"`)
	const waits = "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = $1 AND reason = 'unverified' AND state = 'pending'"
	insert := func() { b.exec(t, "INSERT INTO outbox (type, payload) VALUES ('a', '{}')") }
	insert()
	insert()
	b.awaitCount(t, 2, waits, id)
	b.awaitCount(t, 1, "SELECT count(*) FROM tailpost.endpoint WHERE id = $1 AND verified IS NULL AND verify_error LIKE '%does not hold the challenge%'", id)
	b.awaitCount(t, 0, "SELECT count(*) FROM tailpost.attempt WHERE endpoint_id = $1 AND outcome <> 'retry'", id) // nothing was given up: it asks again
	_, shown := ask(t, http.DefaultClient, http.MethodGet, b.url+"/v1/endpoints/"+id, "")
	require.Equal(t, true, shown["unverified"])
	require.Contains(t, shown["verify_error"], "does not hold the challenge")
	came := b.post(t, "/v1/endpoints/"+id+"/verify", "")
	require.Equal(t, false, came["verified"])
	require.Contains(t, came["problem"], "does not hold the challenge")
	require.Empty(t, receiver.events())

	receiver.set(true)
	came = b.post(t, "/v1/endpoints/"+id+"/verify", "")
	require.Equal(t, true, came["verified"], "%v", came)
	receiver.set(false) // nobody but the person has heard it
	b.awaitCount(t, 0, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = $1", id)
	require.Len(t, receiver.events(), 2)
	require.Equal(t, b.ids(t), receiver.events(), "in their order")
	_, shown = ask(t, http.DefaultClient, http.MethodGet, b.url+"/v1/endpoints/"+id, "")
	require.NotContains(t, shown, "unverified")
	require.NotContains(t, shown, "verify_error")

	status, _ := ask(t, http.DefaultClient, http.MethodPatch, b.url+"/v1/endpoints/"+id, `{"url": "`+server.URL+`/b"}`)
	require.Equal(t, http.StatusOK, status)
	insert()
	b.awaitCount(t, 1, waits, id)
	receiver.set(true)
	// The relay asks by itself.
	b.awaitCount(t, 0, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = $1", id)
	require.Len(t, receiver.events(), 3)
	b.awaitCount(t, 1, "SELECT count(*) FROM tailpost.endpoint WHERE id = $1 AND verified_at IS NOT NULL AND verify_error IS NULL", id)
	require.Positive(t, b.count(t, "SELECT count(*) FROM tailpost.attempt WHERE endpoint_id = $1 AND event_type = 'webhook.verification' AND trigger = 'test' AND outcome = 'delivered'", id))
	require.Zero(t, b.count(t, "SELECT count(*) FROM tailpost.endpoint WHERE failing_since IS NOT NULL"), "it says nothing of its health")

	status, _ = ask(t, http.DefaultClient, http.MethodPatch, b.url+"/v1/endpoints/"+id, `{"verify": null}`)
	require.Equal(t, http.StatusOK, status)
	status, refused := ask(t, http.DefaultClient, http.MethodPost, b.url+"/v1/endpoints/"+id+"/verify", "")
	require.Equal(t, http.StatusConflict, status, "%v", refused)
}

// TestVerification_isOfTheWholeURL: what that has shown is kept without what may be
// secret in it.
func TestVerification_isOfTheWholeURL(t *testing.T) {
	t.Parallel()
	receiver := &wary{echoes: true}
	server := httptest.NewServer(receiver)
	t.Cleanup(server.Close)
	var name string
	b := setupQueue(t, func(c *config.Config) {
		name = "erp"
		c.Endpoints = append(c.Endpoints, config.Endpoint{
			ID: name, URL: server.URL + "/?token=hunter2", Verify: config.VerifyEcho,
			Secrets: []config.Secret{config.NewSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")},
		})
	})
	b.exec(t, "INSERT INTO outbox (type, payload) VALUES ('a', '{}')")
	b.awaitCount(t, 1, "SELECT count(*) FROM tailpost.endpoint WHERE id = $1 AND verified IS NOT NULL AND verified NOT LIKE '%hunter2%'", name)
	b.awaitCount(t, 1, "SELECT count(*) FROM tailpost.attempt WHERE endpoint_id = $1 AND trigger <> 'test' AND outcome = 'delivered'", name)
	_, shown := ask(t, http.DefaultClient, http.MethodGet, b.url+"/v1/endpoints/"+name, "")
	require.Equal(t, "echo", shown["verify"])
	require.NotContains(t, shown, "unverified", "what the row has of the URL is not all of it")
}
