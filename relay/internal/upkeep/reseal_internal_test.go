package upkeep

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/seal"
)

// keyring has keys of the letters, the first of which seals.
func keyring(t *testing.T, letters string) *seal.Keyring {
	t.Helper()
	var secrets config.Secrets
	for _, letter := range letters {
		secrets.Keys = append(secrets.Keys, config.NewSecret(fmt.Sprintf("%064x", letter)))
	}
	keys, err := seal.New(secrets)
	require.NoError(t, err)
	return keys
}

// Whatever a row looks like, it is afterwards sealed under the first key, for itself alone, says
// what it said before, and has nothing that is secret beside it. What needs nothing is left alone.
func TestResealLeavesEveryRowUnderTheFirstKey(t *testing.T) {
	t.Parallel()
	const token = "Bearer the-token"
	inClear := `{"timeout": "10s", "headers": {"Authorization": "` + token + `", "X-Source": "shop"}}`
	hidden := `{"timeout": "10s", "headers": ["Authorization", "X-Source"]}`
	of := func(headers map[string]string) []byte {
		text, err := ledger.EncodeSealed(ledger.Sealed{Secrets: []ledger.EndpointSecret{{Secret: config.NewSecret("whsec_one")}}, Headers: headers})
		require.NoError(t, err)
		return text
	}
	all := map[string]string{"Authorization": token, "X-Source": "shop"}
	for name, test := range map[string]struct {
		under, policy string
		sealed        []byte
		changes       bool
	}{
		"under the first key":                             {"a", hidden, of(all), false},
		"under an older key":                              {"b", hidden, of(all), true},
		"headers in the clear, under an older key":        {"b", inClear, []byte(`[{"secret": "whsec_one"}]`), true},
		"headers in the clear, under the first key":       {"a", inClear, []byte(`[{"secret": "whsec_one"}]`), true},
		"headers in the clear and sealed, under that too": {"a", inClear, of(all), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sealed, err := keyring(t, test.under).Seal(test.sealed, []byte("ep_1"))
			require.NoError(t, err)
			row := ledger.EndpointRow{ID: "ep_1", Policy: []byte(test.policy), Secrets: sealed}
			keys := keyring(t, "ab")
			changed, err := reseal(keys, &row)
			require.NoError(t, err)
			require.Equal(t, test.changes, changed)
			require.NotContains(t, string(row.Policy), "the-token")
			var policy map[string]any
			require.NoError(t, json.Unmarshal(row.Policy, &policy))
			require.Equal(t, map[string]any{"timeout": "10s", "headers": []any{"Authorization", "X-Source"}}, policy)
			require.True(t, keys.Current(row.Secrets))

			plain, err := keyring(t, "a").Open(row.Secrets, []byte("ep_1"))
			require.NoError(t, err)
			got, err := ledger.DecodeSealed(&row, plain)
			require.NoError(t, err)
			require.Equal(t, all, got.Headers)
			require.Len(t, got.Secrets, 1)
			require.Equal(t, "whsec_one", got.Secrets[0].Secret.Reveal())
			_, err = keys.Open(row.Secrets, []byte("ep_2"))
			require.ErrorIs(t, err, seal.ErrDamaged)

			changed, err = reseal(keys, &row)
			require.NoError(t, err)
			require.False(t, changed, "once is enough")
		})
	}
}

// What cannot be opened stays as it is, and the error quotes nothing.
func TestResealOfWhatItCannotOpenChangesNothing(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ under, id, want string }{
		"under a key that is gone": {"c", "ep_1", "is not configured"},
		"of another endpoint":      {"b", "ep_2", seal.ErrDamaged.Error()},
	} {
		sealed, err := keyring(t, test.under).Seal([]byte(`[{"secret": "whsec_one"}]`), []byte("ep_1"))
		require.NoError(t, err)
		row := ledger.EndpointRow{ID: test.id, Policy: []byte(`{"headers": {"X-Key": "the-token"}}`), Secrets: sealed}
		before := row
		changed, err := reseal(keyring(t, "ab"), &row)
		require.ErrorContains(t, err, test.want, name)
		require.False(t, changed, name)
		require.Equal(t, before, row, name)
		require.NotContains(t, err.Error(), "the-token")
		require.NotContains(t, err.Error(), "whsec")
	}
}
