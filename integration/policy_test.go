package integration_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
)

// ordered inserts n events over the keys, one transaction each, and returns the ids by key in
// commit order.
func ordered(t *testing.T, b *testBundle, n, keys int) map[string][]string {
	t.Helper()
	ids := map[string][]string{}
	for i := range n {
		e := kit.Event("order.changed", fmt.Sprintf(`{"n": %d}`, i))
		e.Key = fmt.Sprintf("k%d", i%keys)
		ids[e.Key] = append(ids[e.Key], b.db.Insert(t, e)...)
	}
	return ids
}

// requireOrder: the successes of each key arrived in commit order.
func requireOrder(t *testing.T, b *testBundle, endpoint string, ids map[string][]string) {
	t.Helper()
	for key, want := range ids {
		var got []string
		for _, a := range b.db.Attempts(t, endpoint) {
			for _, id := range want {
				if a.EventID == id && a.Outcome == "delivered" {
					got = append(got, id)
				}
			}
		}
		require.Equal(t, want, got, "key %s", key)
	}
}

func TestOrderByKeyHoldsThroughFailuresAndKills(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.On("/erp", kit.Random(7, kit.Statuses(200), kit.Statuses(200), kit.Statuses(404), kit.Statuses(500)))
	options := kit.Options{Config: b.db.Config(b.endpoint("erp", `
  ordering = "key"
  retry { schedule = ["20ms", "50ms", "100ms", "100ms", "100ms", "100ms", "100ms", "100ms", "100ms", "100ms", "100ms", "100ms", "1s", "1s", "1s"] }`))}
	first := kit.StartDelivering(t, options)
	ids := ordered(t, b, 60, 5)
	first.Kill()
	for key, more := range ordered(t, b, 60, 5) {
		ids[key] = append(ids[key], more...)
	}
	kit.StartDelivering(t, options)
	b.db.AwaitCount(t, 120, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
	b.db.AwaitEmptyQueue(t)
	requireOrder(t, b, "erp", ids)
}

func TestStrictOrderIsThatOfTheWholeEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.On("/erp", kit.Random(11, kit.Statuses(200), kit.Statuses(200), kit.Statuses(200), kit.Statuses(500)))
	kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", `
  ordering = "strict"
  retry { schedule = ["20ms", "20ms", "50ms", "50ms", "50ms", "50ms", "50ms", "50ms", "50ms", "50ms", "50ms", "50ms"] }`))})
	var all []string
	for range 40 {
		all = append(all, b.db.Insert(t, kit.Event("order.changed", `{}`))...)
	}
	b.db.AwaitCount(t, len(all), "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
	requireOrder(t, b, "erp", map[string][]string{"": all})
}

// What waited behind others in the order of its endpoint, and has no place in the one that a
// restart brings, if that brings one, waits for nothing any more.
func TestWhatHasNoKeyGoesOnceOnlyKeysHaveAnOrder(t *testing.T) {
	t.Parallel()
	for _, next := range []string{"key", "none"} {
		t.Run(next, func(t *testing.T) {
			t.Parallel()
			goesOnceTheOrderIs(t, next)
		})
	}
}

func goesOnceTheOrderIs(t *testing.T, next string) {
	t.Helper()
	b := setup(t)
	relay := kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", `ordering = "strict"`))})
	b.db.Run(t, "UPDATE tailpost.endpoint SET status = 'paused' WHERE id = 'erp'")
	relay.Await(t, "endpoint changed its status", nil)
	ids := b.db.Insert(t, kit.Event("order.changed", `1`), kit.Event("order.changed", `2`))
	b.db.AwaitCount(t, len(ids), "SELECT count(*) FROM tailpost.delivery")
	require.Zero(t, relay.Stop(t))
	b.db.Run(t, "UPDATE tailpost.delivery SET next_attempt_at = NULL") // as of what an earlier delivery goes before
	b.db.Run(t, "UPDATE tailpost.endpoint SET status = 'active' WHERE id = 'erp'")
	kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", fmt.Sprintf("ordering = %q", next)))})
	b.receiver.AwaitIDs(t, "/erp", ids...)
}

// Once failures in a row have opened the circuit, one request goes out each time that reopen is
// over, whatever is due and however much the endpoint may be sent at once.
func TestAnOpenCircuitLetsOnlyProbesOut(t *testing.T) {
	t.Parallel()
	const failures, reopen, probes = 3, 300 * time.Millisecond, 4
	for _, concurrency := range []int{1, 8} {
		t.Run(fmt.Sprintf("concurrency %d", concurrency), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var healthy atomic.Bool
			b.receiver.On("/erp", func(context.Context, http.ResponseWriter, kit.Request) int {
				if healthy.Load() {
					return http.StatusOK
				}
				return http.StatusInternalServerError
			})
			kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", fmt.Sprintf(`
  concurrency = %d
  circuit {
    failures = %d
    reopen   = %q
  }
  retry { schedule = [%s] }`, concurrency, failures, reopen, strings.Repeat(`"50ms", `, 20))))})
			b.db.Insert(t, orders(50)...)
			// The failure that opens the circuit may find all others of its kind in flight.
			most := failures + concurrency - 1
			requests := b.receiver.Await(t, "/erp", most+probes)
			healthy.Store(true)
			opened := openedAt(requests, failures)
			probe := slices.IndexFunc(requests, func(r kit.Request) bool { return r.At.Sub(opened) >= reopen })
			require.Positive(t, probe, "no probe")
			require.LessOrEqual(t, probe, most, "more were sent than were in flight when the circuit opened")
			for i := probe + 1; i < len(requests); i++ {
				require.GreaterOrEqual(t, requests[i].At.Sub(requests[i-1].Answered), reopen, "request %d is more than a probe", i+1)
			}
			b.db.AwaitCount(t, 50, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
			b.db.AwaitEmptyQueue(t)
			require.Equal(t, len(b.receiver.Requests("/erp")), b.db.Count(t, "SELECT count(*) FROM tailpost.attempt"))
		})
	}
}

// openedAt is the earliest time at which a circuit can have opened: no sooner than so many failures
// were answered.
func openedAt(requests []kit.Request, failures int) time.Time {
	answered := make([]time.Time, len(requests))
	for i := range requests {
		answered[i] = requests[i].Answered
	}
	slices.SortFunc(answered, time.Time.Compare)
	return answered[failures-1]
}

func TestARateIsKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.On("/erp", kit.Statuses(200))
	kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", `rate = "40/s"`))})
	for range 80 {
		b.db.Insert(t, kit.Event("order.changed", `{}`))
	}
	attempts := b.db.AwaitAttempts(t, "erp", 80)
	// 4 at once, then 40 a second.
	took := attempts[len(attempts)-1].AttemptedAt.Sub(attempts[0].AttemptedAt)
	require.GreaterOrEqual(t, took, 1800*time.Millisecond)
	b.db.AwaitEmptyQueue(t)
}

func TestAnEndpointThatOnlyFailsIsDisabled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.On("/erp", kit.Statuses(500))
	options := kit.Options{Config: b.db.Config(b.endpoint("erp", `
  disable_after = "1s"
  retry { schedule = ["200ms", "200ms", "200ms", "200ms", "200ms", "200ms", "200ms", "200ms", "200ms", "200ms", "200ms", "200ms"] }`))}
	relay := kit.StartDelivering(t, options)
	b.db.Insert(t, kit.Event("order.changed", `{}`))
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.endpoint WHERE status = 'disabled' AND disabled_reason LIKE 'failing%'")
	b.db.Insert(t, kit.Event("order.changed", `{}`))
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE reason = 'disabled' AND attempts = 0")
	require.Zero(t, relay.Stop(t))
	n := len(b.receiver.Requests("/erp"))

	// It survives a restart.
	kit.StartDelivering(t, options)
	id := b.db.Insert(t, kit.Event("order.changed", `{}`))[0]
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE reason = 'disabled' AND event_id = $1", id)
	require.Len(t, b.receiver.Requests("/erp"), n)
}

// A dead delivery holds its key, and nothing else, until a person deals with it; a restart changes
// nothing about that.
func TestADeadDeliveryHoldsItsKeyWhereAsked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var healthy atomic.Bool
	for _, path := range []string{"/erp", "/strict"} {
		b.receiver.On(path, func(_ context.Context, _ http.ResponseWriter, r kit.Request) int {
			if bytes.Contains(r.Body, []byte("poison")) && !healthy.Load() {
				return http.StatusInternalServerError
			}
			return http.StatusOK
		})
	}
	options := kit.Options{Config: b.db.Config(b.endpoint("erp", `
  ordering = "key"
  on_dead  = "hold"
  retry { schedule = ["20ms"] }
  subscription { events = ["order.changed"] }`), b.endpoint("strict", `
  ordering = "strict"
  on_dead  = "hold"
  retry { schedule = ["20ms"] }
  subscription { events = ["strict"] }`))}
	relay := kit.StartDelivering(t, options)
	event := func(key, payload string) outbox.Event {
		ev := kit.Event("order.changed", payload)
		ev.Key = key
		return ev
	}
	first := b.db.Insert(t, event("a", `"poison"`), event("b", `"poison"`), event("a", `1`), event("b", `2`), event("c", `3`),
		event("d", `"poison"`), kit.Event("strict", `"poison"`))
	b.db.AwaitCount(t, 4, "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead'")
	b.receiver.AwaitIDs(t, "/erp", first[4])
	more := b.db.Insert(t, event("a", `4`), event("c", `5`))
	b.receiver.AwaitIDs(t, "/erp", more[1])
	const held = "SELECT count(*) FROM tailpost.delivery WHERE state = 'pending' AND reason = 'order'"
	b.db.AwaitCount(t, 3, held)
	require.Zero(t, relay.Stop(t))

	relay = kit.StartDelivering(t, options)
	more = append(more, b.db.Insert(t, event("b", `6`), event("c", `7`), event("d", `8`), kit.Event("strict", `9`))...)
	b.receiver.AwaitIDs(t, "/erp", more[3])
	b.db.AwaitCount(t, 6, held)
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	for _, id := range []string{first[2], first[3], more[0], more[2], more[4]} {
		require.NotContains(t, b.receiver.IDs("/erp"), id, "what follows a dead delivery waits")
	}
	require.NotContains(t, b.receiver.IDs("/strict"), more[5])
	require.Zero(t, relay.Stop(t))

	// All but one are resent, that one is discarded.
	healthy.Store(true)
	b.db.Run(t, "DELETE FROM tailpost.delivery WHERE event_id = $1", first[1])
	b.db.Run(t, "UPDATE tailpost.delivery SET state = 'pending', next_attempt_at = now() WHERE state = 'dead'")
	kit.StartDelivering(t, options)
	b.db.AwaitEmptyQueue(t)
	requireOrder(t, b, "erp", map[string][]string{"a": {first[0], first[2], more[0]}, "b": {first[3], more[2]}, "d": {first[5], more[4]}})
	requireOrder(t, b, "strict", map[string][]string{"": {first[6], more[5]}})
}
