package integration_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
)

// TestWhatReceiversOfBatchesAskFor: what public reports say of batches elsewhere. Each case is a
// receiver, and what becomes of a mixed lot of events that includes one without a payload and one
// that is larger than a body may be.
func TestWhatReceiversOfBatchesAskFor(t *testing.T) {
	t.Parallel()
	const bytesOf, large = 20_000, 60_000
	retries := "\n  retry { schedule = [\"30ms\", \"30ms\", \"30ms\", \"30ms\", \"30ms\", \"30ms\"] }"
	var once atomic.Bool
	for name, test := range map[string]struct {
		hcl     string
		behaves kit.Behaviour
		zipped  bool
	}{
		"it takes all":            {behaves: kit.Statuses(http.StatusOK)},
		"bodies are compressed":   {hcl: "\n  gzip = true", behaves: kit.Statuses(http.StatusOK), zipped: true},
		"it expands what it gets": {hcl: "\n  subscription {\n    body = { a = event.data, b = event.data, c = event.id }\n  }", behaves: kit.Statuses(http.StatusOK)},
		"it is too slow once": {hcl: "\n  timeout = \"300ms\"", behaves: func(ctx context.Context, _ http.ResponseWriter, _ kit.Request) int {
			if once.CompareAndSwap(false, true) {
				<-ctx.Done()
			}
			return http.StatusOK
		}},
		"it takes no body above 3 kB, but for one event": {behaves: func(_ context.Context, _ http.ResponseWriter, r kit.Request) int {
			if len(r.Body) > 3000 && bytes.Count(r.Body, []byte(`"type":"order.created"`)) > 1 {
				return http.StatusRequestEntityTooLarge
			}
			return http.StatusOK
		}},
		"it asks to wait":  {behaves: kit.First(kit.Respond(http.StatusTooManyRequests, "", "Retry-After", "1"), kit.Statuses(http.StatusOK))},
		"it hangs up once": {behaves: kit.First(kit.Reset(), kit.Statuses(http.StatusOK))},
		"it lies once":     {hcl: "\n  answer = \"complete\"", behaves: kit.First(kit.Lie(), kit.Statuses(http.StatusOK))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.receiver.On("/erp", test.behaves)
			endpoint := b.endpoint("erp", "batch {\n events = 25\n bytes = \"20KB\"\n wait = \"50ms\"\n}"+test.hcl+retries)
			relay := kit.StartDelivering(t, kit.Options{Config: b.db.Config(endpoint)})
			var events []outbox.Event
			for i := range 120 {
				e := kit.Event("order.created", fmt.Sprintf(`{"n": %d, "text": "%s<é>\u2028"}`, i, strings.Repeat("x", i*7)))
				switch i {
				case 17:
					e.Payload = nil
				case 60:
					e.Payload = []byte(`{"n": 60, "text": "` + strings.Repeat("y", large) + `"}`)
				}
				events = append(events, e)
			}
			ids := b.db.Insert(t, events...)
			b.db.AwaitCount(t, 120, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
			b.db.AwaitEmptyQueue(t)
			require.Zero(t, relay.Stop(t))
			webhook, err := standardwebhooks.NewWebhook(endpoint.Secret[0])
			require.NoError(t, err)
			come := map[string]bool{}
			most := 0
			for _, r := range b.receiver.Requests("/erp") {
				require.NoError(t, webhook.Verify(r.Body, r.Header))
				if test.zipped && r.Header.Get("Content-Encoding") == "gzip" {
					unpacked, err := gzip.NewReader(bytes.NewReader(r.Body))
					require.NoError(t, err)
					r.Body, err = io.ReadAll(unpacked)
					require.NoError(t, err)
				}
				require.True(t, json.Valid(r.Body))
				got := idsOf(t, r)
				require.True(t, len(r.Body) <= bytesOf || len(got) == 1, "%d bytes of %d events", len(r.Body), len(got))
				most = max(most, len(got))
				for _, id := range got {
					come[id] = true
				}
			}
			require.Len(t, come, len(ids))
			require.Greater(t, most, 1)
			b.db.CheckStats(t, "erp")
		})
	}
}

// TestAStopWhileEventsWaitForCompany: what waits for others when the relay stops, or when the
// endpoint loses its batches, is neither lost nor sent twice.
func TestAStopWhileEventsWaitForCompany(t *testing.T) {
	t.Parallel()
	b := setup(t)
	slow := func(hcl string) kit.Config { return b.db.Config(b.endpoint("erp", "park_after = \"20s\"\n"+hcl)) }
	waiting := slow("batch {\n wait = \"9s\"\n}")
	relay := kit.StartDelivering(t, kit.Options{Config: waiting})
	first := b.db.Insert(t, orders(5)...)
	relay.Stop(t)
	require.Empty(t, b.receiver.Requests("/erp"), "they waited")
	relay = kit.StartDelivering(t, kit.Options{Config: waiting, Args: []string{"--watch=false"}})
	second := b.db.Insert(t, orders(5)...)
	relay.Reload(t, slow("").HCL())
	relay.Await(t, kit.LogReloaded, nil)
	third := b.db.Insert(t, orders(5)...)
	b.db.AwaitCount(t, 15, "SELECT count(DISTINCT event_id) FROM tailpost.attempt WHERE outcome = 'delivered'")
	require.Equal(t, 15, b.db.Count(t, "SELECT count(*) FROM tailpost.attempt"))
	require.Len(t, append(append(first, second...), third...), 15)
	require.Zero(t, relay.Stop(t))
}
