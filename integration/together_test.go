package integration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// seen is what a receiver of batches took of an event.
type seen struct {
	N       int    `json:"n"`
	Amount  int    `json:"amount"` // of the version before the newest
	Region  string `json:"region"`
	version string
	at      time.Time
}

// orderly takes batches, fails some of them, and keeps what it has taken of each key in order.
type orderly struct {
	t        kit.TB
	mu       sync.Mutex
	requests int
	most     int
	took     map[string]seen
	orders   map[string][]int // by key
}

func (o *orderly) serve(_ context.Context, _ http.ResponseWriter, r kit.Request) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.requests++; o.requests%5 == 0 {
		return http.StatusInternalServerError
	}
	var events []struct {
		ID   string `json:"id"`
		Data seen   `json:"data"`
	}
	if err := json.Unmarshal(r.Body, &events); err != nil {
		o.t.Errorf("a body that is no array: %.100s", r.Body)
	}
	o.most = max(o.most, len(events))
	for _, e := range events {
		if _, had := o.took[e.ID]; had {
			continue
		}
		e.Data.version, e.Data.at = r.Header.Get("Webhook-Version"), r.At
		o.took[e.ID] = e.Data
		key := fmt.Sprint(e.Data.N % keysTogether)
		o.orders[key] = append(o.orders[key], e.Data.N)
	}
	return http.StatusOK
}

const keysTogether = 7

// TestWhatAnEndpointMayAskForHoldsTogether: filters over further columns, an older version of the
// data, order, batches, times before and after which nothing is sent, refusals, and kill -9.
func TestWhatAnEndpointMayAskForHoldsTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.db.Run(t, "ALTER TABLE outbox ADD COLUMN region text, ADD COLUMN deliver_at timestamptz, ADD COLUMN expires_at timestamptz")
	receiver := &orderly{t: t, took: map[string]seen{}, orders: map[string][]int{}}
	b.receiver.On("/erp", receiver.serve)
	config := b.db.Config(b.endpoint("erp", `
  version  = "2025-01-01"
  ordering = "key"
  retry { schedule = [`+repeated("50ms", 40)+`] }
  batch {
    events = 20
    wait   = "20ms"
  }
  subscription {
    events = ["order.*"]
    where  = event.extra.region == "eu" && event.data.amount >= 0
    body   = { n = event.data.n, amount = event.data.amount, region = event.extra.region }
  }`), b.endpoint("plain", ""))
	config.Outbox = `columns = { deliver_at = "deliver_at", expires_at = "expires_at", extra = { region = "region" } }`
	config.More = `
version "2026-01-01" {
  event "order.*" {
    body = { n = event.data.n, amount = event.data.total.amount }
  }
}
version "2025-01-01" {}
`
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	const events = 700
	due := time.Now().Add(8 * time.Second)
	insert := func(from, to int) {
		b.db.Run(t, `
INSERT INTO outbox (id, type, key, payload, region, deliver_at, expires_at)
SELECT ('0198c7a2-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'order.paid', 'k' || n % $3::int,
       json_build_object('n', n, 'total', json_build_object('amount', 10 * n)), CASE WHEN n % 3 = 0 THEN 'us' ELSE 'eu' END,
       CASE WHEN n % 50 = 1 THEN $4::timestamptz END, CASE WHEN n % 11 = 0 THEN now() - interval '1 second' END
FROM generate_series($1::int, $2::int) AS n`, from, to-1, keysTogether, due)
	}
	for from := 0; from < events; from += events / 4 {
		insert(from, from+events/4)
		relay.Kill()
		relay = kit.StartDelivering(t, kit.Options{Config: config})
	}
	want := map[string]int{}
	for n := range events {
		if n%3 != 0 && n%11 != 0 {
			want[fmt.Sprintf("0198c7a2-0000-7000-8000-%012d", n)] = n
		}
	}
	kit.Eventually(t, kit.Patience, func() error {
		receiver.mu.Lock()
		defer receiver.mu.Unlock()
		if len(receiver.took) < len(want) {
			return fmt.Errorf("%d of %d events have arrived", len(receiver.took), len(want))
		}
		return nil
	})
	b.db.AwaitCount(t, 0, "SELECT count(*) FROM tailpost.delivery WHERE state = 'pending'")
	b.db.AwaitCount(t, len(want), "SELECT count(DISTINCT event_id) FROM tailpost.attempt WHERE endpoint_id = 'erp' AND outcome = 'delivered'")
	receiver.mu.Lock()
	defer receiver.mu.Unlock()
	require.Len(t, receiver.took, len(want))
	for id, n := range want {
		got := receiver.took[id]
		require.Equal(t, seen{N: n, Amount: 10 * n, Region: "eu", version: "2025-01-01", at: got.at}, got)
		if n%50 == 1 {
			require.False(t, got.at.Before(due), "%d came %s too early", n, due.Sub(got.at))
		}
	}
	require.Greater(t, receiver.most, 1)
	for key, order := range receiver.orders {
		require.IsIncreasing(t, order, "key %s", key)
	}
	expired := 0
	for n := range events {
		if n%11 == 0 {
			expired++
		}
	}
	require.Equal(t, expired, b.db.Count(t, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'plain' AND state = 'dead' AND reason = 'expired' AND attempts = 0"))
	require.Zero(t, relay.Stop(t))
}

// repeated is a list of as many equal texts.
func repeated(text string, n int) (list string) {
	for range n {
		list += fmt.Sprintf("%q, ", text)
	}
	return list
}
