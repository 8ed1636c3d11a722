package integration_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// echo answers challenges while it is told to, counts them, and takes everything else.
func echo(echoes *atomic.Bool, asked *atomic.Int64) kit.Behaviour {
	return func(_ context.Context, w http.ResponseWriter, r kit.Request) int {
		var ev struct {
			Type string `json:"type"`
			Data struct {
				Challenge string `json:"challenge"`
			} `json:"data"`
		}
		if json.Unmarshal(r.Body, &ev) == nil && ev.Type == "webhook.verification" {
			asked.Add(1)
			if !echoes.Load() {
				return http.StatusNotFound
			}
			_, _ = io.WriteString(w, ev.Data.Challenge)
		}
		return http.StatusOK
	}
}

// TestWhatAnEndpointHasShownOutlivesTheRelay: it is not asked again after kill -9, and what it did
// not show before is asked for by the next relay.
func TestWhatAnEndpointHasShownOutlivesTheRelay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var wants, refuses atomic.Bool
	var asked, refused atomic.Int64
	wants.Store(true)
	b.receiver.On("/erp", echo(&wants, &asked))
	b.receiver.On("/crm", echo(&refuses, &refused))
	config := b.db.Config(b.endpoint("erp", `verify = "echo"`), b.endpoint("crm", `verify = "echo"`))
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	first := b.db.Insert(t, orders(3)...)
	b.receiver.AwaitIDs(t, "/erp", first...)
	b.db.AwaitCount(t, 3, "SELECT count(*) FROM tailpost.undelivered WHERE endpoint_id = 'crm' AND reason = 'unverified'")
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	relay.Kill()

	wants.Store(false)
	refuses.Store(true)
	relay = kit.StartDelivering(t, kit.Options{Config: config})
	second := b.db.Insert(t, orders(2)...)
	b.receiver.AwaitIDs(t, "/erp", second...)
	require.EqualValues(t, 1, asked.Load())
	b.receiver.AwaitIDs(t, "/crm", append(first, second...)...)
	b.db.AwaitEmptyQueue(t)
	require.Zero(t, relay.Stop(t))
}
