package query_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
)

func TestAnErrorTellsNothingOfTheConnectionString(t *testing.T) {
	t.Parallel()
	const password = "a-password-nobody-reads"
	_, err := query.Open(t.Context(), query.Options{URL: config.NewSecret("postgres://somebody:" + password + "@127.0.0.1:port/db")})
	require.Error(t, err)
	require.NotContains(t, err.Error(), password)
	require.NotContains(t, err.Error(), "somebody")

	store, err := query.Open(t.Context(), query.Options{URL: config.NewSecret("postgres://somebody:" + password + "@127.0.0.1:1/nowhere?sslmode=disable")})
	require.NoError(t, err)
	defer store.Close()
	err = store.Ready(t.Context())
	require.ErrorIs(t, err, query.ErrUnavailable)
	for _, word := range []string{password, "somebody", "nowhere"} {
		require.NotContains(t, err.Error(), word)
	}
}

// A password that was rotated is taken at the next connection, and an address that is none changes
// nothing.
func TestReaddressIsForTheNextConnection(t *testing.T) {
	t.Parallel()
	db := pgschema.NewDB(t)
	conn := db.Conn(t)
	_, err := schema.Migrate(t.Context(), conn, schema.MigrateOptions{})
	require.NoError(t, err)
	store, err := query.Open(t.Context(), query.Options{URL: config.NewSecret("postgres://127.0.0.1:1/nowhere?sslmode=disable")})
	require.NoError(t, err)
	t.Cleanup(store.Close)
	require.ErrorIs(t, store.Ready(t.Context()), query.ErrUnavailable)
	require.Error(t, store.Readdress(config.NewSecret(db.URL+"&pgbouncer=true")))
	require.ErrorIs(t, store.Ready(t.Context()), query.ErrUnavailable)
	require.NoError(t, store.Readdress(config.NewSecret(db.URL)))
	require.NoError(t, store.Ready(t.Context()))
}

// The API runs with the rights of the relay, so a neighbour in the database must not have its
// statements do what they want.
func TestStatementsFindNothingInPublic(t *testing.T) {
	t.Parallel()
	db := pgschema.NewDB(t)
	conn := db.Conn(t)
	_, err := schema.Migrate(t.Context(), conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `
		INSERT INTO public.outbox (id, type, payload) VALUES ('018f0000-0000-7000-8000-00000000000a', 'a', '{}');
		INSERT INTO tailpost.endpoint_stats VALUES ('erp', now(), 1, 1, 0, 0, 1, '{1,0,0,0,0,0,0,0,0,0,0,0,0,0,0}')`)
	require.NoError(t, err)
	db.Hostile(t, conn)
	store, err := query.Open(t.Context(), query.Options{URL: config.NewSecret(db.URL), Mapping: outbox.DefaultMapping()})
	require.NoError(t, err)
	t.Cleanup(store.Close)
	require.NoError(t, store.Ready(t.Context()))
	_, err = store.Sizes(t.Context(), time.Hour, time.Now())
	require.NoError(t, err)
	_, err = store.Measure(t.Context(), "s", []string{"erp"})
	require.NoError(t, err)
	_, err = store.Event(t.Context(), "", "018f0000-0000-7000-8000-00000000000a")
	require.NoError(t, err)
	for _, outcome := range []string{"", "dead"} {
		_, err = store.Attempts(t.Context(), query.AttemptQuery{EventType: "a", Tenant: "acme", Outcome: outcome, Limit: 10})
		require.NoError(t, err)
	}
	_, err = store.Deliveries(t.Context(), query.DeliveryQuery{DeliveryFilter: ledger.DeliveryFilter{State: "dead", EventTypes: []string{"a"}}, Limit: 10})
	require.NoError(t, err)
	_, err = store.Endpoints(t.Context(), query.EndpointQuery{Limit: 10})
	require.NoError(t, err)
	_, err = store.Events(t.Context(), query.EventQuery{Limit: 10})
	require.NoError(t, err)
	_, err = store.EventTypes(t.Context(), "", 10)
	require.NoError(t, err)
}
