package route_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/route"
)

func TestFiltersSeeTheVersionThatTheirEndpointPins(t *testing.T) {
	t.Parallel()
	cfg, err := config.Config{
		Database: config.Database{URL: config.NewSecret("postgres://localhost/app")},
		API:      config.API{Listen: "127.0.0.1:0"},
		Versions: config.Versions{{Name: "2025-01-01"}, {Name: "2026-09-20", Events: []config.VersionEvent{
			{Events: "order.*", Body: body(t, `{ total = event.data.total.amount }`)},
		}}},
	}.Complete()
	require.NoError(t, err)
	pinned := func(version, where string, own *config.Body) config.Endpoint {
		e := config.Endpoint{Version: version, Subscriptions: []config.Subscription{{Where: filter(t, where), Body: own}}}
		cfg.Versions.Pin(&e, cfg.Versions.Newest())
		return e
	}
	mine := body(t, `{ own = event.data.total }`)
	table := route.New([]config.Endpoint{
		pinned("", "event.data.total.amount > 9", nil),
		pinned("2025-01-01", "event.data.total > 9", mine),
		pinned("2025-01-01", "event.data.total > 10", mine),
		pinned("2025-01-01", "event.data.total.amount > 9", nil),
		pinned("2024-01-01", "event.data.total > 1000", nil), // nothing is lost of one that cannot be used
	})
	paid := &outbox.Event{Type: "order.paid", Payload: []byte(`{"total":{"amount":9.5}}`)}
	require.Equal(t, []int{0, 1, 4}, indexes(table.Match(nil, paid)))
	require.Same(t, mine, table.Body(1, paid))
	require.Nil(t, table.Body(2, paid))
	require.EqualValues(t, 0, table.MissingOf(1))
	require.EqualValues(t, 1, table.MissingOf(3))
	require.JSONEq(t, `{"total":{"amount":9.5}}`, string(paid.Payload))

	// The attempt says what is wrong with a payload that no step can read.
	require.Equal(t, []int{1, 2, 3, 4}, indexes(table.Match(nil, &outbox.Event{Type: "order.paid", Payload: []byte(`{"total": {"amount": oops`)})))
	require.EqualValues(t, 0, table.MissingOf(1), "no filter has met it")
}
