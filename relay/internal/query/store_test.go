package query_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
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
