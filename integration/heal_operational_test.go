package integration_test

import (
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// operational is the body of an operational event in the standard format.
type operational struct {
	Type string `json:"type"`
	Data struct {
		Endpoint struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		} `json:"endpoint"`
		Event struct {
			ID   string `json:"id"`
			Type string `json:"type"`
		} `json:"event"`
		Attempts   int    `json:"attempts"`
		StatusCode int    `json:"status_code"`
		Reason     string `json:"reason"`
		Tenant     string `json:"tenant"`
	} `json:"data"`
}

func operationals(t *testing.T, requests []kit.Request) (all []operational) {
	t.Helper()
	for _, r := range requests {
		var o operational
		require.NoError(t, json.Unmarshal(r.Body, &o), string(r.Body))
		all = append(all, o)
	}
	return all
}

func TestOperationalEventsTellWhatHappensToDeliveries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.On("/failing", kit.Statuses(500))
	b.receiver.On("/gone", kit.Statuses(410))
	var well atomic.Bool
	b.receiver.On("/flaky", func(context.Context, http.ResponseWriter, kit.Request) int {
		if well.Load() {
			return http.StatusOK
		}
		return http.StatusServiceUnavailable
	})
	const once = `retry { schedule = ["50ms"] }` + "\n"
	relay := kit.StartDelivering(t, kit.Options{Config: b.db.Config(
		b.endpoint("failing", once+`subscription { events = ["order.failing"] }`),
		b.endpoint("gone", `subscription { events = ["order.gone"] }`),
		b.endpoint("flaky", `retry { schedule = ["20ms", "20ms", "20ms", "20ms", "20ms", "20ms", "20ms", "20ms", "20ms", "20ms", "20ms", "20ms", "24h"] }
  subscription { events = ["order.flaky"] }`),
		b.endpoint("all", ""),
		b.endpoint("rest", `subscription { events = ["**"] }`),
		b.endpoint("ops", `subscription { events = ["webhook.*"] }`),
		b.endpoint("failed", `subscription { events = ["webhook.failed"] }`),
		// What tells of failures may fail itself, which nobody hears of.
		b.endpoint("deaf", once+`subscription { events = ["webhook.failed", "webhook.failing"] }`),
	)})
	b.receiver.On("/deaf", kit.Statuses(500))

	failed := b.db.Insert(t, kit.Event("order.failing", `{}`))
	got := operationals(t, b.receiver.Await(t, "/failed", 1))[0]
	require.Equal(t, "webhook.failed", got.Type)
	require.Equal(t, "failing", got.Data.Endpoint.ID)
	require.Equal(t, failed[0], got.Data.Event.ID)
	require.Equal(t, "order.failing", got.Data.Event.Type)
	require.Equal(t, 2, got.Data.Attempts)
	require.Equal(t, 500, got.Data.StatusCode)
	require.Equal(t, "exhausted", got.Data.Reason)

	b.db.Insert(t, kit.Event("order.gone", `{}`))
	b.receiver.Await(t, "/ops", 2)
	b.db.Insert(t, kit.Event("order.flaky", `{}`))
	b.receiver.Await(t, "/ops", 3)
	well.Store(true)
	var types []string
	for _, o := range operationals(t, b.receiver.Await(t, "/ops", 4)) {
		types = append(types, o.Type+" "+o.Data.Endpoint.ID)
	}
	require.Equal(t, []string{"webhook.failed failing", "webhook.disabled gone", "webhook.failing flaky", "webhook.recovered flaky"}, types)

	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'deaf' AND state = 'dead' AND event_type = 'webhook.failed'")
	mark := b.db.Insert(t, kit.Event("order.other", `{}`))
	b.receiver.AwaitIDs(t, "/all", mark...)
	b.receiver.AwaitIDs(t, "/rest", mark...)
	require.Len(t, b.receiver.Requests("/all"), 4, "the application's events only")
	require.Len(t, b.receiver.Requests("/rest"), 4, "the application's events only")
	require.Len(t, b.receiver.Requests("/failed"), 1)
	require.Len(t, b.receiver.Requests("/ops"), 4)
	require.Zero(t, relay.Stop(t))
}

func TestOperationalEventsStayWithinTheirTenant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, path := range []string{"/a-app", "/b-app", "/everyone"} {
		b.receiver.On(path, kit.Statuses(500))
	}
	const dead, ops = "retry { schedule = [] }\n", "\n" + `subscription { events = ["webhook.failed"] }`
	kit.StartDelivering(t, kit.Options{Config: b.db.Config(
		b.endpoint("a-app", dead+`tenant = "a"`), b.endpoint("b-app", dead+`tenant = "b"`), b.endpoint("everyone", dead),
		b.endpoint("a-ops", `tenant = "a"`+ops), b.endpoint("b-ops", `tenant = "b"`+ops), b.endpoint("operator", ops),
	)})
	for _, tenant := range []string{"a", "b"} {
		ev := kit.Event("order.created", `{}`)
		ev.Tenant = tenant
		b.db.Insert(t, ev)
	}
	b.db.AwaitCount(t, 4, "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead'")
	// To the operator: of both tenants' endpoints, and of the one for everyone, for two events.
	require.Len(t, b.receiver.Await(t, "/operator", 4), 4)
	for _, tenant := range []string{"a", "b"} {
		got := operationals(t, b.receiver.Await(t, "/"+tenant+"-ops", 1))
		require.Len(t, got, 1)
		require.Equal(t, tenant+"-app", got[0].Data.Endpoint.ID)
		require.Equal(t, tenant, got[0].Data.Tenant)
	}
}

func TestNothingIsEmittedThatNobodySubscribesTo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.On("/failing", kit.Statuses(500))
	relay := kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("failing", "retry { schedule = [] }"))})
	b.db.Run(t, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", b.db.Slot+"_look")
	b.db.Insert(t, kit.Event("order.created", `{}`))
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead'")
	const emitted = `SELECT count(*) FROM pg_logical_slot_get_binary_changes($1, NULL, 1000, 'proto_version', '1', 'publication_names', $2, 'messages', 'true')
		WHERE encode(data, 'escape') LIKE '%webhook.failed%'`
	require.Zero(t, b.db.Count(t, emitted, b.db.Slot+"_look", b.db.Slot))
	require.Zero(t, relay.Stop(t))
}
