package query

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
)

// Postgres takes the event types that a pattern takes, whatever characters are in either: what is
// an operator in a regular expression is a character of a type.
func TestPatternSQL_takesWhatThePatternTakes(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Options{URL: config.NewSecret(pgschema.NewDB(t).URL)})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	patterns := []string{"**", "*", "*.*", "order", "order.*", "order.**", "order.*.x", "*.paid"}
	types := []string{"order", "orderXpaid", "order.paid", "order.paid.x", "order.", ".paid", "orde", "ord", "", "order.a\nb", "order\n"}
	for _, c := range `\+?()|[]{}^$#-"'/&` {
		patterns = append(patterns, "a"+string(c)+"b", string(c), "x."+string(c)+string(c), "*."+string(c))
		types = append(types, "a"+string(c)+"b", string(c), "x."+string(c)+string(c), "ab", "aab", "abb", "a")
	}
	require.NoError(t, s.read(t.Context(), "compare patterns", func(ctx context.Context, tx pgx.Tx) error {
		for _, text := range patterns {
			p, err := config.ParsePattern(text)
			require.NoError(t, err)
			taken, err := many(ctx, tx, "SELECT t FROM unnest(@types::text[]) AS t WHERE t ~ @pattern", pgx.NamedArgs{"types": types, "pattern": patternSQL(p)}, pgx.RowTo[string])
			require.NoError(t, err, text)
			var want []string
			for _, eventType := range types {
				if p.Match(eventType) {
					want = append(want, eventType)
				}
			}
			require.ElementsMatch(t, want, taken, text)
		}
		return nil
	}))
}
