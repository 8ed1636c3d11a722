package suggest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox/suggest"
)

func TestClosest(t *testing.T) {
	t.Parallel()
	names := []string{"timeout", "tenant", "id", "Kei", "public.events"}
	for given, want := range map[string]string{
		"timeot": "timeout", "TENANT": "tenant", "tenat": "tenant", "kei": "Kei", "key": "Kei", "ID": "id", "di": "", "x": "",
		"public.event": "public.events", "pblic.evnts": "public.events", "app.evnt": "", "": "", "completely different": "",
	} {
		require.Equal(t, want, suggest.Closest(given, names), given)
	}
	require.Empty(t, suggest.Closest("a", nil))
}

func TestDidYouMean(t *testing.T) {
	t.Parallel()
	require.Equal(t, ` Did you mean "slot"?`, suggest.DidYouMean("slto", []string{"url", "slot"}))
	require.Empty(t, suggest.DidYouMean("endpoint", []string{"url", "slot"}))
}
