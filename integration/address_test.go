package integration_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
)

// TestEventsGoWhereTheySay: an event's values are in its path, its query and its headers, also
// after a crash; one that has none is dead, with the reason, and the endpoint goes on.
func TestEventsGoWhereTheySay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpoint := b.endpoint("erp", `query = { tenant = event.tenant }
		headers = { X-Key = "k-${event.key}" }
		circuit { failures = 1 }
		retry { schedule = ["1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s"] }`)
	endpoint.URL += "/${event.key}/hook"
	config := b.db.Config(endpoint)
	const path = "/erp/a%2F1/hook"
	b.receiver.On("/erp/a/1/hook", kit.Statuses(http.StatusInternalServerError))
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	b.db.Insert(t, outbox.Event{Type: "a", Key: "a/1", Tenant: "ac me"})
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE reason = 'failed'")
	relay.Kill()
	b.receiver.On("/erp/a/1/hook", kit.Statuses(http.StatusOK))
	relay = kit.StartDelivering(t, kit.Options{Config: config})
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")

	b.db.Insert(t, outbox.Event{Type: "a", Tenant: "t"}, outbox.Event{Type: "a", Key: "../../admin", Tenant: "t"}, outbox.Event{Type: "a", Key: "x\r\nX-Evil: 1", Tenant: "t"})
	b.db.AwaitCount(t, 3, "SELECT count(*) FROM tailpost.undelivered WHERE state = 'dead' AND reason = 'unaddressable' AND attempts = 1 AND last_status IS NULL")
	require.Equal(t, 1, b.db.Count(t, "SELECT count(*) FROM tailpost.undelivered WHERE last_error = 'the URL cannot be made: event.key is missing, null or empty'"))
	b.db.Insert(t, outbox.Event{Type: "a", Key: "a/1", Tenant: "t"})
	b.db.AwaitCount(t, 2, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
	require.Equal(t, "active", b.db.Text(t, "SELECT status FROM tailpost.endpoint"))
	require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.endpoint WHERE failing_since IS NOT NULL"), "it says nothing about the endpoint")
	require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.attempt WHERE url NOT LIKE '%/erp/${event.key}/hook'"))
	for _, r := range b.receiver.Requests("/erp/a/1/hook") {
		require.Contains(t, []string{path + "?tenant=ac%20me", path + "?tenant=t"}, r.URI)
		require.Equal(t, "k-a/1", r.Header.Get("X-Key"))
	}
	require.Zero(t, relay.Stop(t))
}
