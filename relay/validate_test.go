package relay_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/relay"
)

// The catalogue has what the files describe, payloads are held against it, and a reload changes
// both.
func TestPayloadsAreHeldAgainstTheCatalogue(t *testing.T) {
	t.Parallel()
	b := setupRows(t)
	b.put(t, b.row(t, "ep_1", nil))
	cfg := b.versioned(nil)
	cfg.Endpoints = []config.Endpoint{{
		ID: "erp", URL: b.receiver.URL("/erp"), Secrets: []config.Secret{config.NewSecret(b.secret)}, Circuit: config.Circuit{Failures: 1},
	}}
	described := func(validate config.Validate, description string) *config.Config {
		next := *cfg
		next.Catalogue = config.Catalogue{Validate: validate, Types: []config.EventType{{
			Name: "order.paid", Description: description, Schema: []byte(`{"required": ["total"]}`), Example: []byte(`{"total": 1.50}`),
		}}}
		return &next
	}
	r := delivering(t, described(config.ValidateWarn, "An order was paid."), nil)
	require.Equal(t, "An order was paid.", b.db.Text(t, "SELECT description FROM tailpost.event_type WHERE name = 'order.paid'"))
	status, entry := ask(t, http.DefaultClient, http.MethodGet, "http://"+r.APIAddress()+"/v1/event-types/order.paid", "")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, map[string]any{"required": []any{"total"}}, entry["schema"])

	const noted = "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered' AND error LIKE 'the payload is not what its schema says: %%missing property ''total'''"
	b.db.Insert(t, kit.Event("order.paid", `{"sum": 1}`), kit.Event("order.paid", `{"total": 1}`), kit.Event("order.sent", `{}`))
	b.db.AwaitCount(t, 2, noted)
	b.db.AwaitCount(t, 6, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")

	reloadAnew(t, r, complete(t, described(config.ValidateDead, "Paid.")))
	require.Equal(t, "Paid. 2", b.db.Text(t, "SELECT description || ' ' || version FROM tailpost.event_type WHERE name = 'order.paid'"))
	bad := b.db.Insert(t, kit.Event("order.paid", `{"sum": 1}`))
	b.db.AwaitCount(t, 2, "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead' AND reason = 'invalid' AND event_id = $1", bad[0])
	good := b.db.Insert(t, kit.Event("order.paid", `{"total": 1}`))
	b.db.AwaitCount(t, 2, "SELECT count(*) FROM tailpost.attempt WHERE event_id = $1 AND outcome = 'delivered'", good[0])
	for _, path := range []string{"/erp", "/ep_1"} {
		require.NotContains(t, b.receiver.IDs(path), bad[0], "nothing is sent")
	}
	require.Equal(t, 0, b.db.Count(t, "SELECT count(*) FROM tailpost.endpoint WHERE failing_since IS NOT NULL"), "it says nothing about the endpoint")

	reloadAnew(t, r, complete(t, described(config.ValidateOff, "Paid.")))
	require.Equal(t, "2", b.db.Text(t, "SELECT version::text FROM tailpost.event_type WHERE name = 'order.paid'"), "nothing changed")
	off := b.db.Insert(t, kit.Event("order.paid", `{"sum": 1}`))
	b.db.AwaitCount(t, 2, "SELECT count(*) FROM tailpost.attempt WHERE event_id = $1 AND outcome = 'delivered' AND error IS NULL", off[0])
}

// reloadAnew reloads what concerns all that a hold has in memory, and waits until the next hold
// delivers: until then events may still go by the settings of before.
func reloadAnew(t *testing.T, r *relay.Relay, cfg *config.Config) {
	t.Helper()
	before := r.Status().Epoch
	require.NoError(t, r.Reload(t.Context(), cfg))
	kit.Eventually(t, kit.Patience, func() error {
		if s := r.Status(); s.Epoch == before || s.State != relay.Delivering {
			return errors.New("the hold of before goes on")
		}
		return nil
	})
}
